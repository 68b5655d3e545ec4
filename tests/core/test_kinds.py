"""What settings from outside may be."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._core import kinds
from requests_authretry._core.backoff import Jitter
from requests_authretry._core.kinds import BY_ANNOTATION, shown, unknown

GOOD = [
    (kinds.FLAG, True),
    (kinds.WHOLE, 3),
    (kinds.NUMBER, 3),
    (kinds.NUMBER, 0.5),
    (kinds.TEXT, "a"),
    (kinds.TEXTS, ["a", "b"]),
    (kinds.TEXTS, []),
    (kinds.STATUSES, [429]),
    (kinds.JITTER, "equal"),
    (kinds.TIMEOUT, 3),
    (kinds.TIMEOUT, [3.05, 27]),
    (kinds.WORDS_BY_NAME, {"a": "b"}),
    (kinds.ADOPT, False),
    (kinds.ADOPT, ["retries"]),
]
BAD = [
    (kinds.FLAG, 1),
    (kinds.FLAG, "true"),
    (kinds.WHOLE, True),
    (kinds.WHOLE, 3.0),
    (kinds.NUMBER, True),
    (kinds.NUMBER, math.nan),
    (kinds.NUMBER, "3"),
    (kinds.TEXT, ""),
    (kinds.TEXT, 3),
    (kinds.TEXTS, "a"),
    (kinds.TEXTS, [1]),
    (kinds.STATUSES, [True]),
    (kinds.STATUSES, 429),
    (kinds.JITTER, "half"),
    (kinds.JITTER, ["full"]),
    (kinds.TIMEOUT, [1]),
    (kinds.TIMEOUT, [1, "2"]),
    (kinds.TIMEOUT, "1"),
    (kinds.WORDS_BY_NAME, {"a": 1}),
    (kinds.WORDS_BY_NAME, ["a"]),
    (kinds.ADOPT, "retries"),
    (kinds.ADOPT, 1),
]


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_a_value_of_the_kind_fits(kind: kinds.Kind, value: object) -> None:
    """What a document may hold for the kind is taken."""
    assert kind.fits(value)


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_a_value_of_another_kind_does_not_fit(kind: kinds.Kind, value: object) -> None:
    """A value that merely resembles the kind is not taken for it."""
    assert not kind.fits(value)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kinds.FLAG, "True", True),
        (kinds.FLAG, "1", True),
        (kinds.FLAG, " yes ", True),
        (kinds.FLAG, "on", True),
        (kinds.FLAG, "false", False),
        (kinds.FLAG, "0", False),
        (kinds.FLAG, "NO", False),
        (kinds.FLAG, "off", False),
        (kinds.WHOLE, " 5", 5),
        (kinds.NUMBER, "0.1", 0.1),
        (kinds.TEXT, "a b", "a b"),
        (kinds.TEXTS, "a, b,", ("a", "b")),
        (kinds.STATUSES, "429,503", (429, 503)),
        (kinds.JITTER, "none", Jitter.NONE),
        (kinds.TIMEOUT, "3", 3.0),
        (kinds.TIMEOUT, "3,27", (3.0, 27.0)),
        (kinds.ADOPT, "on", True),
        (kinds.ADOPT, "retries, authorization", ("retries", "authorization")),
    ],
)
def test_a_variable_says_the_same_in_text(kind: kinds.Kind, text: str, value: object) -> None:
    """The text of a variable becomes the value that the field takes."""
    read = kind.read(text)
    assert kind.fits(read)
    assert kind.made(read) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (kinds.FLAG, "maybe"),
        (kinds.WHOLE, "5.0"),
        (kinds.NUMBER, "soon"),
        (kinds.STATUSES, "429,x"),
        (kinds.TIMEOUT, "1,"),
    ],
)
def test_text_of_another_kind_is_a_value_error(kind: kinds.Kind, text: str) -> None:
    """What cannot be read as the kind says so in one way."""
    with pytest.raises(ValueError, match=r".*") as raised:
        kind.read(text)
    assert type(raised.value) is ValueError


def test_what_it_must_be_is_said_of_text_where_that_differs() -> None:
    """An array is written with commas in a variable, a flag as in a document."""
    assert kinds.TEXTS.says_of_text == "words with commas between them"
    assert kinds.FLAG.says_of_text == kinds.FLAG.says


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("max_atempts", "is unknown; did you mean max_attempts?"),
        ("initial", "is unknown; did you mean retry.backoff.initial?"),
        ("xyz", "is unknown"),
    ],
)
def test_the_nearest_name_is_told(name: str, told: str) -> None:
    """A slip of the pen is found beside, a name in a wrong table elsewhere."""
    assert unknown(name, ["max_attempts", "deadline"], ["retry.backoff.initial"]) == told


@given(st.text())
def test_a_name_is_shown_on_one_line(name: str) -> None:
    """Whatever a key is, a message stays one line, and not a long one."""
    assert shown(name).splitlines() in ([shown(name)], [])
    assert len(shown(name)) <= 1000


def test_a_plain_name_is_shown_as_it_is() -> None:
    """Quotes are for odd names."""
    assert shown("max-attempts") == "max-attempts"
    assert shown("a b") == "'a b'"


@given(st.sampled_from(sorted(BY_ANNOTATION)), st.text() | st.from_regex(r"[-\d.,eE]+"))
def test_any_text_is_read_or_refused(annotation: str, text: str) -> None:
    """No text of a variable is more than a ValueError."""
    kind = BY_ANNOTATION[annotation]
    try:
        read: Any = kind.read(text)
    except ValueError:
        return
    assert kind.fits(read) in (True, False)
