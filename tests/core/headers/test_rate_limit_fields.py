"""Reading a server's rate limits, in all forms that servers write."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import ConfigurationError, RateLimits
from requests_authretry._core.headers.names import KNOWN
from requests_authretry._core.headers.rate_limit_fields import read_limits
from requests_authretry._core.identity import name_of
from requests_authretry._core.records import Limit
from tests.core.moments import NOW, NOWS
from tests.core.steps import assert_linear

ALL = frozenset(KNOWN)
EPOCH = 1_750_000_000


def read(*lines: str) -> tuple[Limit, ...]:
    """Return the limits in these header lines."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        fields.setdefault(name.lower(), []).append(value)
    return read_limits(fields, NOW)


def structured(field: str, policy: str = "") -> tuple[Limit, ...]:
    """Return the limits in the two structured fields."""
    return read(f"RateLimit: {field}", f"RateLimit-Policy: {policy}")


@pytest.mark.parametrize(
    ("field", "policy", "limits"),
    [
        ('"default";r=50;t=30', "", [Limit(50, 30, "default")]),
        ('"default";r=50;t=30', '"default";q=100;w=10', [Limit(50, 30, "default", 100, 10)]),
        ('"a";r=1;t=2', '"b";q=100;w=10', [Limit(1, 2, "a")]),
        (
            '"permin";r=20;t=23,"perhr";r=399;t=2402',
            '"permin";q=50;w=60, "perhr";q=1000;w=3600',
            [Limit(20, 23, "permin", 50, 60), Limit(399, 2402, "perhr", 1000, 3600)],
        ),
        ('"a";r=7;t=9', '"a";q=100;w=60;acme-burst=9', [Limit(7, 9, "a", 100, 60)]),
        ("default;r=50;t=30", "default;q=100;w=10", [Limit(50, 30, "default", 100, 10)]),
        ('"";r=1;t=2', "", [Limit(1, 2)]),
        ('"a";r=1;t=0', "", [Limit(1, 0, "a")]),
        ('"a";r=1;t=2', '"a";q=5', [Limit(1, 2, "a", 5)]),
        ('"a";r=1;t=2', '"a";w=5', [Limit(1, 2, "a", None, 5)]),
        ('"a";r=1;t=2', '"a";q=5;w=0', [Limit(1, 2, "a", 5)]),
        ('"a";r=1;t=2', '"a";q=-5;w=-1', [Limit(1, 2, "a")]),
        ('"a";r=1;t=2', '"a";q="5";w=?1', [Limit(1, 2, "a")]),
        ('"a";r=1;t=2', "not a policy", [Limit(1, 2, "a")]),
        ('"a";r=1;r=3;t=2', "", [Limit(3, 2, "a")]),
        ('  "a"; r=1; t=2  ', "", [Limit(1, 2, "a")]),
        # units
        ('"a";r=1;t=2', '"a";q=5;qu="requests"', [Limit(1, 2, "a", 5)]),
        ('"a";r=1;t=2', '"a";q=5;qu="request"', [Limit(1, 2, "a", 5)]),
        (
            '"a";r=1;t=2',
            '"a";q=5;qu="content-bytes"',
            [Limit(1, 2, "a", 5, None, "content-bytes")],
        ),
        ('"a";r=1;t=2', f'"a";q=5;qu="{"x" * 500}"', [Limit(1, 2, "a", 5, None, "x" * 100)]),
        ('"a";r=1;t=2', '"a";q=5;qu="concurrent-requests"', []),
        ('"a";r=1;t=2', '"a";q=5;qu="concurrency"', []),
        ('"a";r=1;t=2', '"a";q=5;qu=""', []),
        ('"a";r=1;t=2', '"a";q=5;qu=7', []),
        ('"a";r=1;t=2, "b";r=3;t=4', '"a";q=5;qu=7, "b";q=6', [Limit(3, 4, "b", 6)]),
        # the Dictionary of draft -07
        ("limit=100, remaining=50, reset=30", "", [Limit(50, 30, "", 100)]),
        ("limit=100, remaining=50, reset=30", "10;w=1, 100;w=60", [Limit(50, 30, "", 100, 60)]),
        ("limit=100, remaining=50, reset=30", "10;w=1", [Limit(50, 30, "", 100)]),
        ("remaining=50, reset=30", "", [Limit(50, 30)]),
        ("remaining=50;x=1, reset=30", "", [Limit(50, 30)]),
        (
            "limit=100, remaining=50, reset=30",
            '100;w=60;qu="content-bytes"',
            [Limit(50, 30, "", 100, 60, "content-bytes")],
        ),
        ("limit=100, remaining=50, reset=30", "100;w=60;qu=7", []),
        ("limit=100, remaining=50", "", []),
        ("limit=100, reset=30", "", []),
        ("limit=100, remaining=-1, reset=30", "", []),
        ("limit=100, remaining=(1 2), reset=30", "", []),
    ],
)
def test_structured_fields(field: str, policy: str, limits: list[Limit]) -> None:
    """Each limit is read with its policy; limits on requests under way are left out."""
    assert list(structured(field, policy)) == limits


