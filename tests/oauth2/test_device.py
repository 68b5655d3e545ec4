"""The device grant: a human is asked once, waited for with patience, and not asked again."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import FetchContext, MemoryStore, RefreshFailed, RetryPolicy, Token
from requests_authretry._core.bounds import USER_CODE, WORDS
from requests_authretry.oauth2 import Client, DeviceCode, SignIn
from requests_authretry.testing import FakeClock
from tests.oauth2.support import (
    ACCESS,
    API,
    AT_ONCE,
    CLIENT_SECRET,
    ISSUER,
    ONCE,
    REFRESH,
    Authority,
    ended_renewals,
    failure,
    gives,
    mounted,
    refuses,
    says,
    told_by,
)
from tests.support.sessions import raised

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_authretry.testing import Line
    from tests.servers.oidc import OidcServer

DEVICE_URL = f"{ISSUER}/device"
SCOPES = ["openid", "offline_access", "api:read"]
CODE = "device-code-8a61f0"
ASKED = {
    "device_code": CODE,
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://login.example.com/activate",
    "verification_uri_complete": "https://login.example.com/activate?code=WDJB-MJHT",
    "expires_in": 900,
    "interval": 5,
}
PENDING = refuses("authorization_pending")
SLOWER = refuses("slow_down")
DOWN: Line = (503, {}, b"")
LOST = requests.ConnectionError("lost")
STALE = Token("stale", refresh_token=REFRESH)


class Human:
    """Who is asked to sign in.

    Attributes:
        asked: What they were shown.
    """

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.asked: list[SignIn] = []

    def __call__(self, sign_in: SignIn) -> None:
        """Be asked."""
        self.asked.append(sign_in)


def signing_in(*script: Line, **options: Any) -> tuple[Authority, Human, DeviceCode]:
    """An authority with this script, the human, and the source."""
    authority, human = Authority(*script), Human()
    client = authority.client(device_url=DEVICE_URL)
    return authority, human, DeviceCode(client, SCOPES, prompt=human, **options)


def test_a_human_signs_in() -> None:
    """RFC 8628: what is asked, what the human is shown, and what is asked until they are done."""
    authority, human, source = signing_in(
        says(ASKED), PENDING, PENDING, gives(refresh_token=REFRESH)
    )
    found = source.fetch(authority.context())
    assert (found.value, found.refresh_token) == (ACCESS, REFRESH)
    assert [request.url for request in authority.sent] == [DEVICE_URL, *[f"{ISSUER}/token"] * 3]
    device, *polls = authority.forms
    assert device == {"scope": " ".join(SCOPES)}
    assert (
        polls
        == [{"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": CODE}] * 3
    )
    (shown,) = human.asked
    assert shown == SignIn(
        url="https://login.example.com/activate",
        code="WDJB-MJHT",
        complete_url="https://login.example.com/activate?code=WDJB-MJHT",
        expires_in=900,
    )
    assert authority.clock.sleeps == [5, 5, 5]


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """By default the human is asked on standard error; output of the program stays clean."""
    authority = Authority(says(ASKED), gives())
    DeviceCode(authority.client(device_url=DEVICE_URL)).fetch(authority.context())
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "open https://login.example.com/activate and enter the code WDJB-MJHT" in printed.err
    assert CODE not in printed.err


@pytest.mark.parametrize(
    ("script", "waits"),
    [
        ([PENDING, PENDING], [5, 5, 5]),
        ([SLOWER], [5, 10]),
        ([SLOWER, PENDING, SLOWER], [5, 10, 10, 15]),
        ([DOWN], [5, 10]),
        ([LOST, PENDING], [5, 10, 10]),
        ([requests.ReadTimeout("slow")], [5, 10]),
    ],
)
def test_the_pace(script: list[Line], waits: list[int]) -> None:
    """Section 3.5: `slow_down` adds five seconds for good, trouble doubles the interval."""
    authority, _, source = signing_in(says(ASKED), *script, gives())
    source.fetch(authority.context(retry=ONCE))
    assert authority.clock.sleeps == waits


@pytest.mark.parametrize(
    ("fields", "first"),
    [
        ({}, 5),
        ({"interval": 7}, 7),
        ({"interval": 0}, 5),
        ({"interval": 0.2}, 1),
        ({"interval": "3"}, 3),
    ],
)
def test_the_interval(fields: dict[str, object], first: float) -> None:
    """As the server says; five seconds where it says nothing, and never a storm."""
    asked = {name: value for name, value in ASKED.items() if name != "interval"} | fields
    authority, _, source = signing_in(says(asked), gives())
    source.fetch(authority.context())
    assert authority.clock.sleeps == [first]


@pytest.mark.parametrize(
    "error", ["access_denied", "expired_token", "invalid_grant", "invalid_client"]
)
def test_an_end_without_a_token(error: str) -> None:
    """A human who says no, or a code that has expired, ends it; nobody is asked again."""
    authority, human, source = signing_in(says(ASKED), PENDING, refuses(error))
    raised_error = failure(source, authority.context())
    assert raised_error.error == error
    assert CODE not in told_by(raised_error)
    assert len(human.asked) == 1
    assert len(authority.sent) == 3


@pytest.mark.parametrize(("life", "polls"), [(900, 179), (12, 2), (5, 0), (10**9, 359)])
def test_a_human_who_never_comes(life: float, polls: int) -> None:
    """The code is waited for as long as it is good, and no longer than half an hour."""
    script = [says(ASKED | {"expires_in": life}), *[PENDING] * polls]
    authority, _, source = signing_in(*script)
    error = failure(source, authority.context())
    assert "nobody signed in before the code was not good any more" in str(error)
    assert len(authority.sent) == 1 + polls
    assert authority.clock.monotonic() <= 1800


@pytest.mark.parametrize("name", ["device_code", "user_code", "verification_uri"])
@pytest.mark.parametrize("value", [None, "", 5, []])
def test_an_answer_that_lacks_something(name: str, value: object) -> None:
    """Without a code, or a place to enter it, nobody is asked."""
    authority, human, source = signing_in(says(ASKED | {name: value}))
    error = failure(source, authority.context())
    assert "lacks a code, or where to enter it" in str(error)
    assert human.asked == []


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": None},
        {"expires_in": True},
        {"expires_in": "soon"},
        {"interval": -1},
        {"interval": "often"},
        {"interval": float("nan")},
        {"interval": float("inf")},
    ],
)
def test_absurd_times(fields: dict[str, object]) -> None:
    """Times that are none are a fault of the server, and nobody is asked."""
    authority, human, source = signing_in(says(ASKED | fields))
    assert "absurd times" in str(failure(source, authority.context()))
    assert human.asked == []


@pytest.mark.parametrize("name", ["user_code", "verification_uri"])
def test_what_would_play_tricks_on_a_terminal(name: str) -> None:
    """A code with control characters is not printed: it could write anything on a terminal."""
    authority, human, source = signing_in(says(ASKED | {name: "https://a.example/\x1b[2Jcode"}))
    failure(source, authority.context())
    assert human.asked == []


def test_the_old_name_of_the_place() -> None:
    """Google says ``verification_url``."""
    asked: dict[str, object] = dict(ASKED)
    asked["verification_url"] = asked.pop("verification_uri")
    authority, human, source = signing_in(says(asked), gives())
    source.fetch(authority.context())
    assert human.asked[0].url == "https://login.example.com/activate"


def test_neither_code_shows() -> None:
    """What the human enters is a secret for a while: it is in no repr."""
    authority, human, source = signing_in(says(ASKED), gives())
    source.fetch(authority.context())
    assert "WDJB" not in repr(human.asked[0])


@pytest.mark.parametrize("answer", [(503, {}, b""), (200, {}, b"<html>"), refuses("invalid_scope")])
def test_a_device_request_that_fails(answer: Line) -> None:
    """A server that gives no code is told as that; nobody is asked."""
    authority, human, source = signing_in(answer)
    error = failure(source, authority.context(retry=ONCE))
    assert str(error).startswith(f"{DEVICE_URL} answered ")
    assert human.asked == []


def test_a_device_request_that_echoes_a_secret() -> None:
    """A client that proves its name does so here, too, and its secret is in no message."""
    authority, _, source = signing_in(refuses("invalid_client", error_description=CLIENT_SECRET))
    assert CLIENT_SECRET not in told_by(failure(source, authority.context()))
    assert str(authority.sent[0].headers["Authorization"]).startswith("Basic ")


def test_who_has_a_refresh_token_is_not_asked() -> None:
    """While the refresh token is good, no human is needed."""
    authority, human, source = signing_in(gives())
    found = source.fetch(authority.context(stale=STALE))
    assert found.refresh_token == REFRESH
    assert human.asked == []
    assert authority.forms == [{"grant_type": "refresh_token", "refresh_token": REFRESH}]


def test_a_refresh_token_that_is_not_good_any_more() -> None:
    """The human is asked again when it has ended, and for no other fault."""
    authority, human, source = signing_in(refuses("invalid_grant"), says(ASKED), gives())
    assert source.fetch(authority.context(stale=STALE)).value == ACCESS
    assert len(human.asked) == 1
    for trouble in (DOWN, refuses("invalid_client", 401)):
        authority, human, source = signing_in(trouble)
        failure(source, authority.context(stale=STALE, retry=ONCE))
        assert human.asked == []


def test_nobody_is_asked_early() -> None:
    """A renewal in the background asks no human, as the token is good still."""
    authority, human, source = signing_in(refuses("invalid_grant"))
    error = failure(source, authority.context(stale=STALE, early=True))
    assert "nobody is asked to sign in before it is needed" in str(error)
    assert human.asked == []


# --- against the real server --------------------------------------------------------------


def approving(oidc: OidcServer, asked: list[SignIn]) -> Callable[[SignIn], None]:
    """A human who agrees at once."""

    def prompt(sign_in: SignIn) -> None:
        asked.append(sign_in)
        oidc.approve(sign_in.code)

    return prompt


def test_with_the_real_server(oidc: OidcServer, api: str) -> None:
    """The human signs in once; from then on the refresh token does."""
    asked: list[SignIn] = []
    client = Client(*oidc.app, issuer=oidc.issuer)
    source = DeviceCode(client, SCOPES, prompt=approving(oidc, asked))
    with mounted(source, api, clock=FakeClock()) as session:
        for _ in range(3):
            assert session.get(f"{api}/get").status_code == 200
            oidc.expire_all()
    assert len(asked) == 1
    assert asked[0].url.startswith(oidc.issuer)
    grants = [entry["grant"].rpartition(":")[2] for entry in oidc.log()]
    assert grants == ["device_code", "refresh_token", "refresh_token"]


def test_a_public_client_without_scopes(oidc: OidcServer) -> None:
    """A program without a secret may ask as well; no scope is left to the server."""
    asked: list[SignIn] = []
    client = Client(oidc.app_public.id, issuer=oidc.issuer)
    source = DeviceCode(client, prompt=approving(oidc, asked))
    assert source.fetch(FetchContext(None, timeout=10, clock=FakeClock())).value
    assert len(asked) == 1


def test_a_human_who_says_no(oidc: OidcServer) -> None:
    """The real server's word for it."""
    source = DeviceCode(
        Client(*oidc.app, issuer=oidc.issuer), SCOPES, prompt=lambda it: oidc.deny(it.code)
    )
    error = failure(source, FetchContext(None, timeout=10, clock=FakeClock()))
    assert error.error == "access_denied"


