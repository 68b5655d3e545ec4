"""Validation of settings: every part, every field, all faults together."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import Backoff, ConfigurationError, Jitter, RetryPolicy, RetryQuota
from requests_authretry._core.validation import (
    collection,
    flag,
    gathered,
    instance,
    is_finite,
    members,
    refuse,
    seconds,
    text,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Part: TypeAlias = type[RetryPolicy] | type[Backoff] | type[RetryQuota]

NAN, INFINITE, HUGE = float("nan"), float("inf"), 10**400
above_zero = partial(seconds, positive=True)

NO_TIME: list[object] = [
    -1.0,
    -1,
    -0.001,
    NAN,
    INFINITE,
    -INFINITE,
    HUGE,
    True,
    False,
    None,
    "1",
    1j,
    [1.0],
]
NO_COUNT: list[object] = [-1, True, False, None, 1.0, NAN, "1", [1]]
NO_FLAG: list[object] = [0, 1, None, "true", []]

TIMES = {
    "deadline": RetryPolicy,
    "initial": Backoff,
    "throttled_initial": Backoff,
    "unreachable_initial": Backoff,
    "max_delay": Backoff,
}
COUNTS = {"capacity": RetryQuota, "transient_cost": RetryQuota, "throttled_cost": RetryQuota}

REFUSED: list[tuple[Part, str, Any]] = [
    *((part, field, value) for field, part in TIMES.items() for value in NO_TIME),
    *((part, field, value) for field, part in COUNTS.items() for value in NO_COUNT),
    (RetryPolicy, "deadline", 0),
    (RetryPolicy, "deadline", 0.0),
    *((RetryPolicy, "max_attempts", value) for value in [0, *NO_COUNT]),
    *((RetryPolicy, "max_retry_after", value) for value in NO_TIME if value is not None),
    *((RetryPolicy, "any_method_on_429", value) for value in NO_FLAG),
    *((RetryPolicy, "idempotency_key", value) for value in NO_FLAG),
    *((RetryPolicy, "buffer_bodies", value) for value in NO_COUNT),
    *((RetryPolicy, "backoff", value) for value in [None, 2.0, Backoff, {"initial": 1.0}]),
    *((RetryPolicy, "statuses", value) for value in ["429", b"429", 429, None, True]),
    *((RetryPolicy, "statuses", [value]) for value in ["429", 99, 600, -1, 0, True, 429.0, None]),
    (RetryPolicy, "statuses", [[429]]),
    *((RetryPolicy, "statuses", [value]) for value in [100, 200, 201, 204, 302, 304, 399, 202.0]),
    *((RetryPolicy, "not_processed", value) for value in ["503", 503, None, True]),
    *((RetryPolicy, "not_processed", [value]) for value in ["503", 202, 399, 600, True, 503.0, []]),
    *((RetryPolicy, "methods", value) for value in ["GET", b"GET", 3, None]),
    *((RetryPolicy, "methods", [value]) for value in ["", "GE T", "GET\n", "ß", "\u0131", 3, None]),
    *((RetryPolicy, "methods", [value]) for value in [b"GET", {}, "GET,POST", "GÉT"]),
    *((Backoff, "multiplier", value) for value in [0, 0.5, 0.999, *NO_TIME]),
    *((Backoff, "jitter", value) for value in ["full", None, True, Jitter]),
]

TAKEN: list[tuple[Part, str, Any]] = [
    (RetryPolicy, "max_attempts", 1),
    (RetryPolicy, "max_attempts", 10**9),
    (RetryPolicy, "deadline", 1),
    (RetryPolicy, "deadline", 0.001),
    (RetryPolicy, "max_retry_after", None),
    (RetryPolicy, "max_retry_after", 0),
    (RetryPolicy, "any_method_on_429", False),
    (RetryPolicy, "statuses", frozenset({202, 400, 599})),
    (RetryPolicy, "not_processed", frozenset({418, 503})),
    (RetryPolicy, "idempotency_key", True),
    *((RetryPolicy, "buffer_bodies", value) for value in (0, 1, 10**12)),
    (RetryPolicy, "backoff", Backoff(initial=1)),
    (Backoff, "initial", 0),
    (Backoff, "throttled_initial", 0.0),
    (Backoff, "unreachable_initial", 0),
    (Backoff, "max_delay", 0),
    (Backoff, "multiplier", 1),
    (Backoff, "jitter", Jitter.EQUAL),
    *((RetryQuota, field, value) for field in COUNTS for value in (0, 1, 10**9)),
]


@pytest.mark.parametrize(("part", "field", "value"), REFUSED)
def test_refused(part: Part, field: str, value: Any) -> None:
    """A value that cannot work is refused by one line that names the part and the field."""
    with pytest.raises(ConfigurationError) as caught:
        part(**{field: value})
    assert caught.value.where == part.__name__
    assert [fault.split()[0] for fault in caught.value.faults] == [field]


@pytest.mark.parametrize(("part", "field", "value"), TAKEN)
def test_taken(part: Part, field: str, value: Any) -> None:
    """The values at the edge of the allowed range are accepted unchanged."""
    assert getattr(part(**{field: value}), field) == value


ALL_WRONG: list[tuple[Part, dict[str, Any]]] = [
    (
        RetryPolicy,
        {
            "max_attempts": 0,
            "deadline": -1,
            "statuses": 429,
            "methods": "GET",
            "backoff": None,
            "max_retry_after": NAN,
            "any_method_on_429": 1,
            "not_processed": 503,
            "idempotency_key": 1,
            "buffer_bodies": -1,
        },
    ),
    (
        Backoff,
        {
            "initial": -1,
            "throttled_initial": NAN,
            "unreachable_initial": -1,
            "multiplier": 0,
            "max_delay": INFINITE,
            "jitter": "full",
        },
    ),
    (RetryQuota, {"capacity": -1, "transient_cost": 1.5, "throttled_cost": True}),
]


@pytest.mark.parametrize(("part", "fields"), ALL_WRONG)
def test_all_faults_together(part: Part, fields: Mapping[str, Any]) -> None:
    """An error names every field that is wrong, in the order of the fields."""
    with pytest.raises(ConfigurationError) as caught:
        part(**fields)
    assert [fault.split()[0] for fault in caught.value.faults] == list(fields)
    assert str(caught.value) == f"{part.__name__}: " + "; ".join(caught.value.faults)


@pytest.mark.parametrize("part", [RetryPolicy, Backoff, RetryQuota])
@pytest.mark.parametrize("name", ["tries", "total", "status_forcelist", "backoff_factor"])
def test_unknown_names(part: Any, name: str) -> None:
    """An unknown field is refused by its name, and so are values without a name."""
    with pytest.raises(ConfigurationError, match=f"^{part.__name__}: {name} is unknown"):
        part(**{name: 1})
    with pytest.raises(ConfigurationError, match="without a name"):
        part(1)


@pytest.mark.parametrize(
    ("part", "field"),
    [(RetryPolicy, "deadline"), (Backoff, "initial"), (RetryQuota, "capacity")],
)
def test_parts_are_immutable(part: Part, field: str) -> None:
    """The parts cannot be changed, since threads share them; equal parts are interchangeable."""
    with pytest.raises(FrozenInstanceError):
        setattr(part(), field, 1)
    assert hash(part()) == hash(part())
    assert part() == part()


@pytest.mark.parametrize(
    "statuses",
    [
        [429, 503],
        (429, 503, 503),
        {429, 503},
        {429: "slow", 503: "down"}.keys(),
        range(429, 504, 74),
        [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE],
    ],
)
def test_statuses_take_any_iterable(statuses: Any) -> None:
    """Any iterable of status codes is accepted, including generators."""
    one_by_one: Any = (status for status in statuses)
    for given_as in (statuses, one_by_one):
        assert RetryPolicy(statuses=given_as).statuses == frozenset({429, 503})


@pytest.mark.parametrize(
    "methods",
    [
        ["get", "M-Search"],
        {"GET", "M-SEARCH"},
        ("GET", "get", "m-search"),
    ],
)
def test_methods_take_any_iterable(methods: Any) -> None:
    """Any iterable of method names is accepted, in upper or lower case."""
    one_by_one: Any = (name for name in methods)
    for given_as in (methods, one_by_one):
        assert RetryPolicy(methods=given_as).methods == frozenset({"GET", "M-SEARCH"})


@pytest.mark.parametrize("nothing", [[], (), frozenset(), {}.keys()])
def test_empty_collections(nothing: Any) -> None:
    """Empty collections of statuses and methods are valid; so are the lowest and highest codes."""
    policy = RetryPolicy(statuses=nothing, methods=nothing)
    assert (policy.statuses, policy.methods) == (frozenset(), frozenset())
    assert RetryPolicy(statuses=[202, 400, 599]).statuses == frozenset({202, 400, 599})


CODES = "the codes of failures, 400 to 599, and 202"


@pytest.mark.parametrize(
    ("check", "arguments", "line"),
    [
        (seconds, ("t", 1.5), None),
        (seconds, ("t", 0), None),
        (seconds, ("t", -1), "t must be zero or more, not -1"),
        (seconds, ("t", NAN), "t must be a finite number of seconds, not nan"),
        (seconds, ("t", True), "t must be a finite number of seconds, not True"),
        (above_zero, ("t", 0.001), None),
        (above_zero, ("t", 0), "t must be above zero, not 0"),
        (above_zero, ("t", -1), "t must be above zero, not -1"),
        (text, ("name", "a"), None),
        (text, ("name", ""), "name must be a non-empty str"),
        (text, ("name", b"a"), "name must be a non-empty str"),
        (whole, ("n", 1, 1), None),
        (whole, ("n", 0, 1), "n must be a whole number of at least 1, not 0"),
        (whole, ("n", 1.0, 1), "n must be a whole number of at least 1, not 1.0"),
        (whole, ("n", True, 1), "n must be a whole number of at least 1, not True"),
        (flag, ("f", True), None),
        (flag, ("f", False), None),
        (flag, ("f", 1), "f must be True or False, not 1"),
        (instance, ("b", Backoff(), Backoff), None),
        (instance, ("b", 2.0, Backoff), "b must be a Backoff, not float"),
        (collection, ("c", []), None),
        (collection, ("c", iter("ab")), None),
        (collection, ("c", "GET"), "c takes a collection: write ['GET'], not 'GET'"),
        (collection, ("c", b"GET"), "c takes a collection: write [b'GET'], not b'GET'"),
        (collection, ("c", {"GET": 1}), "c takes a collection, not dict: write c=[...]"),
        (collection, ("c", 7), "c takes a collection, not int: write c=[...]"),
        (members, ("m", [], callable, "functions"), None),
        (members, ("m", [len, repr], callable, "functions"), None),
        (members, ("m", [2, len, 1], callable, "functions"), "m takes functions, not 1, 2"),
    ],
)
def test_lines(
    check: Callable[..., str | None], arguments: tuple[object, ...], line: str | None
) -> None:
    """A fault names the field, the values that it takes, and the value that it got."""
    assert check(*arguments) == line


@pytest.mark.parametrize(
    ("field", "value", "line"),
    [
        ("statuses", [429, 600], f"statuses takes {CODES}, not 600"),
        ("methods", ["GET", "GE T"], "methods takes method names, not 'GE T'"),
    ],
)
def test_members_are_called_what_they_are(field: str, value: Any, line: str) -> None:
    """A fault of a collection names the kind of its members and the wrong members only."""
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy(**{field: value})
    assert caught.value.faults == (line,)


def test_the_multiplier_is_no_time() -> None:
    """The faults of the multiplier do not mention seconds."""
    for value, line in [
        (NAN, "multiplier must be a finite number, not nan"),
        (-1, "multiplier must be zero or more, not -1"),
        (0.5, "multiplier must be at least 1, not 0.5"),
    ]:
        with pytest.raises(ConfigurationError) as caught:
            Backoff(multiplier=value)
        assert caught.value.faults == (line,)


@given(value=st.integers() | st.floats() | st.booleans() | st.none() | st.text() | st.just(HUGE))
def test_is_finite(value: object) -> None:
    """A finite value can be computed with; no value is too odd for the question."""
    if is_finite(value):
        assert not isinstance(value, bool)
        assert abs(float(value)) < INFINITE


@pytest.mark.parametrize("value", [0, -1, 1.5, 2**1000, -0.0])
def test_is_finite_takes_numbers(value: object) -> None:
    """Plain numbers are finite."""
    assert is_finite(value)


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ([1, 1], (1, 1)),
        (range(2), (0, 1)),
        ("ab", "ab"),
        (b"ab", b"ab"),
        ({"a": 1}, {"a": 1}),
        (7, 7),
        (None, None),
    ],
)
def test_gathered(value: Any, result: object) -> None:
    """An iterable becomes a tuple; a string, a mapping or another value stays as it is."""
    assert gathered(value) == result
    assert gathered(item for item in [value]) == (value,)


def test_refuse() -> None:
    """No fault raises nothing; an error leaves out the lines that are None."""
    refuse("Thing", [])
    refuse("Thing", [None, "", None])
    with pytest.raises(ConfigurationError, match=r"^Thing: a is odd; b is even$") as caught:
        refuse("Thing", iter([None, "a is odd", None, "b is even"]))
    assert caught.value.faults == ("a is odd", "b is even")


@pytest.mark.parametrize("passed_on", [copy.copy, copy.deepcopy, lambda error: error])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_error_survives_process_borders(passed_on: Any, protocol: int) -> None:
    """A copied or pickled error keeps its message and its lines, and is a ValueError."""
    error = ConfigurationError("Thing", ["a is odd", "b is even"])
    again = pickle.loads(pickle.dumps(passed_on(error), protocol))  # noqa: S301
    assert type(again) is ConfigurationError
    assert isinstance(again, ValueError)
    assert (again.where, again.faults) == ("Thing", ("a is odd", "b is even"))
    assert str(again) == str(error) == "Thing: a is odd; b is even"
