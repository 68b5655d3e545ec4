"""`Command`: a program that prints a token, as the credential plugins of kubectl do."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from .._clock import SystemClock
from .._core.arguments import checks_arguments
from .._core.records import seconds_text
from .._core.validation import gathered, refuse
from .._errors import RefreshFailed
from .._threads import started
from ._printed import token_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .._core.token import Token
    from .._protocols import FetchContext

LIMIT = 256 * 1024
"""The most bytes that a program may print."""

_LEFT_BEHIND = 0.5
"""Seconds of silence after which the pipe of a program that has ended is no longer read: a child
that the program left behind may hold it open."""

_EXEC_INFO = (
    '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
    '"spec":{"interactive":false}}'
)


@checks_arguments()
class Command:
    """A token source that runs a program, without a shell, and reads the token it prints.

    The program runs when there is no token yet, when the token has expired, and when the server
    refuses it. Its standard input is closed; its standard error is that of this process. Its output
    is a token and nothing else, or JSON in one of these forms:

    * a credential plugin of kubectl, such as ``gke-gcloud-auth-plugin``: an ExecCredential
      (kubernetes.io, "Client Authentication (v1)");
    * a token response (RFC 6749 section 5.1); its refresh token is not used;
    * ``az account get-access-token``;
    * ``gcloud config config-helper --format=json``, ``gcloud auth print-access-token``.

    Safe to use from many threads. The repr shows the name of the program alone, but a pickle
    carries all of ``args`` and ``env``: keep secrets in the environment of the process.

    Args:
        args: The program and its arguments, a string for each.
        env: Variables for the program, added to the environment of this process.
        store_key: The name a store keeps its tokens under; None: the origins they belong to.

    Attributes:
        family: A text that equal commands share; it holds no secret.

    Raises:
        ConfigurationError: ``args`` names no program, or an argument is of the wrong kind.
    """

    def __init__(
        self,
        args: Collection[str],
        *,
        env: Mapping[str, str] | None = None,
        store_key: str | None = None,
    ) -> None:
        given = gathered(args)
        faults = []  # they quote nothing, as arguments and variables may be secret
        if not isinstance(given, tuple):
            faults += [
                "args takes a list with one string for each word: write ['az', 'account', ...]"
            ]
        elif not (given and given[0] and all(map(_is_word, given))):
            faults += ["args takes the name of a program and its arguments, strings without a NUL"]
        variables: Any = {} if env is None else env
        if not isinstance(variables, Mapping) or not all(
            map(_is_word, (*variables, *variables.values()))
        ):
            faults += ["env takes a mapping of names to values, strings without a NUL"]
        refuse("Command", faults)
        self._args: tuple[str, ...] = given
        self._env = dict(variables)
        self.store_key: str = store_key or ""
        whole = repr((self._args, sorted(self._env.items())))
        self.family: str = f"command {sha256(whole.encode('utf-8', 'surrogateescape')).hexdigest()}"

    has_refresh_tokens: bool = False
    may_prompt: bool = False

    def fetch(self, context: FetchContext) -> Token:
        """Run the program, and return the token that it prints.

        A program that takes too long is killed with all that it started; on Windows the program
        alone is killed.

        Raises:
            RefreshFailed: The program cannot be run, fails, takes longer than ``context.timeout``
                seconds, or prints no token.
        """
        found = self._token_or_fault(context)
        if isinstance(found, str):
            raise RefreshFailed(f"the program {self._args[0]!r} {found}")
        return found

    def _token_or_fault(self, context: FetchContext) -> Token | str:
        """Run the program; return its token, or the fault to report.

        A fault is returned, so that no traceback shows the frames that hold the output.
        """
        env = {"KUBERNETES_EXEC_INFO": _EXEC_INFO, **os.environ, **self._env}
        program = shutil.which(self._args[0], path=env.get("PATH"))
        if program is None:
            return "was not found, or is not executable"
        try:
            run = _Run((program, *self._args[1:]), env)
        except (OSError, ValueError) as error:
            return f"cannot be run: {type(error).__name__}"
        if not run.ends(context):
            return f"took longer than {seconds_text(context.timeout)}"
        if len(run.printed) > LIMIT:
            return f"printed more than {LIMIT // 1024} KB"
        if run.process.returncode:
            return f"failed with exit status {run.process.returncode}"
        return token_in(run.printed, context.clock.time())

    def __repr__(self) -> str:
        """Show the name of the program: its arguments may be secret."""
        return f"Command([{self._args[0]!r}, ...])"


class _Run(threading.Event):
    """A program that runs; the event is set when the program has ended and its output is read."""

    def __init__(self, args: tuple[str, ...], env: Mapping[str, str]) -> None:
        super().__init__()
        self.printed = b""
        self.worker: threading.Thread | None = None  # which `FakeClock.sleep` waits for
        self.process = subprocess.Popen(  # noqa: S603 (the user's own program, without a shell)
            args,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._pipe: Any = self.process.stdout

    def ends(self, context: FetchContext) -> bool:
        """Whether the program ends before the timeout; it is killed if it does not."""
        self.worker = started(self._read, name="requests_authretry")
        if self.worker is None:
            return self._ends_here(context.timeout)
        context.clock.sleep(context.timeout, self)
        ended = self.is_set()
        if not ended:
            self._kill()
        return ended

    def _ends_here(self, seconds: float) -> bool:
        """Whether it ends in time, where no thread can be started: its output is read here."""
        clock = SystemClock()  # the clock of tests does not go on while a program runs
        until = clock.monotonic() + seconds
        with self.process as process:
            self._copy(lambda: clock.monotonic() > until)
            self._pipe.close()  # so that one that prints without end ends
            try:
                process.wait(max(until - clock.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                self._kill()
                return False
        return True

    def _kill(self) -> None:
        if os.name == "posix":
            # Kill all processes of its session, as any of them may hold the pipe open.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()

    def _read(self) -> None:
        try:
            with self.process:
                self._copy(lambda: False)
        finally:
            self.set()

    def _copy(self, is_late: Callable[[], bool]) -> None:
        """Read the output until it ends, is too long, or is late; Windows looks at no time."""
        with selectors.DefaultSelector() as selector:
            can_wait = os.name == "posix"  # a pipe of Windows can only be read
            if can_wait:
                selector.register(self._pipe, selectors.EVENT_READ)
            while len(self.printed) <= LIMIT and not is_late():
                if can_wait and not selector.select(_LEFT_BEHIND):
                    if self.process.poll() is not None:
                        return
                    continue
                chunk = os.read(self._pipe.fileno(), LIMIT)
                if not chunk:
                    return
                self.printed += chunk


def _is_word(item: object) -> bool:
    return isinstance(item, str) and "\0" not in item
