"""Wrong uses that a type checker finds: mypy reports each line that ends in ``# wrong``, no other.

Nothing imports or runs this file.
"""

from __future__ import annotations

import requests
from urllib3.util import Retry

from requests_authretry import (
    AuthRetryAdapter,
    Backoff,
    FileStore,
    GaveUp,
    MemoryStore,
    PerIdentity,
    Rate,
    RateLimits,
    RetryPolicy,
    RetryQuota,
    Settings,
    Token,
    Waiting,
    acting_as,
    install,
    mount,
    override,
)
from requests_authretry.oauth2 import Client, ClientCredentials
from requests_authretry.testing import FakeClock, ScriptedAdapter

ORIGINS = ["https://api.example.com"]
session = requests.Session()
client = Client("my-app", issuer="https://login.example.com")


async def fetch_later() -> str:
    """Return a token, later."""
    return "t"


def listen(event: Waiting) -> None:
    """Take one kind of event alone."""


override(timeout=3)
override(timout=3)  # wrong
override(timeout="3")  # wrong
override(retry=3)  # wrong
override(sites=[])  # wrong
override(priority="high")  # wrong
override(RetryPolicy())  # wrong
Settings(timout=3)  # wrong
Settings(retry=Retry(3))  # wrong
Settings(token=7, origins=ORIGINS)  # wrong
Settings(token=fetch_later, origins=ORIGINS)  # wrong
Settings(token=PerIdentity(fetch_later), origins=ORIGINS)  # wrong
Settings(store="tokens.json")  # wrong
acting_as(7)  # wrong
Settings(store=MemoryStore)  # wrong
Settings(listeners=print)  # wrong
Settings(listeners=[listen])  # wrong
Settings(clock=FakeClock)  # wrong
Settings(limits=Rate(10, per=1.0))  # wrong
Settings("token")  # wrong
RetryPolicy(max_attempt=3)  # wrong
RetryPolicy(3)  # wrong
RetryPolicy(statuses=503)  # wrong
RetryPolicy(backoff=0.5)  # wrong
RetryPolicy(deadline=None)  # wrong
Backoff(jitter="full")  # wrong
RetryQuota(capacity="500")  # wrong
RateLimits(rates=Rate(10, per=1.0))  # wrong
RateLimits(rates=[10])  # wrong
RateLimits(identity="user")  # wrong
Rate(10)  # wrong
Rate("10", per=1.0)  # wrong
Token("t", expires_in=3600)  # wrong
FileStore()  # wrong
FileStore(7)  # wrong
mount(Settings())  # wrong
mount(session, RetryPolicy())  # wrong
mount(session, token="t")  # wrong
mount(session, Settings(), 3)  # wrong
mount(session).mount()  # wrong
install(session)  # wrong
AuthRetryAdapter(3)  # wrong
ClientCredentials("my-app")  # wrong
ClientCredentials(client, scope=["read"])  # wrong
Client("my-app", client_secret="secret")  # wrong
ScriptedAdapter([503, 200])  # wrong
print(GaveUp.attempt)  # wrong
Settings().timeout = 3  # wrong
RetryPolicy().max_attempts = 3  # wrong
