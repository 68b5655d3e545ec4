"""`Command`: programs that print tokens, and all that may go wrong with them."""

from __future__ import annotations

import json
import pickle
import shlex
import socket
import sys
import threading
import traceback
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import (
    ConfigurationError,
    FetchContext,
    RefreshFailed,
    Settings,
    Token,
    mount,
)
from requests_authretry.sources import Command
from requests_authretry.sources._command import LIMIT
from requests_authretry.testing import FakeClock
from tests.support.renewals import no_thread
from tests.support.scripted import EXPIRED, URL, carried, scripted, settings
from tests.support.systems import forks, scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from threading import Event

    from requests_authretry import TokenSource
    from requests_authretry.cli.demo_server import DemoServer

PYTHON = [sys.executable, "-I", "-S", "-c"]
SECRET = "s3cret-of-the-user"
NOW = 1_700_000_000.0
IN_AN_HOUR = "2023-11-14T23:13:20"


def running(code: str, *args: str, **options: Any) -> Command:
    """A command that runs this Python code."""
    return Command([*PYTHON, code, *args], **options)


def printing(text: str | bytes) -> Command:
    """A command whose output is this text."""
    data = text.encode() if isinstance(text, str) else text
    return running("import os, sys; os.write(1, bytes.fromhex(sys.argv[1]))", data.hex())


def context(**others: Any) -> FetchContext:
    """What a source is told when there is no token yet."""
    others.setdefault("timeout", 60.0)
    return FetchContext(None, **others)


def fetched(command: Command) -> Token:
    """The token of a command at `NOW`."""
    return command.fetch(context(clock=FakeClock(NOW)))


def fault(command: Command, **others: Any) -> str:
    """What the caller hears when a command gives no token."""
    with pytest.raises(RefreshFailed) as caught:
        command.fetch(context(**others))
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


# What is understood


@pytest.mark.parametrize(
    "printed",
    ["abc", "abc\n", "abc\r\n", "\n  abc  \n\n", "\ufeffabc\n", '"abc"\n'],
    ids=["bare", "line", "crlf", "blanks", "byte order mark", "JSON string"],
)
def test_a_program_that_prints_a_token(printed: str) -> None:
    """One word is the token, whatever blanks and line ends are around it."""
    assert fetched(printing(printed)) == Token("abc")


@pytest.mark.parametrize(
    ("printed", "expires_at"),
    [
        (
            {
                "kind": "ExecCredential",
                "apiVersion": "client.authentication.k8s.io/v1",
                "status": {"token": "abc", "expirationTimestamp": f"{IN_AN_HOUR}Z"},
            },
            NOW + 3600,
        ),
        ({"kind": "ExecCredential", "status": {"token": "abc"}}, None),
        ({"status": {"token": "abc", "expirationTimestamp": None}}, None),
        (
            {
                "configuration": {"active_configuration": "default"},
                "credential": {"access_token": "abc", "token_expiry": f"{IN_AN_HOUR}Z"},
            },
            NOW + 3600,
        ),
        ({"credential": {"access_token": "abc", "token_expiry": ""}}, None),
        ({"access_token": "abc", "token_type": "bearer", "expires_in": 3600}, NOW + 3600),
        ({"access_token": "abc", "expires_in": "3600"}, NOW + 3600),
        ({"access_token": "abc", "expiry": f"{IN_AN_HOUR}.123456789+02:00"}, NOW - 3600),
        ({"access_token": "abc", "expiry": "0001-01-01T00:00:00Z"}, None),
        ({"access_token": "abc"}, None),
        (
            {
                "accessToken": "abc",
                "expiresOn": "1999-12-31 23:59:59.000000",
                "expires_on": int(NOW) + 60,
                "tokenType": "Bearer",
            },
            NOW + 60,
        ),
        ({"token": "abc"}, None),
    ],
    ids=[
        "kubectl",
        "kubectl without expiry",
        "kubectl with null expiry",
        "gcloud config-helper",
        "gcloud config-helper without expiry",
        "token response",
        "token response with text",
        "Go token",
        "Go token without expiry",
        "token response without expiry",
        "az",
        "gcloud print-access-token",
    ],
)
def test_the_json_of_well_known_tools(printed: dict[str, Any], expires_at: float | None) -> None:
    """Token and expiry are found where each tool puts them; the expiry is in POSIX seconds."""
    assert fetched(printing(json.dumps(printed))) == Token("abc", expires_at)


