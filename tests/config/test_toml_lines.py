"""The lines of settings in a TOML file."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from requests_authretry._config.toml_lines import line_of, lines_of

DOCUMENT = '''\
# timeout = 1
timeout = 2
"quoted" = 3

[retry] # [limits]
max_attempts = 3
statuses = [
    429, # deadline = 1
    503,
]
backoff.initial = 1
backoff . "max_delay" = 2
note = """
deadline = 5
\\""" deadline = 5 """
other = \'\'\'
[quota]\'\'\'
deadline = 9

[[site]]
origins = ["a]", 'b[']
retry = { deadline = 7 }
[site.token]
command = ["x"]
[ [site] ] # no header at all, and skipped
[[ site ]]
origins = []
  [ site . "token" ]
  grant = "x"
nested = [
    ["quota"],
]
last = 1
'''

LINES = {
    ("timeout",): 2,
    ("quoted",): 3,
    ("retry",): 5,
    ("retry", "max_attempts"): 6,
    ("retry", "statuses"): 7,
    ("retry", "backoff", "initial"): 11,
    ("retry", "backoff", "max_delay"): 12,
    ("retry", "note"): 13,
    ("retry", "other"): 16,
    ("retry", "deadline"): 18,
    ("site",): 20,
    ("site", 0): 20,
    ("site", 0, "origins"): 21,
    ("site", 0, "retry"): 22,
    ("site", 0, "token"): 23,
    ("site", 0, "token", "command"): 24,
    ("site", 1): 26,
    ("site", 1, "origins"): 27,
    ("site", 1, "token"): 28,
    ("site", 1, "token", "grant"): 29,
    ("site", 1, "token", "nested"): 30,
    ("site", 1, "token", "last"): 33,
}


def test_each_key_and_table_has_its_line() -> None:
    """Strings, comments and arrays over several lines hide what looks like a key in them."""
    assert lines_of(DOCUMENT) == LINES


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("site", 0, "retry", "deadline"), 22),
        (("site", 1, "token", "nothing"), 28),
        (("retry",), 5),
        (("nothing",), None),
        ((), None),
    ],
)
def test_what_has_no_line_has_that_of_what_it_stands_in(path: Any, line: int | None) -> None:
    """A key of an inline table is on the table's line; what is nowhere has no line."""
    assert line_of(LINES, path) == line


def test_line_breaks_may_be_those_of_windows() -> None:
    """A carriage return ends no line, and is part of none."""
    assert lines_of("a = 1\r\n\r\n[b]\r\nc = '\r'\r\nd = 2\r\n") == {
        ("a",): 1,
        ("b",): 3,
        ("b", "c"): 4,
        ("b", "d"): 5,
    }


def test_an_array_within_an_array_counts_for_itself() -> None:
    """Each table of an array has its own count of what is within."""
    text = "[[a]]\n[[a.b]]\n[[a.b]]\nc = 1\n[[a]]\n[[a.b]]\n"
    lines = lines_of(text)
    assert lines["a", 0, "b", 1, "c"] == 4
    assert lines["a", 1, "b", 0] == 6


@given(st.text(alphabet="ab=.[]{}\"'#\\\n ,1", max_size=60))
def test_any_text_has_lines_that_it_has(text: str) -> None:
    """Text that is no TOML is read too; no line is beyond its end."""
    assert all(1 <= line <= text.count("\n") + 1 for line in lines_of(text).values())
