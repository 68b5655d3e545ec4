"""Which policies are expected at a path, from what servers have named at others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from requests_authretry._admission import policy_names
from requests_authretry._admission.policy_names import PolicyNames
from requests_authretry._core.records import Limit
from requests_authretry._core.target import Target
from tests.support.limits import ONCE, UNPACED
from tests.support.sessions import Rig

if TYPE_CHECKING:
    from requests_authretry.testing import Line

API = "https://api.test"
HOUR = 3600.0


def learned(*answers: tuple[str, str]) -> PolicyNames:
    """Return what is known after answers of these paths that named policies, split by spaces."""
    names = PolicyNames()
    for path, named in answers:
        learn(names, path, named)
    return names


def learn(names: PolicyNames, path: str, named: str, now: float = 0.0) -> None:
    """Learn from an answer of a path that named these policies, split by spaces."""
    limits = [Limit(1.0, 1.0, name) for name in named.split(" ")]
    names.learn(Target(API, "", "GET", path), limits, now)


def expected(names: PolicyNames, path: str, now: float = 0.0, origin: str = API) -> str:
    """Return the policies to expect at a path, with spaces between them."""
    return " ".join(names.expected(Target(origin, "", "GET", path), now))


def test_a_path_has_the_policies_that_its_last_answer_named() -> None:
    """/search names two, each once and sorted; later it names another one."""
    names = learned(("/search", "minute day minute"))
    assert expected(names, "/search") == "day minute"
    learn(names, "/search", "hour")
    assert expected(names, "/search") == "hour"


def test_a_new_path_has_the_policies_of_the_longest_beginning() -> None:
    """/search/code has those of /search/..., and /users those of all other paths."""
    names = learned(("/search/issues", "search"))
    assert expected(names, "/search/code") == "search"
    learn(names, "/search/labels", "search")
    assert expected(names, "/search/code") == "search"
    assert expected(names, "/users") == "search"
    learn(names, "/users/*", "core")
    assert expected(names, "/search/code") == "search"
    assert expected(names, "/users/*/repos") == "core"


def test_a_beginning_whose_paths_have_different_policies_has_none() -> None:
    """/search names one and /users another: nothing is expected at /items, whatever comes later."""
    names = learned(("/search", "search"), ("/users", "core"))
    assert expected(names, "/items") == ""
    learn(names, "/users/*", "core")
    assert expected(names, "/items") == ""
    assert expected(names, "/search") == "search"


def test_an_answer_that_names_no_policy_changes_nothing() -> None:
    """An answer of /users without a name, or without limits, leaves what was expected there."""
    names = learned(("/search", "search"))
    learn(names, "/users", "")
    names.learn(Target(API, "", "GET", "/users"), [], 0.0)
    assert expected(names, "/users") == "search"


def test_another_origin_has_policies_of_its_own() -> None:
    """What one origin names is not expected at another one."""
    names = learned(("/search", "search"))
    assert expected(names, "/search", origin="https://other.test") == ""


def test_policies_are_expected_for_two_hours_after_they_were_learned() -> None:
    """An answer in the second hour that names them again has them expected for two more hours."""
    names = learned(("/search", "search"))
    assert expected(names, "/search", 2 * HOUR - 1) == "search"
    assert expected(names, "/search", 2 * HOUR) == ""
    learn(names, "/search", "search", HOUR + 1)
    assert expected(names, "/search", 3 * HOUR) == "search"


def test_ten_thousand_paths_and_beginnings_are_remembered() -> None:
    """The path that was learned first is forgotten, but not what all paths have in common."""
    most = policy_names.MOST_NAMES
    assert most == 10_000
    names = PolicyNames()
    for number in range(most):
        learn(names, f"/{number}", "all" if number else "other")
    assert expected(names, "/0") == ""
    assert expected(names, f"/{most - 1}") == "all"


def test_a_cool_down_holds_although_its_policies_were_learned_an_hour_ago() -> None:
    """A policy named at 0 s refuses at 3599 s for 30 s: a call at 3601 s waits 28 s."""
    named = {"RateLimit": '"all";r=60;t=60', "RateLimit-Policy": '"all";q=100;w=60'}
    refusal: Line = (429, {**named, "Retry-After": "30"})
    rig = Rig((200, named), refusal, 200, retry=ONCE, limits=UNPACED)
    assert rig.get().status_code == 200
    rig.clock.advance(HOUR - 1)
    assert rig.get().status_code == 429
    rig.clock.advance(2)
    assert rig.get().status_code == 200
    assert rig.waits == [28.0]