@pytest.mark.parametrize(
    ("field", "policy", "quotas"),
    [
        ('"a";r=1;t=2;pk=:YQ==:', "", {"a;pk=A": None}),
        ('"a";r=1;t=2;pk=:YQ==:, "a";r=3;t=4;pk=:Yg==:', "", {"a;pk=A": None, "a;pk=B": None}),
        (
            '"a";r=1;t=2;pk=:YQ==:, "a";r=3;t=4;pk=:Yg==:, "a";r=5;t=6',
            '"a";q=8, "a";q=9;pk=:Yg==:',
            {"a;pk=A": 8, "a;pk=B": 9, "a": 8},
        ),
        ('"a";r=1;t=2;pk=:YQ==:', '"a";q=9;pk=:Yg==:', {"a;pk=A": 9}),
        ('"a";r=1;t=2', '"a";q=8;pk=:YQ==:, "a";q=9;pk=:Yg==:', {"a;pk=A": 8}),
        ('"a";r=1;t=2;pk="a"', "", {"a;pk=A": None}),
        ('"a";r=1;t=2;pk=7', "", {"a": None}),
    ],
)
def test_a_partition_has_a_limit_of_its_own(
    field: str, policy: str, quotas: dict[str, float | None]
) -> None:
    """Each partition key makes another name; a policy without one is that of all partitions."""
    known = {name_of("a"): "A", name_of("b"): "B"}
    found = {}
    for limit in structured(field, policy):
        name, equals, key = limit.name.partition("=")
        found[f"{name}{equals}{known[key] if key else ''}"] = limit.quota
    assert found == quotas


def test_a_partition_keeps_its_name_behind_a_long_one() -> None:
    """The names of two partitions differ, however long the policy's own name is."""
    long = "x" * 500
    one, two = structured(f'"{long}";r=1;t=2;pk=:YQ==:, "{long}";r=1;t=2;pk=:Yg==:')
    assert one.name != two.name
    assert len(one.name) == len(two.name) < 150


@pytest.mark.parametrize(
    "field",
    [
        "",
        " ",
        ",",
        '"a"',
        '"a";r=1',
        '"a";t=1',
        '"a";R=1;T=2',
        '"a";r=1;t=2,',
        '"a" ;r=1;t=2',
        '"a";r =1;t=2',
        '"a;r=1;t=2',
        "'a';r=1;t=2",
        '"a";r=-1;t=2',
        '"a";r=1;t=-2',
        '"a";r="1";t=2',
        '"a";r=1;t="2"',
        '"a";r;t',
        '"a";r=?1;t=?1',
        '"a";r=1;t=@2',
        '"a";r=1;t=3155760001',
        '"a";r=1;t=999999999999999',
        '"a";r=1000000000000000;t=2',
        '"a";r=nan;t=2',
        '"a";r=inf;t=inf',
        '"a";r=1e3;t=2',
        '"a";r=1.5;t=2',
        '"a";r=1;t=2.5',
        '"a";r=+1;t=2',
        "7;r=1;t=2",
        "1.5;r=1;t=2",
        "?1;r=1;t=2",
        ":YQ==:;r=1;t=2",
        '("a" "b");r=1;t=2',
        '"\xe9";r=1;t=2',
        '"\ud800";r=1;t=2',
        '"a";r=1;t=2\0',
        "9999999999991.;r=1;t=2",
        "@",
        "50",
        "50, 60",
    ],
)
def test_what_is_malformed_is_no_limit(field: str) -> None:
    """A field that RFC 9651 or the draft forbids gives no limit."""
    assert structured(field) == ()