@pytest.mark.parametrize(("name", "east"), [("UTC", 0), ("Etc/GMT-5", 5), ("Etc/GMT+9", -9)])
def test_the_local_time_of_az(name: str, east: int, zone: Callable[[str], None]) -> None:
    """What az printed before version 2.54 is read in this machine's own time zone."""
    printed = printing('{"accessToken": "abc", "expiresOn": "2023-11-14 23:13:20.000000"}')
    zone(name)
    assert fetched(printed).expires_at == NOW + 3600 - east * 3600


def test_a_refresh_token_is_left_alone() -> None:
    """The program renews; what it prints beside the token is not kept."""
    printed = {"access_token": "abc", "refresh_token": SECRET, "scope": "all"}
    assert fetched(printing(json.dumps(printed))).refresh_token is None


# How it is run


def test_the_environment_of_a_program() -> None:
    """It has the variables of this process, those it was given, and no input to wait for."""
    code = "import os, sys; print(os.environ['PATH' if sys.stdin.read() else sys.argv[1]])"
    assert fetched(running(code, "GIVEN", env={"GIVEN": "abc"})).value == "abc"


@pytest.mark.parametrize("env", [{}, {"KUBERNETES_EXEC_INFO": '{"mine":1}'}])
def test_what_credential_plugins_of_kubectl_are_told(env: dict[str, str]) -> None:
    """They are told that they cannot ask the user anything, unless the caller tells them more."""
    code = "import os; print(os.environ['KUBERNETES_EXEC_INFO'].encode().hex())"
    told = json.loads(bytes.fromhex(fetched(running(code, env=env)).value))
    if env:
        assert told == {"mine": 1}
    else:
        assert (told["kind"], told["spec"]) == ("ExecCredential", {"interactive": False})


def test_no_shell(tmp_path: Path) -> None:
    """What a shell would act upon reaches the program as it was written."""
    word = f"$(touch${{IFS}}{tmp_path / 'made'});`x`|&"
    assert fetched(running("import sys; print(sys.argv[1])", word)).value == word
    assert not list(tmp_path.iterdir())


