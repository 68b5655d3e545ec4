"""`Prompt`: a person is asked for a user name and a password."""

from __future__ import annotations

import base64
import getpass
import io
import pickle
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry import FetchContext, MemoryStore, RefreshFailed, Settings, Token
from requests_authretry.oauth2 import Password
from requests_authretry.sources import Prompt
from requests_authretry.testing import FakeClock
from tests.oauth2.support import Authority, gives, refuses
from tests.support.scripted import ORIGIN, URL, carried, scripted, settings

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "lovelace: é 77d0"
WRONG = (401, {"WWW-Authenticate": 'Basic realm="api"'})


class Person:
    """A person at a terminal, who answers in turn; an exception is raised.

    Attributes:
        asked: The questions.
    """

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def answer(self, question: str = "") -> str:
        """Answer a question."""
        self.asked.append(question)
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)


class Terminal(io.StringIO):
    """A terminal as standard input."""

    def isatty(self) -> bool:
        """It is."""
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Person]:
    """Puts a person at the terminal, who is asked as on a terminal."""

    def sit_down(*answers: Any) -> Person:
        person, stdin = Person(*answers), Terminal()
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "__stdin__", stdin)
        monkeypatch.setattr("builtins.input", person.answer)

        def ask(question: str) -> str:
            return person.answer(question)

        ask.__module__ = getpass.__name__  # as the one of Python
        monkeypatch.setattr(getpass, "getpass", ask)
        return person

    return sit_down


def basic(text: str) -> str:
    """The header of HTTP Basic."""
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_a_prompt_gives_the_credentials_of_basic(
    terminal: Callable[..., Person], capsys: pytest.CaptureFixture[str]
) -> None:
    """The person is asked once for all calls; the question stays out of standard output."""
    person = terminal(" ada ", PASSWORD)
    session, below = scripted(settings(Prompt()), 200, 200)
    session.get(URL)
    session.get(URL)
    assert carried(below) == [basic(f"ada:{PASSWORD}")] * 2
    assert person.asked == ["", "Password of ada: "]
    assert capsys.readouterr() == ("", "User name: ")