def test_members_over_several_lines() -> None:
    """A List may span several lines; one bad line spoils it, as in RFC 9651."""
    one, two = 'RateLimit: "a";r=1;t=2', 'RateLimit: "b";r=3;t=4'
    assert read(one, two) == (Limit(1, 2, "a"), Limit(3, 4, "b"))
    assert read(one, "RateLimit: !") == ()


def test_a_bad_member_does_not_spoil_the_good_ones() -> None:
    """A member without its parameters is left out, and the other members are read."""
    assert structured('"a";r=1, "b";r=3;t=4, 5;r=6;t=7') == (Limit(3, 4, "b"),)


PLAIN: dict[str, tuple[tuple[str, ...], list[Limit]]] = {
    "draft -00 to -02": (
        ("RateLimit-Limit: 100", "RateLimit-Remaining: 50", "RateLimit-Reset: 50"),
        [Limit(50, 50, "", 100)],
    ),
    "draft -03, several windows": (
        (
            "RateLimit-Limit: 10, 10;w=1, 50;w=60, 1000;w=3600",
            "RateLimit-Remaining: 9",
            "RateLimit-Reset: 1",
        ),
        [Limit(9, 1, "", 10, 1)],
    ),
    "draft -06, with a policy": (
        (
            "RateLimit-Limit: 50",
            "RateLimit-Policy: 10;w=1, 50;w=60",
            "RateLimit-Remaining: 9",
            "RateLimit-Reset: 30",
        ),
        [Limit(9, 30, "", 50, 60)],
    ),
    "Envoy": (
        (
            'x-ratelimit-limit: 10, 10;w=1;name="per-second"',
            "x-ratelimit-remaining: 9",
            "x-ratelimit-reset: 1",
        ),
        [Limit(9, 1, "", 10, 1)],
    ),
    "Reddit": (
        ("x-ratelimit-remaining: 599.0", "x-ratelimit-used: 1", "x-ratelimit-reset: 183"),
        [Limit(599, 183)],
    ),
    "OpenAI": (
        (
            "x-ratelimit-limit-requests: 60",
            "x-ratelimit-limit-tokens: 150000",
            "x-ratelimit-remaining-requests: 59",
            "x-ratelimit-remaining-tokens: 149984",
            "x-ratelimit-reset-requests: 12ms",
            "x-ratelimit-reset-tokens: 6m0s",
        ),
        [Limit(59, 0.012, "", 60), Limit(149_984, 360, "", 150_000, None, "tokens")],
    ),
    "Anthropic": (
        tuple(
            f"anthropic-ratelimit-{unit}-{line}"
            for unit in ("requests", "tokens", "input-tokens")
            for line in ("limit: 50", "remaining: 0", "reset: 2025-06-15T15:06:50Z")
        ),
        [
            Limit(0, 10, "", 50, None, "input-tokens"),
            Limit(0, 10, "", 50),
            Limit(0, 10, "", 50, None, "tokens"),
        ],
    ),
    "tokens beside a policy of requests": (
        (
            "RateLimit-Policy: 100;w=60",
            "X-RateLimit-Limit-Tokens: 100, 100;w=10",
            "X-RateLimit-Remaining-Tokens: 7",
            "X-RateLimit-Reset-Tokens: 5",
        ),
        [Limit(7, 5, "", 100, 10, "tokens")],
    ),
    "tokens beside a structured field": (
        (
            'RateLimit: "a";r=1;t=2',
            "X-RateLimit-Remaining-Requests: 8",
            "X-RateLimit-Reset-Requests: 5",
            "X-RateLimit-Remaining-Tokens: 7",
            "X-RateLimit-Reset-Tokens: 5",
        ),
        [Limit(1, 2, "a"), Limit(7, 5, "", None, None, "tokens")],
    ),
    "two forms of tokens": (
        (
            "X-RateLimit-Remaining-Tokens: 7",
            "X-RateLimit-Reset-Tokens: 5",
            "Anthropic-RateLimit-Tokens-Remaining: 8",
            "Anthropic-RateLimit-Tokens-Reset: 6",
        ),
        [Limit(8, 6, "", None, None, "tokens")],
    ),
    "Azure OpenAI, broken": (
        (
            "x-ratelimit-limit-tokens: -1",
            "x-ratelimit-remaining-tokens: -1",
            "x-ratelimit-reset-tokens: 0",
        ),
        [],
    ),
    "Azure, without a reset": (("x-ms-ratelimit-remaining-subscription-reads: 11999",), []),
    "no reset": (("X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 50"), []),
    "no remaining": (("X-RateLimit-Limit: 100", "X-RateLimit-Reset: 50"), []),
    "a limit in words": (
        ("X-RateLimit-Limit: 100 per hour", "X-RateLimit-Remaining: 5", "X-RateLimit-Reset: 7"),
        [Limit(5, 7)],
    ),
    "a limit by name": (
        ('X-RateLimit-Limit: "x"', "X-RateLimit-Remaining: 5", "X-RateLimit-Reset: 7"),
        [Limit(5, 7)],
    ),
    "a limit with a quota of its own": (
        ('X-RateLimit-Limit: "x";q=9', "X-RateLimit-Remaining: 5", "X-RateLimit-Reset: 7"),
        [Limit(5, 7)],
    ),
    "a limit in bytes": (
        (
            "RateLimit-Limit: 100",
            'RateLimit-Policy: 100;w=60;qu="content-bytes"',
            "RateLimit-Remaining: 5",
            "RateLimit-Reset: 7",
        ),
        [Limit(5, 7, "", 100, 60, "content-bytes")],
    ),
    "Reset-After before Reset": (
        (
            "X-RateLimit-Remaining: 1",
            f"X-RateLimit-Reset: {EPOCH + 99}",
            "X-RateLimit-Reset-After: 1.5",
        ),
        [Limit(1, 1.5)],
    ),
    "Reset where Reset-After is malformed": (
        (
            "X-RateLimit-Remaining: 1",
            f"X-RateLimit-Reset: {EPOCH + 99}",
            "X-RateLimit-Reset-After: soon",
        ),
        [Limit(1, 99)],
    ),
    "the worst of several values": (
        (
            "X-RateLimit-Remaining: 5, x, 3",
            "X-RateLimit-Remaining: 4",
            "X-RateLimit-Reset: 10, x, 30",
            "X-RateLimit-Reset: 20",
        ),
        [Limit(3, 30)],
    ),
    "a date among values": (
        ("X-RateLimit-Remaining: 5", "X-RateLimit-Reset: Sun, 15 Jun 2025 15:07:10 GMT"),
        [Limit(5, 30)],
    ),
    "resource": (
        (
            "X-RateLimit-Remaining: 5",
            "X-RateLimit-Reset: 10",
            "X-RateLimit-Resource:  search ",
        ),
        [Limit(5, 10, "search")],
    ),
    "bucket": (
        ("X-RateLimit-Remaining: 5", "X-RateLimit-Reset: 10", "X-RateLimit-Bucket: abcd1234"),
        [Limit(5, 10, "abcd1234")],
    ),
    "the name is of its own family": (
        ("RateLimit-Remaining: 5", "RateLimit-Reset: 10", "X-RateLimit-Bucket: abcd1234"),
        [Limit(5, 10)],
    ),
    # the newest that can be read wins
    "structured before all": (
        (
            'RateLimit: "a";r=1;t=2',
            "RateLimit-Remaining: 3",
            "RateLimit-Reset: 4",
            "X-RateLimit-Remaining: 5",
            "X-RateLimit-Reset: 6",
        ),
        [Limit(1, 2, "a")],
    ),
    "without an X before with": (
        (
            'RateLimit: "a";r=1',
            "RateLimit-Remaining: 3",
            "RateLimit-Reset: 4",
            "X-RateLimit-Remaining: 5",
            "X-RateLimit-Reset: 6",
        ),
        [Limit(3, 4)],
    ),
    "in one word before two": (
        (
            "RateLimit-Remaining: 3",
            "RateLimit-Reset: soon",
            "X-Rate-Limit-Remaining: 7",
            "X-Rate-Limit-Reset: 8",
            "X-RateLimit-Remaining: 5",
            "X-RateLimit-Reset: 6",
        ),
        [Limit(5, 6)],
    ),
}


