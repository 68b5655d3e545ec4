"""Names of header fields: the form of a name tells what the field means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.headers.names import KNOWN, is_meaningful, sort_by_meaning


def test_the_known_names_are_sorted() -> None:
    """Each known name has one meaning, and the newest form of a limit comes first."""
    names = sort_by_meaning(frozenset(KNOWN))
    assert names.waits == (
        (("retry-after",), 1.0),
        (
            ("retry-after-seconds", "x-rate-limit-retry-after-seconds", "x-ratelimit-retry-after"),
            1.0,
        ),
        (
            (
                "retry-after-milliseconds",
                "retry-after-ms",
                "x-amz-retry-after",
                "x-ms-retry-after-ms",
            ),
            1000.0,
        ),
    )
    assert names.verdicts == ("stripe-should-retry", "x-should-retry")
    assert [(unit, parts["remaining"]) for unit, parts in names.families] == [
        ("requests", "ratelimit-remaining"),
        ("requests", "x-ratelimit-remaining"),
        ("requests", "x-rate-limit-remaining"),
        ("input-tokens", "anthropic-ratelimit-input-tokens-remaining"),
        ("output-tokens", "anthropic-ratelimit-output-tokens-remaining"),
        ("requests", "anthropic-ratelimit-requests-remaining"),
        ("tokens", "anthropic-ratelimit-tokens-remaining"),
        ("project-tokens", "x-ratelimit-remaining-project-tokens"),
        ("requests", "x-ratelimit-remaining-requests"),
        ("tokens", "x-ratelimit-remaining-tokens"),
    ]
    in_families = [name for family in names.families for name in family.parts.values()]
    told = {*(name for group, _ in names.waits for name in group), *names.verdicts, *in_families}
    # These two say the same.
    one, other = "x-ratelimit-reset-milliseconds", "x-ratelimit-reset-ms"
    assert told | {"ratelimit", "ratelimit-policy", one, other} == set(KNOWN)
    assert len(told) + 3 == len(KNOWN) == len(set(KNOWN))
    assert all(map(is_meaningful, KNOWN))


@pytest.mark.parametrize(
    ("name", "unit", "part"),
    [
        ("acme-ratelimit-requests-reset", "requests", "reset"),
        ("acme-api-rate-limit-reset-after", "requests", "reset-after"),
        ("rate-limit-limit", "requests", "limit"),
        ("x-ratelimit-bucket", "requests", "bucket"),
        ("x-ratelimit-reset-seconds", "requests", "reset-seconds"),
        ("x-ratelimit-reset-after-ms", "requests", "reset-ms"),
        ("x-ratelimit-reset-milliseconds", "requests", "reset-ms"),
        ("x-ratelimit-reset-ms-requests", "requests", "reset-ms"),
        ("x-ratelimit-remaining-tokens", "tokens", "remaining"),
        ("x-ratelimit-reset-project-tokens", "project-tokens", "reset"),
        ("acme-ratelimit-tokens-limit", "tokens", "limit"),
        ("acme-ratelimit-cache-read-input-tokens-reset", "cache-read-input-tokens", "reset"),
    ],
)
def test_other_limits(name: str, unit: str, part: str) -> None:
    """A vendor's prefix does not change the meaning of the rest of a name; a unit may be in it."""
    assert is_meaningful(name)
    assert sort_by_meaning(frozenset({name})).families == ((unit, {part: name}),)


def test_a_unit_makes_a_family_of_its_own() -> None:
    """Fields with "requests" in their names are not mixed with fields without a unit."""
    names = frozenset({"x-ratelimit-remaining", "x-ratelimit-reset-requests"})
    assert sort_by_meaning(names).families == (
        ("requests", {"remaining": "x-ratelimit-remaining"}),
        ("requests", {"reset": "x-ratelimit-reset-requests"}),
    )


@pytest.mark.parametrize(
    ("name", "per_second"),
    [
        ("x-ratelimit-retry-after", 1.0),
        ("x-retry-after", 1.0),
        ("x-retry-after-seconds", 1.0),
        ("acme-retry-after-ms", 1000.0),
        ("acme-retry-after-milliseconds", 1000.0),
        ("x-amz-retry-after", 1000.0),
    ],
)
def test_other_waits(name: str, per_second: float) -> None:
    """The ending of a name says how to read its value."""
    assert is_meaningful(name)
    assert sort_by_meaning(frozenset({name})).waits == (((name,), per_second),)


def test_other_verdicts() -> None:
    """A vendor may say by another name whether to retry."""
    assert is_meaningful("acme-should-retry")
    assert sort_by_meaning(frozenset({"acme-should-retry"})).verdicts == ("acme-should-retry",)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "retry",
        "x-foo",
        "Retry-After",
        "retry-after-minutes",
        "should-retry-seconds",
        "x-ratelimit-limit-seconds",
        "retry-after ",
        "-retry-after",
        "xretry-after",
        "retry-after\n",
        "ratelimit-",
        "ratelimits",
        "x-ratelimit",
        "x-ratelimit-used",
        "x-ratelimit-policy",
        "x-ratelimit-remaining-toke",
        "x-ratelimit-remaining-2-tokens",
        "x-ratelimit-remaining-project-requests",
        "x-ratelimit-remaining-subscription-reads",
        "x-ratelimit-remaining-seconds",
        "ratelimit-resettime",
        "date",
        "r\u0435try-after",
        7,
        None,
        b"retry-after",
    ],
)
def test_names_without_a_meaning(name: object) -> None:
    """A name without a meaning is distinguished from the known names."""
    assert not is_meaningful(name)


@given(st.frozensets(st.text() | st.sampled_from(KNOWN)))
def test_any_names_can_be_sorted(names: frozenset[str]) -> None:
    """Any names can be sorted without an error."""
    sort_by_meaning(names)