class Patient(FakeClock):
    """A clock on which somebody does something while another waits."""

    def __init__(self, *actions: Callable[[], object]) -> None:
        super().__init__()
        self._actions = list(actions)

    def sleep(self, seconds: float, wake: Event | None = None) -> None:
        """Wait, and let the next action happen."""
        super().sleep(seconds, wake)
        if wake is None and self._actions:
            self._actions.pop(0)()


def test_trouble_while_a_human_is_waited_for(oidc: OidcServer, api: str) -> None:
    """Pending, an outage and a lost answer on the way do not end a sign-in."""
    asked: list[SignIn] = []
    clock = Patient(
        lambda: None,
        lambda: oidc.fault("status", count=1),
        lambda: oidc.fault("drop", count=1),
        lambda: oidc.approve(asked[0].code),
    )
    source = DeviceCode(Client(*oidc.app, issuer=oidc.issuer), SCOPES, prompt=asked.append)
    with mounted(source, api, clock=clock, retry=ONCE) as session:
        assert session.get(f"{api}/get").status_code == 200
    log = [(entry["status"], entry["error"] or entry["fault"]) for entry in oidc.log()]
    assert log == [
        (400, "authorization_pending"),
        (503, "temporarily_unavailable"),
        (None, "drop"),
        (200, None),
    ]
    assert clock.sleeps == [5, 5, 10, 20]


