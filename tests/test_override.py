"""`override` and `sites`: other settings for some calls, and for some origins."""

from __future__ import annotations

from contextvars import copy_context
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import requests

from requests_authretry import (
    ConfigurationError,
    FetchContext,
    MemoryStore,
    RetryPolicy,
    Settings,
    Token,
    install,
    mount,
    override,
)
from requests_authretry._override import current
from requests_authretry._shared import SharedState
from requests_authretry.testing import FakeClock, ScriptedAdapter
from tests.support.limits import hint
from tests.support.scripted import EXPIRED, URL, Source, scripted, settings
from tests.support.sessions import AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Generator

ONCE = RetryPolicy(max_attempts=1)
FOUR = RetryPolicy(backoff=AT_ONCE)
OTHER = "https://other.example.com"


def test_only_the_calls_inside() -> None:
    """Inside the block one attempt, before and after it four."""
    session, below = scripted(Settings(retry=FOUR), *[503] * 9)
    session.get(URL)
    with override(retry=ONCE):
        session.get(URL)
    session.get(URL)
    assert len(below.sent) == 4 + 1 + 4


def test_what_is_installed_is_overridden_as_well() -> None:
    """It holds for sessions that nobody mounted."""
    session, below = requests.Session(), ScriptedAdapter(503, 503)
    session.mount("https://", below)
    with install(Settings(retry=FOUR)), override(retry=ONCE):
        session.get(URL)
    assert len(below.sent) == 1


def test_one_inside_another_adds_to_it() -> None:
    """The inner one's fields count first, the outer one's stay."""
    session, below = scripted(Settings(retry=FOUR), *[503] * 9)
    with override(retry=ONCE):
        with override(timeout=5):
            session.get(URL)
        with override(retry=RetryPolicy(max_attempts=2, backoff=AT_ONCE)):
            session.get(URL)
        session.get(URL)
    assert len(below.sent) == 1 + 2 + 1


def test_other_threads_are_left_alone() -> None:
    """A thread started in the block has the session's own settings, unless given the context."""
    session, below = scripted(Settings(retry=FOUR), *[503] * 9)
    with override(retry=ONCE):
        for target in (lambda: session.get(URL), lambda: copy_context().run(session.get, URL)):
            thread = Thread(target=target)
            thread.start()
            thread.join(120)
        context = copy_context()
        thread = Thread(target=lambda: context.run(session.get, URL))
        thread.start()
        thread.join(120)
    assert len(below.sent) == 4 + 4 + 1


def test_the_token_is_the_sessions() -> None:
    """A change of something else leaves token and renewal shared: none is fetched twice."""
    source = Source("first", "second")
    session, below = scripted(settings(source), 200, EXPIRED, 200, 200)
    session.get(URL)
    with override(retry=ONCE, timeout=3):
        session.get(URL)
    session.get(URL)
    sent = [request.headers["Authorization"] for request in below.sent]
    assert sent == ["Bearer first", "Bearer first", "Bearer second", "Bearer second"]
    assert source.calls == 2


def test_another_token() -> None:
    """A token of its own is sent inside, and the session's before and after."""
    session, below = scripted(settings("mine"), 200, 200, 200)
    session.get(URL)
    with override(token=Token("yours")):
        session.get(URL)
    session.get(URL)
    sent = [request.headers["Authorization"] for request in below.sent]
    assert sent == ["Bearer mine", "Bearer yours", "Bearer mine"]


def test_another_token_stays_out_of_the_sessions_store() -> None:
    """Neither finds the other's under the name that their origins share."""
    store = MemoryStore()
    session, below = scripted(settings(Source("mine"), store=store), 200, 200, 200)
    with override(token=Source("yours")):
        session.get(URL)
    session.get(URL)
    with override(token=Source("yours")):
        session.get(URL)
    sent = [request.headers["Authorization"] for request in below.sent]
    assert sent == ["Bearer yours", "Bearer mine", "Bearer yours"]


def test_another_token_goes_to_no_other_site() -> None:
    """Among sites a token has to say where it belongs, and goes nowhere else."""
    sites = [Settings(origins=["https://one.example.com"]), Settings(origins=[OTHER])]
    hop = (302, {"Location": f"{OTHER}/"})
    session, below = scripted(Settings(sites=sites), hop, 200)
    with override(token="yours"), pytest.raises(ConfigurationError, match="token needs origins"):
        session.get("https://one.example.com/")
    with override(token="yours", origins=["https://one.example.com"]):
        session.get("https://one.example.com/")
    sent = [request.headers.get("Authorization") for request in below.sent]
    assert sent == ["Bearer yours", None]