@scripts
def test_a_program_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name is looked up in PATH, in the one that the program was given if there is one."""
    for folder, token in (("ours", "abc"), ("given", "def")):
        script = tmp_path / folder / "print-it"
        script.parent.mkdir()
        script.write_text(f"#!{sys.executable}\nprint({token!r})\n")
        script.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path / "ours"))
    assert fetched(Command(["print-it"])).value == "abc"
    assert fetched(Command(["print-it"], env={"PATH": str(tmp_path / "given")})).value == "def"


def test_what_it_says_to_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    """Standard error goes where ours goes, and into no message."""
    code = "import sys; print(sys.argv[1], file=sys.stderr); sys.exit(3)"
    assert fault(running(code, SECRET)).endswith("failed with exit status 3")
    assert capfd.readouterr().err.strip() == SECRET


# On the way


def test_a_401_runs_it_again(demo_server: DemoServer, httpbin_url: str, tmp_path: Path) -> None:
    """A token that the server refuses is replaced by what the program prints then."""
    demo_server.guarded = True
    file = tmp_path / "token"
    source = running("import sys; print(open(sys.argv[1]).read())", str(file))
    with requests.Session() as session:
        mount(session, Settings(token=source, origins=[httpbin_url]))
        for _ in range(2):
            demo_server.revoke()
            file.write_text(demo_server.issue())
            assert session.get(f"{httpbin_url}/get").status_code == 200
    assert [seen.status for seen in demo_server.seen] == [200, 401, 200]


def test_a_program_that_prints_the_same_again() -> None:
    """The server refuses its token, it has no other: the 401 is handed out."""
    session, below = scripted(settings(printing("abc")), EXPIRED)
    assert session.get(URL).status_code == 401
    assert carried(below) == ["Bearer abc"]


def test_a_fault_reaches_the_caller() -> None:
    """The caller of requests hears the one line that says what is wrong, and nothing is sent."""
    session, below = scripted(settings(printing(f"{SECRET} {SECRET}")))
    with pytest.raises(RefreshFailed, match="printed what is no token") as caught:
        session.get(URL)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert not below.sent


# What goes wrong


@pytest.mark.parametrize(
    ("printed", "named"),
    [
        ("", "printed nothing"),
        (" \n\n", "printed nothing"),
        (f"{SECRET}\n{SECRET}\n", "one word"),
        (f"please sign in as {SECRET}", "one word"),
        (f"{SECRET}\N{SNOWMAN}", "visible ASCII"),
        (f"{SECRET}\0", "visible ASCII"),
        (b"\xff\xfe" + SECRET.encode(), "neither a token nor JSON"),
        (f'{{"access_token": "{SECRET}"', "neither a token nor JSON"),
        (f'{{"x": {"[" * 20_000}', "neither a token nor JSON"),
        ('"', "neither a token nor JSON"),
        ("{}", "JSON without a token"),
        (f'{{"password": "{SECRET}"}}', "JSON without a token"),
        ('{"access_token": 7}', "JSON without a token"),
        ('{"status": {"clientCertificateData": "x"}}', "JSON without a token"),
        ('{"status": null}', "JSON without a token"),
        ('{"access_token": ""}', "one word"),
        (f'{{"access_token": "{SECRET}\\r\\nX: y"}}', "one word"),
        (f'{{"access_token": "{SECRET}", "token_type": "mac"}}', "no bearer token"),
        (f'{{"access_token": "{SECRET}", "token_type": 1}}', "no bearer token"),
        (f'{{"accessToken": "{SECRET}", "tokenType": "pop"}}', "no bearer token"),
    ],
)
def test_what_is_no_token(printed: str | bytes, named: str) -> None:
    """What cannot be a token is refused in words that name the fault and quote nothing."""
    assert named in fault(printing(printed))


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_in": -1},
        {"expires_in": "-1"},
        {"expires_in": True},
        {"expires_in": [1]},
        {"expires_in": "soon"},
        {"expires_in": 1e300},
        {"expires_in": float("nan")},
        {"expires_in": float("inf")},
        {"expires_in": 10**400},
        {"expiry": f"{IN_AN_HOUR}"},
        {"expiry": "2023-02-30T00:00:00Z"},
        {"expiry": "1969-12-31T23:59:59Z"},
        {"expiry": 7},
        {"expiry": {}},
    ],
)
def test_an_expiry_that_cannot_be(fields: dict[str, Any]) -> None:
    """A negative, absurd or unreadable expiry is a fault, and not a token for ever."""
    printed = json.dumps({"access_token": SECRET, **fields})
    assert "an expiry that cannot be" in fault(printing(printed))


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_on": -1},
        {"expires_on": "x"},
        {"expiresOn": "tomorrow"},
        {"expiresOn": 7},
        {"expires_on": 253402300800},
    ],
)
def test_an_expiry_of_az_that_cannot_be(fields: dict[str, Any]) -> None:
    """The same for the two that az has."""
    printed = json.dumps({"accessToken": SECRET, **fields})
    assert "an expiry that cannot be" in fault(printing(printed))


def test_a_program_that_is_not_there() -> None:
    """The message names the program, and none of its arguments."""
    said = fault(Command(["no-such-program", "--password", SECRET]))
    assert said == "the program 'no-such-program' was not found, or is not executable"


def test_a_program_that_is_none(tmp_path: Path) -> None:
    """A file that the system refuses to run is named with the kind of the error."""
    file = tmp_path / "picture"
    file.write_bytes(b"\x89PNG")
    file.chmod(0o700)
    assert fault(Command([str(file)])).endswith("cannot be run: OSError")


def test_a_program_that_fails() -> None:
    """A failed program's output is not used, even where it is a token."""
    said = fault(running("import sys; print(sys.argv[1]); sys.exit(1)", SECRET))
    assert said == f"the program {sys.executable!r} failed with exit status 1"


