"""Bounds on how much of a server's answers is read and kept; honest answers are never cut."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import Challenge, StepUp
from requests_authretry._core import bounds, challenge, rate_limit
from requests_authretry._core.challenge import parse_challenges
from requests_authretry._core.document import read_object
from requests_authretry._core.headers.rate_limit_fields import read_limits
from requests_authretry._core.headers.retry_after import is_abuse, read_outcome
from requests_authretry._core.headers.time_formats import read_values
from requests_authretry._core.origin import Origin, redacted
from requests_authretry._core.records import Limit
from requests_authretry._core.target import origin_name, path_pattern
from tests.core.moments import NOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOOD = 'Bearer error="insufficient_scope"'
ABUSE = b'{"type": "https://iana.org/assignments/http-problem-types#abnormal-usage-detected"'
QUOTED = st.text(st.sampled_from("abc ,=;\\\"'\t"), max_size=20)


def counted(lines: list[str], read: list[str]) -> Iterator[str]:
    """Yield lines one by one, and record which lines were asked for."""
    for line in lines:
        read.append(line)
        yield line


def test_only_so_many_challenges_are_read() -> None:
    """The first fifty of sixty challenges count, on one line and on many."""
    names = [f"Scheme{number}" for number in range(60)]
    for lines in (names, [", ".join(names)]):
        found = parse_challenges(lines)
        assert [each.scheme for each in found] == names[: bounds.CHALLENGES]


def test_no_more_challenges_are_made_than_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line with thousands of challenges makes fifty objects."""
    made: list[str] = []

    def make(scheme: str, *rest: Any) -> Challenge:
        made.append(scheme)
        return Challenge(scheme, *rest)

    monkeypatch.setattr(challenge, "Challenge", make)
    parse_challenges(["a," * 32_000])
    assert len(made) == bounds.CHALLENGES


def test_only_so_many_characters_of_challenges_are_read() -> None:
    """A challenge that ends within the bound is read; one that begins beyond it is not."""
    room = bounds.CHALLENGE_FIELD - len(GOOD) - 2
    for filler, count in (("Other ".ljust(room), 2), ("Other ".ljust(room + len(GOOD) + 2), 1)):
        assert len(parse_challenges([filler, GOOD])) == count
        assert len(parse_challenges([f"{filler}, {GOOD}"])) == count


def test_no_line_is_asked_for_beyond_the_bound() -> None:
    """The parser takes one of a thousand long lines, and of empty lines as many as characters."""
    read: list[str] = []
    assert parse_challenges(counted(["x" * 65_000] * 1000, read)) == ()
    assert len(read) == 1
    assert parse_challenges(repeat("")) == ()


def test_no_line_is_asked_for_when_there_are_enough_challenges() -> None:
    """The parser does not look at the next line once it has read fifty challenges."""
    read: list[str] = []
    parse_challenges(counted(["Bearer"] * 1000, read))
    assert len(read) == bounds.CHALLENGES


def test_a_long_challenge_hides_none_before_it() -> None:
    """A challenge before one that is too long is read, on the same line or on the line before."""
    long = 'Digest nonce="' + "n" * 70_000 + '"'
    for lines in ([GOOD, long], [f"{GOOD}, {long}"]):
        first, second = parse_challenges(lines)
        assert (first.scheme, first.error) == ("Bearer", "insufficient_scope")
        assert (second.scheme, dict(second.params)) == ("Digest", {})


@pytest.mark.parametrize("value", ["v" * 70_000, f'"{"v" * 70_000}"', f'"{"v," * 35_000}"'])
def test_half_a_value_is_none(value: str) -> None:
    """A parameter that goes beyond the bound is dropped; its scheme and earlier parameters stay."""
    (only,) = parse_challenges([f"Bearer realm=api, error={value}"])
    assert dict(only.params) == {"realm": "api"}


def test_half_a_token_or_scheme_is_none() -> None:
    """A token that goes beyond the bound leaves its scheme; such a scheme leaves nothing."""
    (only,) = parse_challenges(["Negotiate " + "t" * 70_000])
    assert (only.scheme, only.token68) == ("Negotiate", None)
    assert parse_challenges(["s" * 70_000]) == ()


@given(st.lists(st.tuples(st.sampled_from(["Basic", "Bearer", "Digest"]), QUOTED), max_size=8))
def test_honest_challenges_are_read_as_they_are(given_: list[tuple[str, str]]) -> None:
    """Within the bounds each challenge is read with its value, on one line or on several."""
    written = [
        f'{scheme} a="{value.translate({34: chr(92) + chr(34), 92: chr(92) * 2})}"'
        for scheme, value in given_
    ]
    for lines in (written, [", ".join(written)]):
        read = [(each.scheme, each.params["a"]) for each in parse_challenges(lines)]
        assert read == given_


def test_an_error_code_is_cut() -> None:
    """The error of a challenge is cut to the length of a code, not a thousand characters."""
    (only,) = parse_challenges([f'Bearer error="{"e" * 1000}"'])
    assert only.error == "e" * bounds.ERROR_CODE


