"""Targets: which URLs are one endpoint."""

from __future__ import annotations

import pytest

from requests_authretry._core.target import Target, origin_name, path_pattern

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
    "https://api.test/users/abcdefghijklmnopqrstu": "/users/*",
    "https://api.test/users/abcdefghijklmnopqrst": "/users/abcdefghijklmnopqrst",
}


@pytest.mark.parametrize(("url", "expected"), PATTERNS.items())
def test_parts_with_a_digit_or_many_characters_are_identifiers(url: str, expected: str) -> None:
    """A part of a path with a digit, or 21 characters, is an identifier; only five parts count."""
    assert path_pattern(url) == expected


NAMES = {
    "HTTPS://API.test:443/a?b#c": "https://api.test",
    "https://api.test:8443/": "https://api.test:8443",
    "http://[::1]:8080/a": "http://[::1]:8080",
    "http+unix://%2Fvar%2Frun%2Fa.sock/info": "http+unix://%2fvar%2frun%2fa.sock",
    "http+unix://%2Fvar%2Frun%2Fb.sock/info": "http+unix://%2fvar%2frun%2fb.sock",
    "http://[fe80::1%25eth0]:80/a": "http://[fe80::1%25eth0]:80",
    "http://[fe80::1%25eth1]:80/a": "http://[fe80::1%25eth1]:80",
    "https://user:opensesame@api.test/a": "https://api.test",
    "http+unix://user:opensesame@%2Fa/info": "http+unix://%2fa",
    "mock://service": "mock://service",
    f"{'x' * 2000}://service": "x" * 1000,
    "no url": "",
}


@pytest.mark.parametrize(("url", "expected"), NAMES.items())
def test_each_socket_and_zone_is_an_origin_of_its_own(url: str, expected: str) -> None:
    """What is no origin for a token is named by the beginning of its URL, without the user."""
    assert origin_name(url) == expected


def test_an_outage_concerns_an_endpoint_whatever_the_method() -> None:
    """GET /users/42 and POST /users/17 fail at one endpoint."""
    path = path_pattern("https://api.test/users/42")
    target = Target("https://api.test", "abc", "POST", path)
    assert target.endpoint == ("https://api.test", "/users/*")


def test_a_thousand_characters_name_an_origin() -> None:
    """Of a longer host its first characters count."""
    assert origin_name(f"mock://{'a' * 2000}/") == f"mock://{'a' * 993}"


def test_a_long_user_does_not_cut_the_host() -> None:
    """Cut at 1000 characters this one would be ``api.test``, which is another host."""
    start = "https://"
    user = "u" * (1000 - len(f"{start}@api.test"))
    assert origin_name(f"{start}{user}@api.test.evil.test/") == "https://api.test.evil.test"
