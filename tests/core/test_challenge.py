"""Reading `WWW-Authenticate`: the grammar, how much survives a fault, and the cost."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import Challenge, StepUp
from requests_authretry._core.challenge import parse_challenges
from tests.core.steps import assert_linear

if TYPE_CHECKING:
    from collections.abc import Mapping

Expected: TypeAlias = "list[tuple[str, dict[str, str]] | tuple[str, dict[str, str], str]]"

WELL_FORMED: dict[str, tuple[str, Expected]] = {
    "bare scheme": ("Bearer", [("Bearer", {})]),
    "one parameter": ('Bearer realm="api"', [("Bearer", {"realm": "api"})]),
    "token as value": ("Bearer error=invalid_token", [("Bearer", {"error": "invalid_token"})]),
    "three parameters": (
        'Bearer realm="api", error="invalid_token", error_description="expired at noon"',
        [
            (
                "Bearer",
                {
                    "realm": "api",
                    "error": "invalid_token",
                    "error_description": "expired at noon",
                },
            )
        ],
    ),
    "scheme keeps its case": ("bEARER a=b", [("bEARER", {"a": "b"})]),
    "name in any case": ('Bearer ERROR="x", Realm=y', [("Bearer", {"error": "x", "realm": "y"})]),
    "value keeps its case": (
        "Bearer error=Invalid_Token",
        [("Bearer", {"error": "Invalid_Token"})],
    ),
    "no space after the comma": ("Bearer a=b,c=d", [("Bearer", {"a": "b", "c": "d"})]),
    "blanks around the equals sign": (
        'Bearer realm \t= \t"api" , error = x',
        [("Bearer", {"realm": "api", "error": "x"})],
    ),
    "blanks around the line": (" \tBearer a=b\t ", [("Bearer", {"a": "b"})]),
    "several blanks after the scheme": ("Bearer   a=b", [("Bearer", {"a": "b"})]),
    "tab after the scheme": ("Bearer\ta=b", [("Bearer", {"a": "b"})]),
    "all token characters": (
        "!#$%&'*+-.^_`|~9zA !#$%&'*+-.^_`|~9z=!#$%&'*+-.^_`|~9zA",
        [("!#$%&'*+-.^_`|~9zA", {"!#$%&'*+-.^_`|~9z": "!#$%&'*+-.^_`|~9zA"})],
    ),
    "single quotes are token characters": ("Basic realm='a'", [("Basic", {"realm": "'a'"})]),
    "empty string": ('Bearer realm=""', [("Bearer", {"realm": ""})]),
    "comma in a string": ('Bearer realm="a, b=c, D"', [("Bearer", {"realm": "a, b=c, D"})]),
    "challenge in a string": (
        'Other title="x, Bearer error=\\"y\\", z", Bearer error=invalid_token',
        [
            ("Other", {"title": 'x, Bearer error="y", z'}),
            ("Bearer", {"error": "invalid_token"}),
        ],
    ),
    "quoted quote": (r'Basic realm="say \"hi\""', [("Basic", {"realm": 'say "hi"'})]),
    "quoted backslash ends no string": (r'A b="c\\", D', [("A", {"b": "c\\"}), ("D", {})]),
    "quoted backslash before a quote": (r'A b="c\\\"d"', [("A", {"b": 'c\\"d'})]),
    "needless quoted pairs": (r'A b="\f\o\o"', [("A", {"b": "foo"})]),
    "tab in a string": ('A b="c\td"', [("A", {"b": "c\td"})]),
    "bytes above ASCII in a string": ('A b="caf\xe9\x80"', [("A", {"b": "caf\xe9\x80"})]),
    "any letters and surrogates in a string": (
        'A b="\u4e2d\udce9\\\u20ac"',
        [("A", {"b": "\u4e2d\udce9\u20ac"})],
    ),
    "rfc 2047 is not decoded": ('A b="=?utf-8?q?c?="', [("A", {"b": "=?utf-8?q?c?="})]),
    "token68": ("Negotiate dG9rZW4=", [("Negotiate", {}, "dG9rZW4=")]),
    "token68 with two pads": ("NTLM TlRMTQ==", [("NTLM", {}, "TlRMTQ==")]),
    "token68 without pad": ("NTLM TlRMTVNT", [("NTLM", {}, "TlRMTVNT")]),
    "token68 with every character": ("X aZ09-._~+/==", [("X", {}, "aZ09-._~+/==")]),
    "token68 that looks like an empty parameter": ("X realm=", [("X", {}, "realm=")]),
    "several challenges": (
        'Basic realm="b", Bearer realm="o", error=invalid_token, Negotiate, NTLM abc=, X y=z',
        [
            ("Basic", {"realm": "b"}),
            ("Bearer", {"realm": "o", "error": "invalid_token"}),
            ("Negotiate", {}),
            ("NTLM", {}, "abc="),
            ("X", {"y": "z"}),
        ],
    ),
    "same scheme twice": (
        "Bearer realm=a, Bearer realm=b",
        [("Bearer", {"realm": "a"}), ("Bearer", {"realm": "b"})],
    ),
    "parameter named like a scheme": (
        "New realm=n, basic=foo, Basic realm=b",
        [("New", {"realm": "n", "basic": "foo"}), ("Basic", {"realm": "b"})],
    ),
    "an error belongs to its own challenge": (
        'Bearer realm="a", DPoP error="use_dpop_nonce", algs="ES256"',
        [("Bearer", {"realm": "a"}), ("DPoP", {"error": "use_dpop_nonce", "algs": "ES256"})],
    ),
    "empty members": (
        " , ,,Bearer a=b,, ,c=d, ,\t, Basic,,",
        [("Bearer", {"a": "b", "c": "d"}), ("Basic", {})],
    ),
    "empty member after the scheme": ("Basic , realm=a", [("Basic", {"realm": "a"})]),
    "empty line": ("", []),
    "blank line": (" \t ", []),
    "commas only": (",, ,", []),
}

MALFORMED: dict[str, tuple[str, Expected]] = {
    "first of two equal names wins": (
        "Bearer error=a, ERROR=b, x=y",
        [("Bearer", {"error": "a", "x": "y"})],
    ),
    "missing comma": (
        'Bearer realm="api" error=insufficient_scope  scope = "a b"',
        [("Bearer", {"realm": "api", "error": "insufficient_scope", "scope": "a b"})],
    ),
    "missing comma before a challenge": (
        "Bearer a=b Basic c=d, e=f",
        [("Bearer", {"e": "f"})],
    ),
    "comma after the scheme": ("Basic, realm=a", [("Basic", {"realm": "a"})]),
    "unquoted words": (
        "Bearer scope=read write, error=invalid_token",
        [("Bearer", {"error": "invalid_token"})],
    ),
    "unquoted url": (
        "Bearer as_uri=https://login.test/a, resource=r",
        [("Bearer", {"resource": "r"})],
    ),
    "backslashes outside a string": (r"Basic realm=\f\o, a=b", [("Basic", {"a": "b"})]),
    "quotes inside a string": (
        'Basic realm="my "nice" realm", a=b',
        [("Basic", {"a": "b"})],
    ),
    "text glued to a string": ('A b="c"d, e=f', [("A", {"e": "f"})]),
    "two parameters glued": ('A b="c"d="e", f=g', [("A", {"f": "g"})]),
    "string never closed": (
        'Basic realm=b, Bearer x=y, error="invalid_token, DPoP error=z',
        [("Basic", {"realm": "b"}), ("Bearer", {"x": "y"})],
    ),
    "string never closed, scheme first": ('Bearer error="a, Basic', [("Bearer", {})]),
    "string ends in a backslash": ('Bearer a=b, c="d\\', [("Bearer", {"a": "b"})]),
    "closing quote is quoted": ('Bearer a=b, c="d\\", e=f', [("Bearer", {"a": "b"})]),
    "value missing": ("Bearer a=b, error=, c=d", [("Bearer", {"a": "b", "c": "d"})]),
    "name missing": ('Bearer a=b, ="c"', [("Bearer", {"a": "b"})]),
    "two equals signs": ("Bearer a==b, c=d", [("Bearer", {"c": "d"})]),
    "pair of pairs": ("Bearer a=bc=d, e=f", [("Bearer", {"e": "f"})]),
    "pad inside token68": ("X ab=c=, d=e", [("X", {"d": "e"})]),
    "words after token68": ("X abc def", [("X", {})]),
    "parameter after token68": ("X abc==, d=e", [("X", {"d": "e"}, "abc==")]),
    "parameters of no challenge": ("error=a, Bearer b=c", [("Bearer", {"b": "c"})]),
    "parameters after junk belong to nobody": (
        'Bearer a=b, F@o error="insufficient_scope", error=c, Basic d=e',
        [("Bearer", {"a": "b"}), ("Basic", {"d": "e"})],
    ),
    "string as a member": (
        'Bearer a=b, "junk, Basic x=y", c=d, Basic e=f',
        [("Bearer", {"a": "b"}), ("Basic", {"e": "f"})],
    ),
    "semicolons": ("Bearer; error=a, Basic", [("Basic", {})]),
    "colon after the scheme": ("Bearer: error=a", []),
    "semicolons between parameters": ("Bearer a=b; c=d, e=f", [("Bearer", {"e": "f"})]),
    "scheme not ASCII": ("B\xe9arer a=b", []),
    "name not ASCII": ("Bearer \xe9=b, c=d", [("Bearer", {"c": "d"})]),
    "value not ASCII": ("Bearer a=\xe9, c=d", [("Bearer", {"c": "d"})]),
    "Kelvin sign is no letter": ("Bearer \u212aey=b", [("Bearer", {})]),
    "NUL in a string": ('Bearer a="b\0c", d=e', [("Bearer", {"d": "e"})]),
    "quoted NUL": ('Bearer a="b\\\0c", d=e', [("Bearer", {"d": "e"})]),
    "line break in a string": ('Bearer a="b\r\n c", d=e', [("Bearer", {"d": "e"})]),
    "quoted line break": ('Bearer a="b\\\n", d=e', [("Bearer", {"d": "e"})]),
    "delete in a string": ('Bearer a="\x7f", d=e', [("Bearer", {"d": "e"})]),
    "line break after a value": ("Bearer a=b\n", [("Bearer", {})]),
    "line break after a scheme": ("Bearer\n", []),
    "line break before a comma": ("Bearer\n, a=b, Basic", [("Basic", {})]),
    "line break after token68": ("X abc=\n", [("X", {})]),
    "other blanks": ("Bearer\xa0a=b", []),
    "control characters": ("\0\x01\x7f, Bearer \x02, a=b", [("Bearer", {"a": "b"})]),
    "lone surrogate": ("\ud800, Bearer a=b", [("Bearer", {"a": "b"})]),
}


def made(expected: Expected) -> tuple[Challenge, ...]:
    """Turn a row of a table into challenges."""
    return tuple(Challenge(*row) for row in expected)


@pytest.mark.parametrize(("line", "expected"), WELL_FORMED.values(), ids=WELL_FORMED)
def test_reads_the_grammar(line: str, expected: Expected) -> None:
    """A well-formed line gives exactly the challenges that it holds."""
    assert parse_challenges([line]) == made(expected)


@pytest.mark.parametrize(("line", "expected"), MALFORMED.values(), ids=MALFORMED)
def test_keeps_what_a_fault_leaves_clear(line: str, expected: Expected) -> None:
    """A fault spoils its own list member only; everything that is clear without it is read."""
    assert parse_challenges([line]) == made(expected)


def test_several_lines_are_read_in_order() -> None:
    """Each line is read separately, and the challenges keep the order of the lines."""
    lines = ["Bearer a=b, Basic", "", "Negotiate abc=", "Basic realm=c"]
    expected = made(
        [
            ("Bearer", {"a": "b"}),
            ("Basic", {}),
            ("Negotiate", {}, "abc="),
            ("Basic", {"realm": "c"}),
        ]
    )
    assert parse_challenges(lines) == expected
    assert parse_challenges([", ".join(lines)]) == expected


def test_a_fault_stays_in_its_line() -> None:
    """An open string or a parameter ends with its line."""
    lines = ['Bearer error="a', "error=b, Basic c=d"]
    assert parse_challenges(lines) == made([("Bearer", {}), ("Basic", {"c": "d"})])


def test_no_lines_no_challenges() -> None:
    """A response without the header has no challenges."""
    assert parse_challenges([]) == ()


@pytest.mark.parametrize(
    ("scheme", "asked", "same"),
    [
        ("Bearer", "bearer", True),
        ("BEARER", "Bearer", True),
        ("bearer", "BEARER", True),
        ("DPoP", "Bearer", False),
        ("Bearer", "Bear", False),
    ],
)
def test_schemes_are_compared_in_any_case(scheme: str, asked: str, *, same: bool) -> None:
    """Two schemes are equal in upper and lower case, and only if all their letters are equal."""
    assert Challenge(scheme).is_for(asked) is same


def test_error_is_the_parameter_or_none() -> None:
    """The error is the one that the server named, or None."""
    (named, bare) = parse_challenges(['Bearer ERROR="invalid_token", Basic'])
    assert named.error == "invalid_token"
    assert bare.error is None


def test_a_challenge_cannot_be_changed() -> None:
    """A challenge has its own copy of the mapping that it was made from, and cannot be changed."""
    params = {"a": "b"}
    challenge = Challenge("Bearer", params)
    params["a"] = "c"
    assert challenge.params == {"a": "b"}
    with pytest.raises(TypeError):
        operator.setitem(challenge.params, "a", "c")  # type: ignore[call-overload]
    with pytest.raises(AttributeError):
        setattr(challenge, "scheme", "Basic")  # noqa: B010


def test_equal_challenges_hash_alike() -> None:
    """Challenges can be members of sets, and equal ones count once."""
    assert len({Challenge("A", {"b": "c"}), Challenge("A", {"b": "c"}), Challenge("D")}) == 2


TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
tokens = st.text(TCHARS, min_size=1, max_size=12)
names = tokens.map(str.lower)
blanks = st.text(" \t", max_size=2)
texts = st.text(st.characters(min_codepoint=0x20, exclude_characters="\x7f")) | st.text('"\\,=\t a')
token68s = st.from_regex(r"[A-Za-z0-9._~+/-]{1,12}={0,2}", fullmatch=True)
challenges = st.builds(Challenge, tokens, st.dictionaries(names, texts, max_size=4)) | st.builds(
    Challenge, tokens, st.just({}), token68s
)
hostile = st.text() | st.text('"\\,= \taB;\0\n/\xe9\ud800')


def rendered(params: Mapping[str, str], draw: st.DrawFn) -> list[str]:
    """Write parameters in one of the ways that the grammar allows."""
    pairs = []
    for name, text in params.items():
        value = text
        if not text or set(text) - set(TCHARS) or draw(st.booleans()):
            escape = '"\\' + draw(st.sampled_from(["", "a", " "]))
            value = '"' + "".join("\\" + c if c in escape else c for c in text) + '"'
        written = draw(st.sampled_from([name, name.upper(), name.title()]))
        pairs.append(f"{written}{draw(blanks)}={draw(blanks)}{value}")
    return pairs


@st.composite
def lines_of(draw: st.DrawFn, wanted: list[Challenge]) -> list[str]:
    """Write challenges as field lines, using every freedom that the grammar gives a server."""
    lines = [""]
    for challenge in wanted:
        members = rendered(challenge.params, draw) or [challenge.token68 or ""]
        comma = draw(blanks) + "," * draw(st.integers(1, 3)) + draw(blanks)
        text = f"{challenge.scheme} {draw(blanks)}{comma.join(members)}"
        if draw(st.booleans()):
            lines.append(text)
        else:
            lines[-1] += comma + text
    return lines


@given(st.data(), st.lists(challenges, max_size=4))
def test_what_was_written_is_read(data: st.DataObject, wanted: list[Challenge]) -> None:
    """Well-formed challenges are read back unchanged, in whatever way they were written."""
    assert parse_challenges(data.draw(lines_of(wanted))) == tuple(wanted)


@given(st.lists(hostile))
def test_never_raises(lines: list[str]) -> None:
    """Any text can be read, and gives only names in lower case and schemes."""
    for challenge in parse_challenges(lines):
        assert challenge.scheme
        assert all(name == name.lower() for name in challenge.params)


@given(hostile, st.lists(challenges, min_size=1, max_size=3), st.data())
def test_a_fault_in_one_line_leaves_the_others(
    fault: str, wanted: list[Challenge], data: st.DataObject
) -> None:
    """The challenges of later lines are read in full, whatever one line contains."""
    found = parse_challenges([fault, *data.draw(lines_of(wanted))])
    assert found[-len(wanted) :] == tuple(wanted)


def test_a_step_up_is_read_from_its_challenge() -> None:
    """A step-up has the contexts and the age that the server names, and None for the rest."""
    asked = {"acr_values": "gold mfa", "max_age": "300"}
    assert StepUp.from_challenge(Challenge("Bearer", asked)) == StepUp("gold mfa", 300)
    assert StepUp.from_challenge(Challenge("Bearer")) == StepUp(acr_values=None, max_age=None)


@pytest.mark.parametrize("odd", ["", "soon", "-1", "1.5", "٣", "9" * 13])
def test_a_max_age_that_is_no_number_of_seconds_counts_as_not_named(odd: str) -> None:
    """``max_age=soon`` is read as if the challenge had no ``max_age``."""
    assert StepUp.from_challenge(Challenge("Bearer", {"max_age": odd})).max_age is None


HOSTILE = {
    "quotes": '"',
    "commas": ",",
    "backslashes": "\\",
    "quoted quotes": '\\"',
    "quotes and backslashes": '"\\',
    "blanks": " ",
    "token": "a",
    "equals signs": "=",
    "bare pairs": "a=b ",
    "glued pairs": "a=b",
    "open strings": 'a="',
    "quoted strings": 'a="b" ',
    "spaced names": "a ",
    "members": "a,",
    "empty strings": '"",',
    "token68": "a==",
}


@pytest.mark.parametrize("start", ["", "a", "a ", 'a="', "a b="], ids=repr)
@pytest.mark.parametrize("end", ["\0", "="], ids=repr)
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_cost_is_linear(start: str, unit: str, end: str) -> None:
    """A text eight times as long takes about eight times the work (64 times if quadratic)."""
    short, long = (start + unit * (size // len(unit)) + end for size in (64, 512))
    assert_linear(lambda line: parse_challenges([line]), short, long)
