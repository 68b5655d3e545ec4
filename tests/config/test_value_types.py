"""What settings from outside may be."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry import ConfigurationError, Jitter, Settings
from requests_authretry._config import value_types
from requests_authretry._config.value_types import BY_ANNOTATION, shown, unknown

GOOD = [
    (value_types.FLAG, True),
    (value_types.WHOLE, 3),
    (value_types.NUMBER, 3),
    (value_types.NUMBER, 0.5),
    (value_types.TEXT, "a"),
    (value_types.TEXTS, ["a", "b"]),
    (value_types.TEXTS, []),
    (value_types.STATUSES, [429]),
    (value_types.JITTER, "equal"),
    (value_types.TIMEOUT, 3),
    (value_types.TIMEOUT, [3.05, 27]),
    (value_types.WORDS_BY_NAME, {"a": "b"}),
    (value_types.RATES, [{}]),
    (value_types.ADOPT, False),
    (value_types.ADOPT, ["retries"]),
]
BAD = [
    (value_types.FLAG, 1),
    (value_types.FLAG, "true"),
    (value_types.WHOLE, True),
    (value_types.WHOLE, 3.0),
    (value_types.NUMBER, True),
    (value_types.NUMBER, math.nan),
    (value_types.NUMBER, "3"),
    (value_types.TEXT, ""),
    (value_types.TEXT, 3),
    (value_types.TEXTS, "a"),
    (value_types.TEXTS, [1]),
    (value_types.STATUSES, [True]),
    (value_types.STATUSES, 429),
    (value_types.JITTER, "half"),
    (value_types.JITTER, ["full"]),
    (value_types.TIMEOUT, [1]),
    (value_types.TIMEOUT, [1, "2"]),
    (value_types.TIMEOUT, "1"),
    (value_types.WORDS_BY_NAME, {"a": 1}),
    (value_types.WORDS_BY_NAME, ["a"]),
    (value_types.RATES, {}),
    (value_types.RATES, [1]),
    (value_types.ADOPT, "retries"),
    (value_types.ADOPT, 1),
]


@pytest.mark.parametrize(("kind", "value"), GOOD)
def test_a_value_of_the_kind_fits(kind: value_types.Kind, value: object) -> None:
    """What a document may hold for the kind is taken."""
    assert kind.fits(value)


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_a_value_of_another_kind_does_not_fit(kind: value_types.Kind, value: object) -> None:
    """A value that merely resembles the kind is not taken for it."""
    assert not kind.fits(value)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (value_types.FLAG, "True", True),
        (value_types.FLAG, "1", True),
        (value_types.FLAG, " yes ", True),
        (value_types.FLAG, "on", True),
        (value_types.FLAG, "false", False),
        (value_types.FLAG, "0", False),
        (value_types.FLAG, "NO", False),
        (value_types.FLAG, "off", False),
        (value_types.WHOLE, " 5", 5),
        (value_types.NUMBER, "0.1", 0.1),
        (value_types.TEXT, "a b", "a b"),
        (value_types.TEXTS, "a, b,", ("a", "b")),
        (value_types.STATUSES, "429,503", (429, 503)),
        (value_types.JITTER, "none", Jitter.NONE),
        (value_types.TIMEOUT, "3", 3.0),
        (value_types.TIMEOUT, "3,27", (3.0, 27.0)),
        (value_types.ADOPT, "on", True),
        (value_types.ADOPT, "retries, authorization", ("retries", "authorization")),
    ],
)
def test_a_variable_says_the_same_in_text(kind: value_types.Kind, text: str, value: object) -> None:
    """The text of a variable becomes the value that the field takes."""
    read = kind.read(text)
    assert kind.fits(read)
    assert kind.made(read) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (value_types.FLAG, "maybe"),
        (value_types.WHOLE, "5.0"),
        (value_types.NUMBER, "soon"),
        (value_types.STATUSES, "429,x"),
        (value_types.TIMEOUT, "1,"),
    ],
)
def test_text_of_another_kind_is_a_value_error(kind: value_types.Kind, text: str) -> None:
    """What cannot be read as the kind says so in one way."""
    with pytest.raises(ValueError, match=r".*") as raised:
        kind.read(text)
    assert type(raised.value) is ValueError


def test_what_it_must_be_is_said_of_text_where_that_differs() -> None:
    """Numbers are written with commas in a variable, a flag as in a document."""
    variables = {
        "REQUESTS_AUTHRETRY_RETRY_STATUSES": "x",
        "REQUESTS_AUTHRETRY_ALLOW_HTTP": "maybe",
    }
    numbers = "whole numbers with commas between them"
    with pytest.raises(ConfigurationError) as raised:
        Settings.from_env(variables)
    assert raised.value.faults == (
        "REQUESTS_AUTHRETRY_ALLOW_HTTP: allow_http must be true or false",
        f"REQUESTS_AUTHRETRY_RETRY_STATUSES: retry.statuses must be {numbers}",
    )


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
