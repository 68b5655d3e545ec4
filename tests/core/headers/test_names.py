"""Names of header fields: the form of a name tells what the field means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core.headers.names import KNOWN, is_meaningful, sort_by_meaning


def test_the_known_names_are_sorted() -> None:
    """Each known name has one meaning, and the newest form of a limit comes first."""
    names = sort_by_meaning(frozenset(KNOWN))
    assert names.seconds == ("retry-after",)
    assert names.milliseconds == ("retry-after-ms", "x-amz-retry-after", "x-ms-retry-after-ms")
    assert names.verdicts == ("stripe-should-retry", "x-should-retry")
    assert [family["remaining"] for family in names.families] == [
        "ratelimit-remaining",
        "x-ratelimit-remaining",
        "x-rate-limit-remaining",
        "x-ratelimit-remaining-requests",
    ]
    in_families = [name for family in names.families for name in family.values()]
    told = {*names.seconds, *names.milliseconds, *names.verdicts, *in_families}
    assert told | {"ratelimit", "ratelimit-policy"} == set(KNOWN)
    assert len(told) + 2 == len(KNOWN)
    assert all(map(is_meaningful, KNOWN))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("anthropic-ratelimit-requests-reset", {"reset": "anthropic-ratelimit-requests-reset"}),
        ("acme-api-rate-limit-reset-after", {"reset-after": "acme-api-rate-limit-reset-after"}),
        ("rate-limit-limit", {"limit": "rate-limit-limit"}),
        ("x-ratelimit-bucket", {"bucket": "x-ratelimit-bucket"}),
        ("x-ratelimit-reset-seconds", {"reset-seconds": "x-ratelimit-reset-seconds"}),
        ("x-ratelimit-reset-after-ms", {"reset-ms": "x-ratelimit-reset-after-ms"}),
        ("x-ratelimit-reset-milliseconds", {"reset-ms": "x-ratelimit-reset-milliseconds"}),
    ],
)
def test_other_limits(name: str, family: dict[str, str]) -> None:
    """A vendor's prefix does not change the meaning of the rest of a name."""
    assert is_meaningful(name)
    assert sort_by_meaning(frozenset({name})).families == (family,)


def test_a_unit_makes_a_family_of_its_own() -> None:
    """Fields with "requests" in their names are not mixed with fields without a unit."""
    names = frozenset({"x-ratelimit-remaining", "x-ratelimit-reset-requests"})
    assert sort_by_meaning(names).families == (
        {"remaining": "x-ratelimit-remaining"},
        {"reset": "x-ratelimit-reset-requests"},
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x-ratelimit-retry-after", "seconds"),
        ("x-retry-after", "seconds"),
        ("x-retry-after-seconds", "seconds"),
        ("acme-retry-after-ms", "milliseconds"),
        ("acme-retry-after-milliseconds", "milliseconds"),
        ("x-amz-retry-after", "milliseconds"),
        ("acme-should-retry", "verdicts"),
    ],
)
def test_other_waits(name: str, kind: str) -> None:
    """The ending of a name says how to read its value."""
    assert is_meaningful(name)
    assert getattr(sort_by_meaning(frozenset({name})), kind) == (name,)


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
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-remaining-subscription-reads",
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