@pytest.mark.parametrize(("lines", "limits"), PLAIN.values(), ids=PLAIN)
def test_plain_fields(lines: tuple[str, ...], limits: list[Limit]) -> None:
    """Fields with one value each are read together, in the newest readable form."""
    assert list(read(*lines)) == limits


@pytest.mark.parametrize(
    "remaining", ["", "-1", "+1", "many", "1e3", "nan", "inf", "9" * 400, "0x1", "1000000000000000"]
)
def test_an_absurd_count_is_no_limit(remaining: str) -> None:
    """A count that is not a number, or absurdly high, gives no limit."""
    assert read(f"X-RateLimit-Remaining: {remaining}", "X-RateLimit-Reset: 5") == ()


@pytest.mark.parametrize(
    ("age", "is_read"),
    [
        ("0", True),
        ("1", False),
        ("0.5", False),
        ("3600", False),
        ("9" * 300, False),
        ("", True),
        ("-1", True),
        ("old", True),
    ],
)
def test_a_cached_answer_says_nothing(age: str, is_read: bool) -> None:  # noqa: FBT001
    """An answer from a cache gives no limit, since it describes another time."""
    limits = read('RateLimit: "a";r=1;t=2', f"Age: {age}")
    assert limits == ((Limit(1, 2, "a"),) if is_read else ())
    plain = read("X-RateLimit-Remaining: 1", "X-RateLimit-Reset: 2", f"Age: {age}")
    assert plain == ((Limit(1, 2),) if is_read else ())