def test_a_server_that_holds_the_pace(oidc_server: Callable[..., OidcServer]) -> None:
    """Polled faster than it likes, the real server says so, and is asked more slowly."""
    oidc = oidc_server(interval=1)
    asked: list[SignIn] = []
    clock = Patient(lambda: None, lambda: oidc.approve(asked[0].code))
    source = DeviceCode(Client(*oidc.app, issuer=oidc.issuer), SCOPES, prompt=asked.append)
    # On this clock no time passes at the server: each poll is too early for it, for a while.
    error = failure(source, FetchContext(None, timeout=10, clock=clock))
    assert "nobody signed in" in str(error)
    assert clock.sleeps[:4] == [1, 6, 11, 16]
    assert {entry["error"] for entry in oidc.log()} == {"slow_down"}


def test_a_human_who_is_slower_than_the_caller(oidc: OidcServer, api: str) -> None:
    """The caller is back at its deadline; the sign-in goes on, and serves the next call."""
    asked: list[SignIn] = []
    arrived = Event()
    may_go_on = Event()

    def prompt(sign_in: SignIn) -> None:
        asked.append(sign_in)
        arrived.set()
        assert may_go_on.wait(120)

    clock = FakeClock()
    clock.patience = 0.05
    policy = RetryPolicy(deadline=20.0)
    source = DeviceCode(Client(*oidc.app, issuer=oidc.issuer), SCOPES, prompt=prompt)
    with mounted(source, api, clock=clock, retry=policy, store=MemoryStore()) as session:
        errors = [raised(session, f"{api}/get")]
        assert arrived.wait(120)
        errors.append(raised(session, f"{api}/get"))
        assert all("no token within the 20 s" in str(error) for error in errors)
        assert all(isinstance(error, RefreshFailed) for error in errors)
        oidc.approve(asked[0].code)
        may_go_on.set()
        ended_renewals()
        assert session.get(f"{api}/get").status_code == 200
    assert len(asked) == 1


