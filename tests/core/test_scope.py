"""Scopes: what a refusal closes whose limit no header names, and keys of cool-downs in stores."""

from __future__ import annotations

import pytest

from requests_authretry._core.scope import LEARNT_SECONDS, Reach, Refusal, Scope
from requests_authretry._core.target import Target

API = "https://api.test"
ORDERS = Target(API, "abc", "GET", "/orders")
ITEMS = Target(API, "abc", "GET", "/items")
WIDENED = Reach(wide=(("", 600.0),))


def refused(
    reach: Reach, target: Target, at: float, *, name: str = "", may_widen: bool = True
) -> Reach:
    """Return a reach after the refusal of a request that was sent and answered at one time."""
    return reach.on_refused(target, name, at, at, may_widen=may_widen)


KEYS = {
    Scope(API, "abc"): "cool-down origin https://api.test abc",
    Scope(API, ""): "cool-down origin https://api.test",
    Scope(API, "abc", "core"): "cool-down policy https://api.test abc core",
    Scope(API, "", "core"): "cool-down policy https://api.test core",
    Scope.of_endpoint(ORDERS): "cool-down endpoint https://api.test abc GET /orders",
}


@pytest.mark.parametrize(("scope", "key"), KEYS.items(), ids=KEYS.values())
def test_each_scope_has_a_key_of_its_own_in_a_store(scope: Scope, key: str) -> None:
    """The key names kind, origin, caller, and policy or endpoint: all processes write the same."""
    assert str(scope) == key


def test_an_endpoint_is_a_method_and_a_path_of_one_caller() -> None:
    """``GET /orders`` of the caller abc is a scope without a policy."""
    assert Scope.of_endpoint(ORDERS) == Scope(API, "abc", "", "GET /orders")


def test_a_first_refusal_does_not_widen_the_scope() -> None:
    """A refusal of GET /orders is remembered, and the origin stays open."""
    reach = refused(Reach(), ORDERS, 10.0)
    assert reach == Reach((Refusal("GET /orders", 10.0),), ())
    assert not reach.is_wide("", 10.0)


def test_a_second_endpoint_widens_the_scope_for_ten_minutes() -> None:
    """GET /items is refused during the cool-down of GET /orders: both come of one limit."""
    reach = refused(refused(Reach(), ORDERS, 10.0), ITEMS, 20.0)
    assert reach.refusals == (
        Refusal("GET /orders", 10.0),
        Refusal("GET /items", 20.0),
    )
    assert reach.wide == (("", 20.0 + LEARNT_SECONDS),)
    assert reach.is_wide("", 619.0)
    assert not reach.is_wide("", 620.0)


@pytest.mark.parametrize(("began", "is_wide"), [(9.9, False), (10.0, True), (15.0, True)])
def test_only_a_request_that_left_after_the_first_refusal_widens_the_scope(
    began: float,
    is_wide: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """Two requests that were under way together are no evidence that both come of one limit."""
    first = refused(Reach(), ORDERS, 10.0)
    reach = first.on_refused(ITEMS, "", began, 20.0, may_widen=True)
    assert reach.is_wide("", 20.0) is is_wide


def test_the_same_endpoint_does_not_widen_the_scope() -> None:
    """GET /orders is refused again: its first arrival is kept."""
    reach = refused(Reach(), ORDERS, 10.0)
    assert refused(reach, ORDERS, 20.0) == Reach((Refusal("GET /orders", 10.0),))


@pytest.mark.parametrize(("began", "is_wide"), [(9.0, True), (10.0, False), (15.0, False)])
def test_an_endpoint_that_answers_meanwhile_takes_the_evidence_away(
    began: float,
    is_wide: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """GET /users passes after GET /orders was refused: the refusal of GET /items widens nothing."""
    users = Target(API, "abc", "GET", "/users")
    reach = refused(Reach(), ORDERS, 10.0).on_passed(users, began)
    assert refused(reach, ITEMS, 20.0).is_wide("", 20.0) is is_wide


def test_an_answer_of_the_refused_endpoint_is_no_such_evidence() -> None:
    """Another GET /orders passes: that says nothing of other endpoints."""
    reach = refused(Reach(), ORDERS, 10.0)
    assert reach.on_passed(ORDERS, 15.0) is reach


def test_a_refusal_keeps_a_wide_scope_wide() -> None:
    """While refusals close the origin, each one keeps it so for ten minutes more."""
    assert refused(WIDENED, ORDERS, 500.0).wide == (("", 500.0 + LEARNT_SECONDS),)
    assert refused(WIDENED, ORDERS, 600.0).wide == (("", 600.0),)


def test_a_scope_that_a_test_attempt_has_narrowed_does_not_widen() -> None:
    """A second endpoint is refused, but a test attempt has shown that the origin is not covered."""
    first = refused(Reach(), ORDERS, 10.0)
    assert not refused(first, ITEMS, 20.0, may_widen=False).is_wide("", 20.0)
    assert refused(WIDENED, ORDERS, 500.0, may_widen=False) == Reach(
        (Refusal("GET /orders", 500.0),), WIDENED.wide
    )


def test_five_refused_endpoints_of_an_origin_are_remembered() -> None:
    """Of six endpoints the one that was refused last the longest ago is forgotten."""
    reach = Reach()
    for number, path in enumerate("abcdeaf"):
        reach = refused(reach, Target(API, "abc", "GET", path), float(number))
    assert [refusal.endpoint[-1] for refusal in reach.refusals] == ["c", "d", "e", "a", "f"]


def test_only_refusals_under_the_same_name_widen_the_scope() -> None:
    """GET /orders is refused under ``a``: GET /items under ``b`` widens nothing, under ``a`` it."""
    first = refused(Reach(), ORDERS, 10.0, name="a")
    assert refused(first, ITEMS, 20.0, name="b").wide == ()
    assert refused(first, ITEMS, 20.0).wide == ()
    widened = refused(first, ITEMS, 20.0, name="a")
    assert widened.wide == (("a", 20.0 + LEARNT_SECONDS),)
    assert not widened.is_wide("", 20.0)


def test_an_endpoint_is_remembered_once_for_each_name() -> None:
    """GET /orders is refused under ``a``, ``b`` and ``a``: the first arrival of each is kept."""
    reach = Reach()
    for at, name in enumerate("aba"):
        reach = refused(reach, ORDERS, float(at), name=name)
    assert reach.refusals == (
        Refusal("GET /orders", 1.0, "b"),
        Refusal("GET /orders", 0.0, "a"),
    )


def test_five_limits_that_cover_an_origin_are_remembered() -> None:
    """Of six names the one is forgotten under which no endpoint was refused for longest."""
    reach = Reach()
    for at, name in enumerate("abcdeaf"):
        reach = refused(refused(reach, ORDERS, 2.0 * at, name=name), ITEMS, 2.0 * at + 1, name=name)
    assert [name for name, _ in reach.wide] == ["c", "d", "e", "a", "f"]
