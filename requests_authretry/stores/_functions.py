"""The store of a program's own database: functions that load, save and lock."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from .._core.arguments import checks_arguments
from .._core.copying import CopiedAsItself
from .._core.display import shown
from .._core.token import secret
from .._core.validation import refuse
from .._warnings import is_async
from ._memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

T = TypeVar("T")


@checks_arguments()
class FunctionStore(CopiedAsItself):
    """Keeps tokens where functions of yours put them: a database, a secrets manager.

    The functions are called from many threads, each renewal from a thread of its own: close what
    the framework keeps for each thread, such as Django's connections. Whatever they raise becomes
    an `OSError` that names its class and not its text; a `TimeoutError` of ``lock`` says that
    another holds the lock.

    Without ``lock``, the threads of this process take turns and other processes do not: two of
    them may renew one token at once. That costs a token request where the server takes a refresh
    token again, or where there is none. Where the server rotates refresh tokens it may end the
    session; then there is one `AuthRetryWarning`.

    Cool-downs and limits stay in this process, unless ``push`` and ``take`` are given.

    A copy in memory is the same store. It can be pickled if its functions can.

    Args:
        load: ``load(key)`` returns the text that was saved under a key, None if there is none.
        save: ``save(key, record)`` keeps a text in place of the one that was there, as a whole or
            not at all. It holds tokens in the clear, and has 1 to 64 KB, mostly about 1 KB.
        lock: ``lock(key, timeout)`` returns a context manager. Entering it waits, ``timeout``
            seconds at most, until nobody else is in it for this key, on whatever machine; then it
            raises `TimeoutError`. The lock has to end with its holder, as those of a database end
            with the connection.
        push: ``push(key, seconds)`` extends a cool-down, as `Store.push`.
        take: ``take(key, rate, burst, count)`` takes slots, as `Store` says.

    Raises:
        ConfigurationError: An argument is no function, or an async one.
    """

    def __init__(
        self,
        load: Callable[[str], str | None],
        save: Callable[[str, str], object],
        lock: Callable[[str, float], AbstractContextManager[object]] | None = None,
        *,
        push: Callable[[str, float], float] | None = None,
        take: Callable[[str, float, float, int], float] | None = None,
    ) -> None:
        self._load, self._save, self._lock = load, save, lock
        self._push, self._take = push, take
        self._memory = MemoryStore()
        refuse(type(self).__name__, self._faults())

    @property
    def is_locked(self) -> bool:
        """Whether other processes are excluded, too, while one renews."""
        return self._lock is not None

    def read(self, key: str) -> str | None:
        """Return the record under a key, None when there is none.

        Raises:
            OSError: The function failed, or returned neither text nor None.
        """
        record = _asked("load", lambda: self._load(key))
        if record is None or isinstance(record, str):
            return record
        raise OSError(f"load returned {type(record).__name__}: return the saved str, or None")

    def write(self, key: str, record: str) -> None:
        """Keep a record.

        Raises:
            OSError: The function failed.
        """
        record = secret(record)
        # A plain text: drivers of databases know no subclasses.
        _asked("save", lambda: self._save(key, str(record)))

    @contextmanager
    def lock(self, key: str, timeout: float) -> Iterator[None]:
        """Exclude everyone else who locks this key, as `Store.lock` says.

        Without a ``lock`` function, only the threads of this process.
        """
        if self._lock is None:
            with self._memory.lock(key, timeout):
                yield
            return
        lock = self._lock
        held = _asked("lock", lambda: lock(key, max(timeout, 0.0)))
        if not hasattr(held, "__enter__"):
            raise OSError(f"lock returned {type(held).__name__}: return a context manager")
        _asked("lock", held.__enter__)
        try:
            yield
        finally:
            _asked("lock", lambda: held.__exit__(None, None, None))

    def push(self, key: str, seconds: float) -> float:
        """Extend a cool-down, as `Store.push` says: in memory, unless ``push`` was given."""
        push = self._memory.push if self._push is None else self._push
        return _asked("push", lambda: float(push(key, seconds)))

    def __getattr__(self, name: str) -> Any:
        # There is no `take` unless it was given: then each process keeps its own pace.
        take = self.__dict__.get("_take")
        if name != "take" or take is None:
            raise AttributeError(name)
        return lambda *arguments: _asked("take", lambda: float(take(*arguments)))

    def __repr__(self) -> str:
        """Show the names of the functions."""
        given = {name: getattr(self, f"_{name}") for name in _FUNCTIONS}
        each = (f"{name}={shown(value)}" for name, value in given.items() if value is not None)
        return f"{type(self).__name__}({', '.join(each)})"

    def _faults(self) -> Iterable[str | None]:
        for name in _FUNCTIONS:
            value = getattr(self, f"_{name}")
            if not callable(value) and (value is not None or name in _REQUIRED):
                yield f"{name} must be a function, not {type(value).__name__}"
            elif is_async(value):
                yield f"{name} is async, and nothing awaits it: give a plain function"


_FUNCTIONS = ("load", "save", "lock", "push", "take")
_REQUIRED = ("load", "save")


def _asked(name: str, call: Callable[[], T]) -> T:
    """Call a function of the user's; whatever it raises is an `OSError` that quotes nothing."""
    try:
        return call()
    except TimeoutError:
        is_late = True
    except Exception as error:  # noqa: BLE001 (drivers raise what they like)
        is_late, kind = False, type(error).__name__
    # Not in the block: the exception, its text and its frames may hold the record.
    if is_late and name == "lock":
        raise TimeoutError("the lock of the store was held all that time")
    raise OSError(f"{name} of the FunctionStore failed with {'TimeoutError' if is_late else kind}")