def test_no_token() -> None:
    """A call can go without."""
    session, below = scripted(settings("mine"), 200)
    with override(token=None):
        session.get(URL)
    assert "Authorization" not in below.sent[0].headers


def test_no_token_where_a_header_was_adopted() -> None:
    """Without a token the caller's header goes as it is."""
    session, below = scripted(settings("mine", adopt=["authorization"]), 200)
    with override(token=None):
        session.get(URL, headers={"Authorization": "Bearer theirs"})
    assert below.sent[0].headers["Authorization"] == "Bearer theirs"


def test_a_cool_down_is_shared() -> None:
    """A limit that was met inside holds outside, and the other way round."""
    clock = FakeClock()
    chosen = Settings(retry=FOUR, clock=clock)
    session, _ = scripted(chosen, hint(30), 200)
    with override(retry=ONCE):
        assert session.get(URL).status_code == 429
    assert session.get(URL).status_code == 200
    assert clock.sleeps == [30.0]


def test_a_source_is_not_overridden() -> None:
    """What a token source sends while it renews has its own settings."""
    inner, below = scripted(Settings(retry=FOUR), 503, 503, 200)

    def fetch() -> str:
        assert inner.get(f"{OTHER}/token").status_code == 200
        return "tok"

    session, _ = scripted(settings(fetch), 200)
    with override(retry=ONCE):
        assert session.get(URL).status_code == 200
    assert len(below.sent) == 3


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"timeouts": 3}, "timeouts is unknown; did you mean timeout?"),
        ({"sites": []}, "sites cannot be changed"),
        ({"timeout": -1}, "timeout must be above zero, not -1"),
        ({"retry": 3}, "retry must be a RetryPolicy, not int"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], fault: str) -> None:
    """Unknown names and impossible values are refused where they are written."""
    with pytest.raises(ConfigurationError, match=f"^override: {fault}"), override(**changes):
        pytest.fail("the block began")


def test_what_the_session_can_do_with_is_taken() -> None:
    """A change that works with the session's other settings is not refused by itself."""
    session, below = scripted(settings("tok"), EXPIRED)
    with override(adopt=["authorization"], auth=None):
        session.get(URL, headers={"Authorization": "Bearer legacy"})
    assert below.sent[0].headers["Authorization"] == "Bearer legacy"
    plain, below = scripted(settings("tok", allow_http=True), 200)
    with override(origins=["http://api.internal"]):
        plain.get(URL)
    assert "Authorization" not in below.sent[0].headers


# Priority


@pytest.mark.parametrize("priority", [True, 1.0, "1"])
def test_a_priority_that_is_no_whole_number_is_refused(priority: Any) -> None:
    """It is refused where it is written, together with other faults."""
    wrong: Any = {"priority": priority, "tiemout": 3}
    with pytest.raises(ConfigurationError) as raised, override(**wrong):
        pass
    assert raised.value.faults == (
        f"priority must be a whole number, not {priority!r}",
        "tiemout is unknown; did you mean timeout?",
    )


def test_a_misspelled_priority_is_named() -> None:
    """It is no field of the settings, and known all the same."""
    wrong: Any = {"priorty": 3}
    with pytest.raises(ConfigurationError, match="did you mean priority"), override(**wrong):
        pass


def priority_now() -> int | None:
    """Return the priority of the innermost block, None outside of all blocks."""
    override_now = current.get()
    return None if override_now is None else override_now.priority


def test_a_priority_changes_no_settings() -> None:
    """A call has the settings of its session inside, and the priority of the innermost block."""
    base = settings(Source("one"))
    shared, (session, _) = SharedState.of(base), scripted(base, 200)
    with override(priority=2):
        assert priority_now() == 2
        with override(timeout=3):
            assert priority_now() == 2
        with override(priority=-1):
            assert priority_now() == -1
        inside = current.get()
        assert inside is not None
        assert shared.overridden(inside) is shared
        assert session.get(URL).status_code == 200
    assert priority_now() is None


# Sites


