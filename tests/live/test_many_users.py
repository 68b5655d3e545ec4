"""Many users of a web application in two processes, with one store."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
import requests

from requests_authretry.cli.demo_server import serve
from tests.live.web_app import THREADS, Orders, first_refresh_token, started

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from tests.servers.redis import RedisServer

USERS = [
    *(f"user{number}@example.com" for number in range(90)),
    *("a/b", "a%2Fb", "..", "../a", "a b", "\u00e9", "e\u0301", "\u540d\u524d", "A", "a" * 500),
]
EXPIRIES, PROCESSES, VISITS = 3, 2, 3
"""Expiries, applications, and visits of each user in each application after an expiry."""


class Api:
    """An API with its token endpoint, which takes each refresh token once.

    Attributes:
        issued: For each user the number of access tokens.
        lost: The users whose refresh token came a second time: their sign-in is over.
    """

    def __init__(self) -> None:
        self.issued: Counter[str] = Counter()
        self.lost: list[str] = []
        self._refresh = {first_refresh_token(user): user for user in USERS}
        self._spent: set[str] = set()
        self._good: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        with self._lock:
            status, fields = self._answer(environ)
        body = json.dumps(fields).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        if status.startswith("401"):
            headers.append(("WWW-Authenticate", 'Bearer error="invalid_token"'))
        start_response(status, headers)
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> tuple[str, dict[str, str]]:
        if environ["PATH_INFO"] == "/token":
            return self._renew(environ)
        token = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
        user = self._good.get(token)
        return ("401 Unauthorized", {}) if user is None else ("200 OK", {"user": user})

    def _renew(self, environ: WSGIEnvironment) -> tuple[str, dict[str, str]]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        [sent] = parse_qs(body.decode())["refresh_token"]
        user = self._refresh[sent]
        if sent in self._spent:
            self.lost.append(user)
            return "400 Bad Request", {"error": "invalid_grant"}
        self._spent.add(sent)
        self.issued[user] += 1
        number = f"{USERS.index(user)}-{self.issued[user]}"
        self._good[f"access-{number}"] = self._refresh[f"refresh-{number}"] = user
        return "200 OK", {
            "access_token": f"access-{number}",
            "refresh_token": f"refresh-{number}",
            "token_type": "Bearer",
        }

    def expire(self) -> None:
        """Let all access tokens expire, whatever a clock says."""
        with self._lock:
            self._good.clear()


def signed_in(application: str) -> dict[str, dict[str, Any]]:
    """The cookies of each user after their sign-in at an application."""
    answers = {
        user: requests.post(f"{application}/sign-in", json={"user": user}, timeout=300)
        for user in USERS
    }
    return {user: answer.cookies.get_dict() for user, answer in answers.items()}


def visit(visited: tuple[str, str, dict[str, Any]]) -> tuple[str, object]:
    """Let a user look at their orders; return the user, and whose orders they see."""
    application, user, cookies = visited
    answer = requests.get(f"{application}/orders", cookies=cookies, timeout=300)
    return user, answer.json().get("user") if answer.ok else answer.status_code


@pytest.fixture(params=["file", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the applications keep the tokens: the path of a file, or the URL of a Redis."""
    if request.param == "file":
        return str(tmp_path / "tokens.json")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest.mark.slow
def test_each_user_sees_their_own_with_one_token_request_per_expiry(store: str) -> None:
    """A hundred users, two processes with 16 threads each: no sign-in is lost.

    Each process has room for 30 users in memory, so that most are dropped and come back.
    """
    api = Api()
    with ExitStack() as stack:
        orders = Orders(stack.enter_context(serve(api)), store, most=30)
        applications = [stack.enter_context(started(orders)) for _ in range(PROCESSES)]
        cookies = {each: signed_in(each) for each in applications}
        pool = stack.enter_context(ThreadPoolExecutor(THREADS * PROCESSES))
        for number in range(1, EXPIRIES + 1):
            visits = [
                (application, user, cookies[application][user])
                for application in applications
                for user in USERS * VISITS
            ]
            random.shuffle(visits)
            seen = list(pool.map(visit, visits))
            assert [pair for pair in seen if pair[0] != pair[1]] == []
            assert api.issued == dict.fromkeys(USERS, number)
            api.expire()
    assert api.lost == []
