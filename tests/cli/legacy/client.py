"""Sessions, each made as its author liked it."""

from typing import Any

import requests
from config import API_KEY, BASE_URL
from requests.adapters import BaseAdapter, HTTPAdapter

session = requests.Session()
session.headers["Authorization"] = "Bearer " + API_KEY


class Api(requests.Session):
    """Knows the base URL, and has an adapter that stands in no mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.headers.update({"Authorization": "Bearer " + API_KEY})
        self.pool = HTTPAdapter(pool_maxsize=20)

    def get_adapter(self, url: str) -> BaseAdapter:  # noqa: ARG002 (one for all)
        """One for all."""
        return self.pool

    def request(self, method: str, url: Any, *args: Any, **options: Any) -> requests.Response:
        """Relative to the base URL; what is no success is an exception."""
        response = super().request(method, BASE_URL + str(url), *args, **options)
        response.raise_for_status()
        return response
