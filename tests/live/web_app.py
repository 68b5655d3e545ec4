"""A web application with many users in a process of its own: a view calls an API as its user."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flask
import requests
from requests.adapters import HTTPAdapter

from requests_authretry import FileStore, PerIdentity, RetryPolicy, Settings, acting_as, mount
from requests_authretry.cli.demo_server import serve
from requests_authretry.oauth2 import Client, RefreshToken
from requests_authretry.redis import RedisStore
from tests.live.callers import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from requests_authretry import Store

THREADS = 16
"""The visits that an application serves at a time."""


@dataclass(frozen=True)
class Orders:
    """What an application is told.

    Attributes:
        api: The base URL of the API and of the token endpoint.
        store: The path of a file, or the URL of a Redis.
        most: How many identities it keeps in memory.
    """

    api: str
    store: str
    most: int


def first_refresh_token(user: str) -> str:
    """The refresh token that a user's sign-in has brought."""
    return f"first-{user}"


def application(orders: Orders) -> flask.Flask:
    """The application: ``/sign-in`` for a user, and ``/orders`` for their orders."""
    is_redis = "://" in orders.store
    store: Store = RedisStore(orders.store) if is_redis else FileStore(orders.store)
    client = Client("app", token_url=f"{orders.api}/token")

    def make_source(identity: str) -> RefreshToken:
        return RefreshToken(client, first_refresh_token(identity))

    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
    token = PerIdentity(make_source, max_identities=orders.most)
    retry = RetryPolicy(deadline=PATIENCE)
    mount(session, Settings(token=token, origins=[orders.api], store=store, retry=retry))

    app = flask.Flask(__name__)
    app.secret_key = "of this test"

    @app.post("/sign-in")
    def sign_in() -> str:
        flask.session["user"] = flask.request.get_json()["user"]
        return ""

    @app.before_request
    def begin() -> None:
        flask.g.blocks = ExitStack()
        if "user" in flask.session:
            flask.g.blocks.enter_context(acting_as(flask.session["user"]))

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        if "blocks" in flask.g:
            flask.g.blocks.close()

    @app.get("/orders")
    def view() -> Any:
        answer = session.get(f"{orders.api}/orders")
        return answer.json(), answer.status_code

    return app


@contextmanager
def started(orders: Orders) -> Iterator[str]:
    """Run an application in a process of its own, and give its base URL."""
    command = [sys.executable, "-m", __name__, json.dumps(asdict(orders))]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(  # noqa: S603 (ourselves)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.communicate(timeout=PATIENCE)  # its input ends


if __name__ == "__main__":
    with serve(application(Orders(**json.loads(sys.argv[1])))) as url:
        print(url, flush=True)  # noqa: T201 (for the process that started this one)
        sys.stdin.read()