def test_a_token_that_is_too_long() -> None:
    """One byte more than the limit is too much."""
    assert fault(running(f"print('x' * {LIMIT})")).endswith("printed more than 256 KB")


def test_a_program_that_prints_without_end(capfd: pytest.CaptureFixture[str]) -> None:
    """A program is not read for ever: it gets hardly further than the limit, and ends by that."""
    code = f"import sys\nprint('x' * {100 * LIMIT})\nprint('all of it', file=sys.stderr)"
    assert fault(running(code)).endswith("printed more than 256 KB")
    assert "all of it" not in capfd.readouterr().err


def test_as_much_as_may_be() -> None:
    """A token as long as the limit is taken."""
    assert len(fetched(running(f"print('x' * {LIMIT - 1})")).value) == LIMIT - 1


class Hangs(FakeClock):
    """A clock on which the time of a program is over as soon as so many say that they hang.

    Attributes:
        left: What is connected to them; at its end when they are dead.
        asked: The seconds that were asked for.
    """

    def __init__(self, listening: socket.socket, count: int, opened: ExitStack) -> None:
        """Nobody hangs yet."""
        super().__init__()
        self._listening, self._count, self._opened = listening, count, opened
        self.left: list[socket.socket] = []
        self.asked: list[float] = []

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Wait for them."""
        assert wake is not None
        self.asked.append(seconds)
        for _ in range(self._count):
            connection = self._opened.enter_context(self._listening.accept()[0])
            connection.settimeout(30)
            self.left.append(connection)


@pytest.fixture
def hangs() -> Iterator[Callable[[str, int], Hangs]]:
    """A function that runs a program of which so many processes hang, and gives its clock."""
    with ExitStack() as opened:
        listening = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        listening.settimeout(30)
        port = listening.getsockname()[1]

        def run(code: str, count: int) -> Hangs:
            clock = Hangs(listening, count, opened)
            said = fault(running(code, str(port)), clock=clock, timeout=12.5)
            assert said.endswith("took longer than 12.5 s")
            return clock

        yield run


HANG = """
import socket, sys
here = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
here.recv(1)
"""


@pytest.mark.parametrize(
    ("code", "count"),
    [
        (HANG, 1),
        ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + HANG, 1),
        ("import os; os.close(1)" + HANG, 1),
        ("print('abc', flush=True)" + HANG, 1),
        pytest.param(f"import os\nif os.fork(): os._exit(0)\n{HANG}", 1, marks=forks),
        pytest.param(f"import os\nos.fork(); os.fork()\n{HANG}", 4, marks=forks),
    ],
    ids=["hangs", "ignores", "closed its output", "printed", "child with the pipe", "children"],
)
def test_a_program_that_hangs(code: str, count: int, hangs: Callable[[str, int], Hangs]) -> None:
    """When its time is over it is killed with all that it started, whoever holds the pipe."""
    clock = hangs(code, count)
    assert clock.asked == [12.5]
    assert [connection.recv(1) for connection in clock.left] == [b""] * count


def test_a_program_runs_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """In `atexit`, from Python 3.12 on: the caller reads the output itself."""
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert fetched(printing("abc")) == Token("abc")
    endless = running("import os\nwhile True: os.write(1, b'x' * 4096)")
    assert fault(endless).endswith("printed more than 256 KB")


@forks
@pytest.mark.parametrize("before", ["pass", "os.write(1, b'abc')", "os.close(1)"])
def test_a_program_that_hangs_where_no_thread_can_be_started(
    before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed when the time is over, whatever it printed, so that ours can end."""
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    hanging = running(f"import os, signal; {before}; signal.pause()")
    assert fault(hanging, timeout=0.125).endswith("took longer than 0.125 s")