def test_structured_fields_alone_need_their_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other fields are read without importing the parser of structured fields."""
    monkeypatch.setitem(sys.modules, "http_sf", None)
    assert read("X-RateLimit-Remaining: 1", "X-RateLimit-Reset: 2") == (Limit(1, 2),)


def test_a_moment_is_measured_on_the_servers_clock() -> None:
    """A reset that is a moment counts from the answer's own date; a duration counts from now."""
    ahead = "Date: Sun, 15 Jun 2025 16:06:40 GMT"
    remaining = "X-RateLimit-Remaining: 1"
    assert read(remaining, f"X-RateLimit-Reset: {EPOCH + 3610}", ahead) == (Limit(1, 10),)
    assert read(remaining, f"X-RateLimit-Reset: {EPOCH + 3610}000", ahead) == (Limit(1, 10),)
    assert read(remaining, "X-RateLimit-Reset: 2025-06-15T16:06:50Z", ahead) == (Limit(1, 10),)
    assert read(remaining, "X-RateLimit-Reset: 10", ahead) == (Limit(1, 10),)
    assert read(remaining, f"X-RateLimit-Reset: {EPOCH + 3610}") == (Limit(1, 3610),)
    assert read(remaining, f"X-RateLimit-Reset: {EPOCH + 3610}", ahead, "Date: x") == (
        Limit(1, 10),
    )


def test_other_names_are_read_as_they_say() -> None:
    """Fields with a vendor's own names are read by the meaning that the names tell."""
    lines = (
        "Acme-RateLimit-Requests-Remaining: 3",
        "Acme-RateLimit-Requests-Reset: 2025-06-15T15:06:50Z",
    )
    assert read(*lines) == (Limit(3, 10),)


@given(
    st.lists(
        st.tuples(st.text("abc", max_size=5), st.integers(0, 10**15 - 1), st.integers(0, 10**9)),
        max_size=5,
    ),
    NOWS,
)
def test_limits_come_back(limits: list[tuple[str, int, int]], now: float) -> None:
    """Every list of limits that can be written is read back, at any time."""
    written = ", ".join(f'"{name}";r={remaining};t={reset}' for name, remaining, reset in limits)
    expected = tuple(Limit(remaining, reset, name) for name, remaining, reset in limits)
    assert read_limits({"ratelimit": [written]}, now) == expected


