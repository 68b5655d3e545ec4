"""Paths into a JSON document."""

from __future__ import annotations

from typing import Any

import pytest

from requests_authretry._core.json_path import parse_path, values_at

DOCUMENT: dict[str, Any] = {
    "error": {"code": 7, ".tag": "too_many", "errors": [{"reason": "a"}, {"reason": "b"}, 3]},
    "a]b": 5,
    "none": None,
    "list": [[1, 2], [3]],
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("error.code", [7]),
        ('error[".tag"]', ["too_many"]),
        ("error.errors[].reason", ["a", "b"]),
        ("error.errors[1].reason", ["b"]),
        ("error.errors[9].reason", []),
        ("list[][]", [1, 2, 3]),
        ("list[0][1]", [2]),
        ('["a]b"]', [5]),
        ("none", []),
        ("none.more", []),
        ("error[]", []),
        ("list.length", []),
        ("[0]", []),
    ],
)
def test_a_path_leads_to_values(path: str, values: list[Any]) -> None:
    """``errors[].reason`` gives the reason of each error; null, and what is not there, nothing."""
    steps = parse_path(path)
    assert steps is not None
    assert list(values_at(DOCUMENT, steps)) == values


def test_a_path_may_begin_with_an_element() -> None:
    """Salesforce sends a list: ``[0].errorCode``."""
    steps = parse_path("[0].errorCode")
    assert steps is not None
    assert list(values_at([{"errorCode": "X"}], steps)) == ["X"]


@pytest.mark.parametrize(
    "text",
    ["", ".", "a.", ".a", "a..b", "a[", "a[]b", "[-1]", "a[99999]", 'a["]', "a b", "a[*]", '[""]'],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    """A path is names with dots between them, and brackets."""
    assert parse_path(text) is None


def test_each_part_of_a_document_is_visited_once() -> None:
    """A path with many ``[]`` costs no more than the document is long."""
    visits = 0

    class Counting(list[Any]):
        def __iter__(self) -> Any:
            nonlocal visits
            visits += len(self)
            return super().__iter__()

    document = Counting([Counting([Counting([1] * 10)] * 10)] * 10)
    steps = parse_path("[][][]")
    assert steps is not None
    assert len(list(values_at(document, steps))) == 1000
    assert visits == 10 + 100 + 1000