def test_each_site_has_its_own() -> None:
    """Token, attempts and time limits are those of the origin a request goes to."""
    sites = [
        Settings(token="one", origins=["https://one.example.com"], retry=ONCE),
        Settings(token="two", origins=["https://two.example.com"], retry=FOUR),
    ]
    session, below = scripted(Settings(retry=FOUR, sites=sites), *[503] * 9)
    for host in ("one", "two", "other"):
        session.get(f"https://{host}.example.com/")
    sent = [request.headers.get("Authorization") for request in below.sent]
    assert sent == ["Bearer one", *["Bearer two"] * 4, *[None] * 4]


def test_a_redirect_to_another_site_carries_that_ones_token() -> None:
    """Each hop has the settings of where it goes, and a 401 there is answered from them."""
    second = Source("two", "three")
    sites = [
        Settings(token="one", origins=["https://one.example.com"]),
        Settings(token=second, origins=["https://two.example.com"]),
    ]
    hop = (302, {"Location": "https://two.example.com/"})
    session, below = scripted(Settings(sites=sites), hop, EXPIRED, 200)
    assert session.get("https://one.example.com/").status_code == 200
    sent = [request.headers["Authorization"] for request in below.sent]
    assert sent == ["Bearer one", "Bearer two", "Bearer three"]


def test_a_401_after_a_redirect_to_a_site_without_a_token() -> None:
    """The token of the hop before has nothing to do with it: that site's own policy retries it."""
    first = Settings(token="one", origins=["https://one.example.com"])
    retry = RetryPolicy(statuses={401}, backoff=AT_ONCE)
    hop = (302, {"Location": "https://two.example.com/"})
    session, below = scripted(Settings(sites=[first], retry=retry), hop, 401, 200)
    assert session.get("https://one.example.com/").status_code == 200
    sent = [request.headers.get("Authorization") for request in below.sent]
    assert sent == ["Bearer one", None, None]


def test_a_nonce_after_a_redirect_to_a_site_without_a_token() -> None:
    """The prover of the hop before learns nothing from it."""
    learned: list[str] = []

    class Bound:
        """A source of tokens with a proof, and its prover."""

        def fetch(self, _: FetchContext) -> Token:
            return Token("one", scheme="DPoP")

        @property
        def prover(self) -> Bound:
            return self

        def proof(self, *_: object) -> str:
            return "proof"

        def learn(self, url: str, nonce: str) -> None:
            learned.append(f"{url} {nonce}")

    first = Settings(token=Bound(), origins=["https://one.example.com"])
    hop = (302, {"Location": "https://two.example.com/", "DPoP-Nonce": "mine"})
    session, _ = scripted(Settings(sites=[first]), hop, (200, {"DPoP-Nonce": "of another"}))
    session.get("https://one.example.com/")
    assert learned == ["https://one.example.com/ mine"]


def test_sites_can_be_overridden() -> None:
    """An override holds whatever site a call goes to."""
    site = Settings(token="one", origins=[URL[: -len("/get")]], retry=FOUR)
    session, below = scripted(Settings(sites=[site]), 503, 503)
    with override(retry=ONCE):
        session.get(URL)
    assert [request.headers["Authorization"] for request in below.sent] == ["Bearer one"]


@pytest.mark.parametrize(
    ("sites", "fault"),
    [
        (Settings(), "sites takes a collection, not Settings"),
        (["https://a.example.com"], "sites takes Settings, not str"),
        ([Settings()], "sites: a site needs origins"),
        (
            [Settings(origins=["https://a.example.com"], sites=[Settings(origins=[OTHER])])],
            "sites: a site has no sites of its own",
        ),
        ([Settings(origins=[OTHER]), Settings(origins=[OTHER])], "is in two of them"),
    ],
)
def test_sites_that_cannot_work(sites: Any, fault: str) -> None:
    """A site needs origins that are its alone."""
    with pytest.raises(ConfigurationError, match=fault):
        mount(requests.Session(), Settings(sites=sites))


def test_a_block_may_end_before_one_that_began_in_it() -> None:
    """A generator that stands in a block of its own is closed within a later block."""

    def pages() -> Generator[int, None, None]:
        with override(priority=1):
            yield 1

    generator, later = pages(), override(priority=2)
    next(generator)
    later.__enter__()
    generator.close()
    assert current.get() is None
    later.__exit__(None, None, None)
    assert current.get() is None


def test_one_object_may_serve_blocks_inside_one_another() -> None:
    """The inner block ends first: the outer one holds until its own end."""
    block = override(priority=1)
    with block:
        with block, override(priority=2):
            assert priority_now() == 2
        assert priority_now() == 1
    assert current.get() is None