def read_everywhere(line: str) -> None:
    """Read a text as the value of each field."""
    read(f"RateLimit: {line}", f"RateLimit-Policy: {line}", f"X-RateLimit-Remaining: 1,{line}")
    read("X-RateLimit-Remaining: 1", f"X-RateLimit-Reset: {line}", f"X-RateLimit-Limit: {line}")


@pytest.mark.parametrize(
    "unit", [",", " ", "9", "1,", "1;w=1,", '"a";r=1;t=1,', "(", '"', "a=1,", "9h"]
)
def test_cost_is_linear(unit: str) -> None:
    """A text eight times as long takes about eight times the work (64 times if quadratic)."""
    short, long = (unit * (size // len(unit)) + "\0" for size in (120, 960))
    read_everywhere(short)  # what is imported and remembered at the first reading counts for none
    assert_linear(read_everywhere, short, long)


def test_settings() -> None:
    """The defaults switch everything on and read the known names."""
    limits = RateLimits()
    assert (limits.cool_down, limits.pacing, limits.headers) == (True, True, ALL)
    assert limits == RateLimits(cool_down=True, pacing=True, headers=KNOWN)
    assert hash(limits) == hash(RateLimits())


def test_names_are_frozen() -> None:
    """Any iterable of names is accepted, in upper or lower case, and an empty one too."""
    names = (name for name in ("Retry-After", "X-ACME-RateLimit-Reset"))
    assert RateLimits(headers=names).headers == {  # type: ignore[arg-type]
        "retry-after",
        "x-acme-ratelimit-reset",
    }
    assert RateLimits(headers=[]).headers == frozenset()


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"cool_down": 1}, "cool_down must be True or False, not 1"),
        ({"pacing": None}, "pacing must be True or False, not None"),
        ({"headers": "retry-after"}, "headers takes a collection: write ['retry-after']"),
        ({"headers": None}, "headers takes a collection, not NoneType"),
        ({"headers": ["X-Foo", "retry-after", 7]}, "or -tokens, not 'x-foo', 7"),
        ({"headers": ["x-ratelimit-remaining-bytes"]}, "headers takes header names whose meaning"),
        ({"identity": "tenant"}, "identity must be a function of a request, not str"),
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any], fault: str) -> None:
    """A field that cannot work is named, with the way to correct it."""
    with pytest.raises(ConfigurationError) as caught:
        RateLimits(**wrong)
    assert fault in str(caught.value)


def test_all_faults_are_named_together() -> None:
    """An error names every field that cannot work."""
    wrong: dict[str, Any] = {"cool_down": 1, "pacing": 2, "headers": 3, "identity": str}
    with pytest.raises(ConfigurationError, match=r"^RateLimits: cool_down must be") as caught:
        RateLimits(**wrong)
    assert [fault.partition(" ")[0] for fault in caught.value.faults] == [
        "cool_down",
        "pacing",
        "headers",
    ]


@pytest.mark.parametrize(
    ("name", "value", "reset"),
    [
        ("x-ratelimit-reset-seconds", "90", 90.0),
        ("x-ratelimit-reset-seconds", "1750000090", 90.0),
        ("x-ratelimit-reset-seconds", "1m", 60.0),
        ("x-ratelimit-reset-ms", "90000", 90.0),
        ("x-ratelimit-reset-ms", "999999999000", 999_999_999.0),
        ("x-ratelimit-reset-ms", "1750000090500", 90.5),
        ("x-ratelimit-reset-ms", "soon", None),
        ("x-ratelimit-reset-after-milliseconds", "90500", 90.5),
    ],
)
def test_a_name_may_tell_the_unit_of_a_reset(name: str, value: str, reset: float | None) -> None:
    """A number is read in the unit of the name; it may be a moment all the same."""
    fields = {"x-ratelimit-remaining": ["5"], name: [value]}
    limits = read_limits(fields, 1_750_000_000.0)
    assert [limit.reset for limit in limits] == ([] if reset is None else [reset])


def test_a_reset_with_a_unit_counts_before_one_without() -> None:
    """The name says for sure what another form has to be guessed from."""
    fields = {
        "x-ratelimit-remaining": ["5"],
        "x-ratelimit-reset": ["7"],
        "x-ratelimit-reset-ms": ["9000"],
    }
    assert [limit.reset for limit in read_limits(fields, 1_750_000_000.0)] == [9.0]
