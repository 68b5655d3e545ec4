"""Targets: which URLs are one endpoint."""

from __future__ import annotations

import pytest

from requests_authretry._core.target import path_pattern

PATTERNS = {
    "https://[not-an-address": "",
    "https://api.test": "",
    "https://api.test/": "/",
    "https://api.test/users/42/posts": "/users/*/posts",
    "https://api.test/users/a1b2-c3/posts/": "/users/*/posts/",
    "https://api.test/v1/users": "/*/users",
    "https://api.test/users?page=2#3": "/users",
    "https://api.test:8080/a/b/c/d/e": "/a/b/c/d/e",
    "https://api.test/a/b/c/d/e/f/g": "/a/b/c/d/e",
}


@pytest.mark.parametrize(("url", "expected"), PATTERNS.items())
def test_parts_with_a_digit_are_identifiers(url: str, expected: str) -> None:
    """A part of a path with a digit counts as an identifier, and only five parts count."""
    assert path_pattern(url) == expected
