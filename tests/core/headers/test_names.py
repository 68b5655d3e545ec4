"""Names of header fields: what each one means is told by the name."""

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
    ],
)
def test_other_limits(name: str, family: dict[str, str]) -> None:
    """A vendor's own prefix does not change what the rest of a name says."""
    assert is_meaningful(name)
    assert sort_by_meaning(frozenset({name})).families == (family,)


def test_a_unit_makes_a_family_of_its_own() -> None:
    """What is counted in requests by name is not mixed with what does not say."""
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
        ("acme-retry-after-ms", "milliseconds"),
        ("x-amz-retry-after", "milliseconds"),
        ("acme-should-retry", "verdicts"),
    ],
)
def test_other_waits(name: str, kind: str) -> None:
    """How a name ends says how its value is to be read."""
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
    """A name that the rule does not know is told from those that it knows."""
    assert not is_meaningful(name)


@given(st.frozensets(st.text() | st.sampled_from(KNOWN)))
def test_any_names_can_be_sorted(names: frozenset[str]) -> None:
    """Names are sorted without an error, whatever they are."""
    sort_by_meaning(names)