class Impatient(MemoryStore):
    """A store whose lock is not waited for."""

    def lock(self, key: str, timeout: float) -> Any:  # noqa: ARG002 (the protocol's)
        """Exclude others, or give up at once."""
        return super().lock(key, 0.01)


def test_a_sign_in_is_not_begun_twice(oidc: OidcServer, api: str) -> None:
    """A human may take longer than any other source: nobody gives up on them after a minute."""
    asked: list[SignIn] = []
    may_go_on = Event()

    def prompt(sign_in: SignIn) -> None:
        asked.append(sign_in)
        assert may_go_on.wait(120)

    clock = FakeClock()
    clock.patience = 0.05
    policy = RetryPolicy(deadline=50.0)
    source = DeviceCode(Client(*oidc.app, issuer=oidc.issuer), SCOPES, prompt=prompt)
    with mounted(source, api, clock=clock, retry=policy, store=Impatient()) as session:
        for _ in range(4):
            raised(session, f"{api}/get")
        oidc.approve(asked[0].code)
        may_go_on.set()
        ended_renewals()
        assert session.get(f"{api}/get").status_code == 200
    assert len(asked) == 1


def test_an_expired_code(oidc_server: Callable[..., OidcServer]) -> None:
    """The life of the code is the server's word: it ends the wait."""
    oidc = oidc_server(device_ttl=12)
    clock = FakeClock()
    asked: list[SignIn] = []
    source = DeviceCode(Client(*oidc.app, issuer=oidc.issuer), SCOPES, prompt=asked.append)
    error = failure(source, FetchContext(None, timeout=10, clock=clock, retry=AT_ONCE))
    assert "nobody signed in before the code was not good any more" in str(error)
    assert clock.sleeps == [5, 5]
    assert asked[0].expires_in == 12
    assert API not in str(error)


@pytest.mark.parametrize(("field", "most"), [("user_code", USER_CODE), ("verification_uri", WORDS)])
def test_what_a_human_is_shown_is_short(field: str, most: int) -> None:
    """A code or an address that no human can use is none."""
    authority, human, source = signing_in(says(ASKED | {field: "c" * most}), gives())
    source.fetch(authority.context())
    assert len(human.asked) == 1
    authority, human, source = signing_in(says(ASKED | {field: "c" * (most + 1)}))
    assert "lacks a code" in str(failure(source, authority.context()))


def test_a_long_complete_url_is_none() -> None:
    """Where the address with the code in it is too long, the human is shown the other one."""
    complete = "https://login.example.com/".ljust(WORDS + 1, "c")
    authority, human, source = signing_in(
        says(ASKED | {"verification_uri_complete": complete}), gives()
    )
    source.fetch(authority.context())
    assert human.asked[0].complete_url is None