def test_a_prompt_says_what_it_is_for(
    terminal: Callable[..., Person], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the title of the service in each question; a user who is named is not asked for."""
    person = terminal("ada", PASSWORD, PASSWORD)
    Prompt(title="Jira").ask()
    assert Prompt("bob", title="Jira").ask() == ("bob", PASSWORD)
    assert person.asked == ["", "Password of ada for Jira: ", "Password of bob for Jira: "]
    assert capsys.readouterr().err == "User name for Jira: "


def test_a_refused_password_is_asked_for_again(
    terminal: Callable[..., Person], capsys: pytest.CaptureFixture[str]
) -> None:
    """The person reads that the server refused it; one more question in each call."""
    terminal("wrong", "right")
    session, below = scripted(settings(Prompt("ada")), WRONG, 200)
    assert session.get(URL).status_code == 200
    assert carried(below) == [basic("ada:wrong"), basic("ada:right")]
    assert capsys.readouterr().err == "The server refused these credentials.\n"


def test_a_store_keeps_the_answers(terminal: Callable[..., Person]) -> None:
    """A program without a terminal uses what was entered at one, while the server takes it."""
    store = MemoryStore()
    terminal(PASSWORD)
    scripted(settings(Prompt("ada", store_key="ada"), store=store), 200)[0].get(URL)
    session, below = scripted(settings(Prompt("ada", store_key="ada"), store=store), 200)
    session.get(URL)
    assert carried(below) == [basic(f"ada:{PASSWORD}")]


def test_a_notebook_asks_both_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question for the user name is shown where the cell is."""
    person = Person("ada", PASSWORD)
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr("builtins.input", person.answer)
    monkeypatch.setattr(getpass, "getpass", person.answer)
    assert Prompt().ask() == ("ada", PASSWORD)
    assert person.asked == ["User name: ", "Password of ada: "]


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_without_a_terminal_the_error_names_the_way_out(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """A job of cron has nobody to ask; Windows would show a password that is typed elsewhere."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(sys, "stdin", Terminal() if platform == "win32" else io.StringIO())
    with pytest.raises(RefreshFailed) as caught:
        scripted(settings(Prompt()))[0].get(URL)
    assert str(caught.value) == (
        "nobody can be asked for a password: standard input is no terminal, and this is no "
        "notebook. Read both from variables: Settings(auth=HTTPBasicAuth(os.environ['MY_USER'], "
        "os.environ['MY_PASSWORD'])); or give sources.Command a program that prints a token; or "
        "name a store in the settings, and sign in at a terminal once"
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (("",), "the user name that was entered is empty, or has a colon"),
        (("a:b",), "the user name that was entered is empty, or has a colon"),
        ((EOFError(),), "the input ended before the question was answered"),
        (("ada", EOFError()), "the input ended before the question was answered"),
    ],
)
def test_answers_that_cannot_be_used(
    terminal: Callable[..., Person], answers: tuple[Any, ...], said: str
) -> None:
    """They are an error for the caller, and the next call asks again."""
    person = terminal(*answers, "ada", PASSWORD)
    clock = FakeClock()
    session, below = scripted(settings(Prompt(), clock=clock), 200)
    with pytest.raises(RefreshFailed, match=said) as caught:
        session.get(URL)
    assert caught.value.__cause__ is None
    clock.advance(30)
    session.get(URL)
    assert carried(below) == [basic(f"ada:{PASSWORD}")]
    assert len(person.asked) == len(answers) + 2


def test_ctrl_c_at_a_prompt_is_raised(terminal: Callable[..., Person]) -> None:
    """The next call asks again, at once."""
    terminal(KeyboardInterrupt(), PASSWORD)
    session, _ = scripted(settings(Prompt("ada")), 200)
    with pytest.raises(KeyboardInterrupt):
        session.get(URL)
    assert session.get(URL).status_code == 200


def test_nobody_is_asked_early(terminal: Callable[..., Person]) -> None:
    """An early renewal has no call that waits."""
    person = terminal()
    for source in (Prompt(), Password(Authority().client(), Prompt())):
        with pytest.raises(RefreshFailed, match="before it is needed"):
            source.fetch(FetchContext(None, early=True))
    assert not person.asked


def test_a_password_is_nowhere_to_be_seen(terminal: Callable[..., Person]) -> None:
    """Not in the source, its repr, its pickle, the settings, nor in a traceback with locals."""
    terminal(PASSWORD, KeyboardInterrupt(), PASSWORD)
    prompt = Prompt("ada")
    chosen = settings(prompt)
    session, _ = scripted(chosen, WRONG)
    with pytest.raises(KeyboardInterrupt) as caught:
        session.get(URL)
    whole = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = [each.locals for each in whole.stack if "requests_authretry/" in each.filename]
    answers = prompt.ask()
    for text in (repr(shown), repr(vars(prompt)), repr(chosen), repr(answers)):
        assert PASSWORD not in text
        assert basic(f"ada:{PASSWORD}").split()[1] not in text
    assert PASSWORD.encode() not in pickle.dumps((prompt, answers))
    assert repr(prompt) == "Prompt('ada', title='')"


def test_password_asks_when_there_is_no_refresh_token(terminal: Callable[..., Person]) -> None:
    """A refresh token is used while it lasts; then the person is asked again."""
    person = terminal(PASSWORD, PASSWORD)
    authority = Authority(
        gives(refresh_token="refresh"),
        gives(refresh_token="next"),
        refuses("invalid_grant"),
        gives(),
    )
    source = Password(authority.client(), Prompt("ada", title="Jira"))
    first = source.fetch(authority.context())
    second = source.fetch(authority.context(stale=first))
    source.fetch(authority.context(stale=second))
    kinds = [form["grant_type"] for form in authority.forms]
    assert kinds == ["password", "refresh_token", "refresh_token", "password"]
    assert authority.forms[0]["username"] == "ada"
    assert authority.forms[0]["password"] == PASSWORD
    assert person.asked == ["Password of ada for Jira: "] * 2


def test_which_sources_ask() -> None:
    """`Password` asks with a `Prompt` alone, and a wait for it is a wait for a sign-in."""
    client = Authority().client()
    assert Password(client, Prompt()).may_prompt is True
    assert Password(client, "ada", PASSWORD).may_prompt is False
    assert hasattr(Password(client, Prompt()), "patience")
    assert not hasattr(Password(client, "ada", PASSWORD), "patience")
    assert Settings(token=Prompt(), origins=[ORIGIN]).token is not None
    assert Token("YQ==", scheme="Basic").authorization == "Basic YQ=="