def test_what_a_step_up_asks_for_is_cut() -> None:
    """An event quotes a thousand characters of what a server chose."""
    (only,) = parse_challenges([f'Bearer acr_values="{"a" * 10_000}"'])
    assert StepUp.from_challenge(only).acr_values == "a" * bounds.WORDS


def test_only_so_many_values_of_a_field_are_read() -> None:
    """The first hundred texts of a field with many values count, each line in order."""
    lines = [str(number) for number in range(200)]
    assert read_values(lines, float) == [*range(bounds.VALUES)]
    assert read_values([",".join(lines)], float) == [*range(bounds.VALUES)]
    outcome = read_outcome(503, {"retry-after": lines}, NOW)
    assert outcome.retry_after == bounds.VALUES - 1


@pytest.mark.parametrize("count", [0, 1, 3, bounds.POLICIES, bounds.POLICIES + 1, 60])
def test_only_so_many_limits_are_read(count: int) -> None:
    """The first twenty limits of one answer count."""
    line = ", ".join(f'"{number}";r=1;t=2' for number in range(count))
    limits = read_limits({"ratelimit": [line] if count else []}, NOW)
    expected = [str(number) for number in range(min(count, bounds.POLICIES))]
    assert [limit.name for limit in limits] == expected


@pytest.mark.parametrize(
    "written",
    [
        lambda name: {"ratelimit": [f'"{name}";r=1;t=2']},
        lambda name: {"ratelimit": [f"{name};r=1;t=2"]},
        lambda name: {
            "x-ratelimit-remaining": ["1"],
            "x-ratelimit-reset": ["2"],
            "x-ratelimit-resource": [name],
        },
    ],
)
def test_the_name_of_a_policy_is_cut(written: Callable[[str], dict[str, list[str]]]) -> None:
    """The name of a policy has at most a hundred characters, since it becomes part of a key."""
    for length in (1, bounds.POLICY_NAME, bounds.POLICY_NAME + 1, 900):
        (limit,) = read_limits(written("n" * length), NOW)
        assert limit.name == "n" * min(length, bounds.POLICY_NAME)


def test_only_so_many_policies_are_kept_in_mind() -> None:
    """A server that names a new policy with each answer leaves the last twenty policies."""
    state = rate_limit.RateState()
    for number in range(200):
        limits = [Limit(5, 60.0, f"policy {number}")]
        state = rate_limit.on_rate_limit_fields(
            state, number, limits, float(number), float(number), succeeded=True
        )
    names = [window.name for window in state.windows]
    assert names == [f"policy {number}" for number in range(180, 200)]


def test_a_policy_that_is_told_again_is_kept_in_mind() -> None:
    """A policy that comes with every answer stays, whatever other policies are named."""
    state = rate_limit.RateState()
    for number in range(200):
        limits = [Limit(5, 60.0, "always"), Limit(5, 60.0, f"policy {number}")]
        state = rate_limit.on_rate_limit_fields(
            state, number, limits, float(number), float(number), succeeded=True
        )
    assert "always" in {window.name for window in state.windows}


def test_a_long_url_has_no_origin() -> None:
    """A URL longer than any server accepts has no origin, so nothing is kept under an origin."""
    url = "https://api.example.com/".ljust(bounds.URL, "a")
    assert Origin.of(url) == Origin("https", "api.example.com", 443)
    assert Origin.of(f"{url}a") is None


def test_a_long_url_is_shown_in_part() -> None:
    """Events and records show only the beginning of a long URL that a redirect has named."""
    for url in ("https://api.example.com/".ljust(9000, "a"), "https://".ljust(9000, "a") + "/b"):
        assert redacted(url) == url[: bounds.WORDS]
    assert redacted("https://api.example.com/a") == "https://api.example.com/a"


def test_an_endpoint_has_no_long_name() -> None:
    """The beginning of a long path distinguishes endpoints."""
    path = "/".join("a" * 20 for _ in range(9000))
    assert len(path_pattern(f"https://api.example.com/{path}")) == 5 * 21


def test_an_origin_has_no_long_name() -> None:
    """The beginning of a long host distinguishes what is no origin."""
    assert len(origin_name(f"http+unix://{'a' * 9000}/info")) == bounds.URL_KEPT


def test_a_long_problem_says_nothing() -> None:
    """A problem document as long as the bound is read; with one more byte it is not even parsed."""
    fits = ABUSE.ljust(bounds.PROBLEM - 1) + b"}"
    assert is_abuse(fits)
    assert not is_abuse(b" " + fits)


@pytest.mark.parametrize("digits", [1, 300, bounds.DIGITS])
def test_whole_numbers_in_json_are_read(digits: int) -> None:
    """A whole number up to the bound is read; a longer one spoils the document, on any Python."""
    assert read_object(b'{"a": %s}' % (b"9" * digits)) == {"a": 10**digits - 1}
    assert read_object(b'{"a": %s, "b": 1}' % (b"9" * (bounds.DIGITS + 1))) == {}


@pytest.mark.parametrize("text", [b"", b"[]", b"[" * 60_000, b'{"a":' * 40_000, b"\xff", b"1"])
def test_what_is_no_object_is_empty(text: bytes) -> None:
    """Lists, numbers, nonsense and JSON that is nested too deep are read as empty objects."""
    assert read_object(text) == {}