@forks
def test_a_child_that_is_left_behind() -> None:
    """A program that has printed its token and ended is not waited for because of its child."""
    code = "import os, time\nif os.fork(): print('kept', flush=True); os._exit(0)\ntime.sleep(120)"
    context = FetchContext(None, timeout=100)
    assert Command([sys.executable, "-c", code]).fetch(context).value == "kept"


# Whatever is printed


PROGRAM = repr(sys.executable)
FAULTS = {
    f"the program {PROGRAM} {fault}"
    for fault in (
        "printed nothing",
        "printed what is neither a token nor JSON",
        "printed what is no token: that is one word, in visible ASCII",
        "printed JSON without a token",
        "printed a token that is no bearer token",
        "printed a token with an expiry that cannot be",
    )
}

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["abc", "bearer", f"{IN_AN_HOUR}Z", "2023-11-14 23:13:20.000000"])
)
holders = ["status", "credential"]
secrets = ["token", "access_token", "accessToken", "token_type", "tokenType"]
expiries = ["expires_in", "expires_on", "expiresOn", "expiry", "token_expiry"]
names = st.sampled_from([*holders, *secrets, *expiries, "expirationTimestamp"])
documents = st.recursive(leaves, lambda inner: st.dictionaries(names, inner), max_leaves=12)
outputs = (
    st.binary()
    | st.text().map(str.encode)
    | documents.map(json.dumps).map(str.encode)
    | st.builds(lambda text, end: json.dumps(text)[:end].encode(), documents, st.integers(0, 99))
)


@given(outputs)
def test_whatever_a_program_prints(printed: bytes) -> None:
    """There is a token that can stand in a header, or one of six lines, which quote nothing."""
    try:
        token = fetched(printing(printed))
    except RefreshFailed as error:
        assert str(error) in FAULTS  # noqa: PT017 (what else is a token)
    else:
        assert token.value.isascii()
        assert len(token.value.split()) == 1
        assert token.expires_at is None or 0 <= token.expires_at < 253402300800


# As an object


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (f"az {SECRET}", {}),
        (f"az {SECRET}".encode(), {}),
        (7, {}),
        ([], {}),
        ([""], {}),
        (["az", SECRET, 7], {}),
        (["az", SECRET.encode()], {}),
        (["az", f"{SECRET}\0"], {}),
        (["az"], {"env": SECRET}),
        (["az"], {"env": {"A": 7, "B": SECRET}}),
        (["az"], {"env": {7: SECRET}}),
        (["az"], {"env": {"A": f"{SECRET}\0"}}),
    ],
)
def test_what_cannot_be_run(args: Any, options: dict[str, Any]) -> None:
    """It is refused when it is made, with the way out and without a word of what was given."""
    with pytest.raises(ConfigurationError, match="takes") as caught:
        Command(args, **options)
    assert SECRET not in str(caught.value)


def test_any_collection_will_do() -> None:
    """The words may come from a generator, and from shlex for who has one string."""
    words = shlex.split("printf abc")
    assert fetched(Command(word for word in words)).value == "abc"  # type: ignore[arg-type]


def test_what_it_shows() -> None:
    """Its repr has the program alone."""
    command = Command(["az", "--password", SECRET], env={"SECRET": SECRET})
    assert repr(command) == "Command(['az', ...])"


def test_it_is_a_token_source() -> None:
    """It goes through a pickle, and keeps its own name in a store."""
    command: Command = pickle.loads(pickle.dumps(printing("abc")))  # noqa: S301 (our own bytes)
    assert fetched(command).value == "abc"
    source: TokenSource = Command(["az"], store_key="ada")
    assert (command.store_key, getattr(source, "store_key", None)) == ("", "ada")
