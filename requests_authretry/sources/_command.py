"""A program that prints a token, as the credential plugins of kubectl do."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from typing import IO, TYPE_CHECKING

from .._core.validation import gathered, refuse
from .._errors import RefreshFailed
from ._printed import token_in

if TYPE_CHECKING:
    from collections.abc import Collection

    from .._core.token import Token
    from .._protocols import FetchContext

LIMIT = 256 * 1024
"""How many bytes a program may print."""

_LEFT_BEHIND = 0.5
"""Seconds of silence after which a program that has ended has said all, whoever holds its pipe."""

_EXEC_INFO = (
    '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential",'
    '"spec":{"interactive":false}}'
)


class Command:
    """A token source that runs a program, without a shell, and reads the token it prints.

    It is run when there is no token yet, when the one there is has expired, and when the server
    refuses it. It reads nothing: its standard input is closed. What it says on standard error goes
    where this process's goes. Its output is a token and nothing else, or JSON, as one of these
    prints it:

    * a credential plugin of kubectl, such as ``gke-gcloud-auth-plugin``: an ExecCredential
      (kubernetes.io, "Client Authentication (v1)");
    * what speaks OAuth: a token response (RFC 6749 section 5.1); its refresh token is not used;
    * ``az account get-access-token``;
    * ``gcloud config config-helper --format=json``, ``gcloud auth print-access-token``.

    Safe to use from many threads. Its repr shows the name of the program alone, a pickle carries
    all of ``args`` and ``env``: what is secret is better off in the environment of the process.

    Args:
        args: The program and its arguments, a string for each.
        env: Variables for it, added to those of this process.
        store_key: The name a store keeps its tokens under; None: the origins they belong to.

    Attributes:
        family: What equal commands have in common; it gives nothing away.

    Raises:
        ConfigurationError: There is nothing that could be run.
    """

    def __init__(
        self,
        args: Collection[str],
        *,
        env: Mapping[str, str] | None = None,
        store_key: str | None = None,
    ) -> None:
        given = gathered(args)
        refuse("Command", _faults(given, env))
        self._args: tuple[str, ...] = given
        self._env = dict(env or {})
        self.store_key = store_key or ""
        whole = repr((self._args, sorted(self._env.items())))
        self.family = f"command {sha256(whole.encode('utf-8', 'surrogateescape')).hexdigest()}"

    has_refresh_tokens = False

    def fetch(self, context: FetchContext) -> Token:
        """Run the program, and read the token it prints.

        Raises:
            RefreshFailed: It cannot be run, fails, takes longer than ``context.timeout`` seconds,
                or prints no token. When its time is over the program is killed with all that it
                started, on Windows the program alone.
        """
        found = self._token_or_fault(context)
        if isinstance(found, str):
            raise RefreshFailed(f"the program {self._args[0]!r} {found}")
        return found

    def _token_or_fault(self, context: FetchContext) -> Token | str:
        """No exception: the frames that see the output are in no traceback."""
        env = {"KUBERNETES_EXEC_INFO": _EXEC_INFO, **os.environ, **self._env}
        program = shutil.which(self._args[0], path=env.get("PATH"))
        if program is None:
            return "was not found, or is not executable"
        try:
            run = _Run((program, *self._args[1:]), env)
        except (OSError, ValueError) as error:
            return f"cannot be run: {type(error).__name__}"
        if not run.ends(context):
            return f"took longer than {context.timeout:.3g} s"
        if len(run.printed) > LIMIT:
            return f"printed more than {LIMIT // 1024} KB"
        if run.process.returncode:
            return f"failed with exit status {run.process.returncode}"
        return token_in(run.printed, context.clock.time())

    def __repr__(self) -> str:
        """Show the name of the program: its arguments may be secret."""
        return f"Command([{self._args[0]!r}, ...])"


class _Run(threading.Event):
    """A program at work; set when it has ended and nobody can print any more."""

    def __init__(self, args: tuple[str, ...], env: Mapping[str, str]) -> None:
        super().__init__()
        self.printed = b""
        self.process = subprocess.Popen(  # noqa: S603 (the user's own program, without a shell)
            args,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.worker = threading.Thread(target=self._read, name="requests_authretry", daemon=True)

    def ends(self, context: FetchContext) -> bool:
        """Whether it ends in time; else an end is made of it."""
        self.worker.start()
        context.clock.sleep(context.timeout, self)
        ended = self.is_set()
        if not ended and os.name == "posix":
            # With all that is left of its session, as that may hold the pipe.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        elif not ended:
            self.process.kill()
        return ended

    def _read(self) -> None:
        try:
            with self.process as process:
                pipe = process.stdout
                while pipe is not None and len(self.printed) <= LIMIT and self._goes_on(pipe):
                    chunk = os.read(pipe.fileno(), LIMIT)
                    if not chunk:
                        break
                    self.printed += chunk
        finally:
            self.set()

    def _goes_on(self, pipe: IO[bytes]) -> bool:
        """Whether there is more to read; a child that is left behind may hold the pipe open."""
        if os.name != "posix":  # a pipe there cannot be waited for, only read
            return True
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while not selector.select(_LEFT_BEHIND):
                if self.process.poll() is not None:
                    return False
        return True


def _faults(args: object, env: object) -> Iterable[str]:
    """Faults that quote nothing: arguments and variables may be secret."""
    if not isinstance(args, tuple):
        yield "args takes a collection, a string for each word: write ['az', 'account', ...]"
    elif not (args and args[0] and all(map(_is_word, args))):
        yield "args takes the name of a program and its arguments, strings without a NUL"
    if env is not None and not (
        isinstance(env, Mapping) and all(map(_is_word, (*env, *env.values())))
    ):
        yield "env takes a mapping of names to values, strings without a NUL"


def _is_word(item: object) -> bool:
    return isinstance(item, str) and "\0" not in item
