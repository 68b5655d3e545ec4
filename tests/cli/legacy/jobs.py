"""What the application does all day."""

from concurrent.futures import ThreadPoolExecutor

import requests
from client import Api, session
from config import API_KEY, BASE_URL


def names() -> list[str]:
    """Many at a time, through one session."""
    api = Api()
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: api.get("/anything/%d" % n), range(8)))  # noqa: UP031 (of its time)
    return [answer.json()["url"].rpartition("/")[2] for answer in answers]


def status() -> int:
    """A quick look, as somebody wrote it in a hurry."""
    headers = {"Authorization": "Bearer " + API_KEY}
    response = requests.get(BASE_URL + "/bearer", headers=headers, timeout=30)
    return response.status_code


def stored() -> str:
    """An upload that may not be made twice for nothing."""
    response = session.post(BASE_URL + "/post", json={"name": "Ada"})
    if response.status_code != requests.codes.ok:
        raise RuntimeError("the upload failed with %d" % response.status_code)  # noqa: UP031 (of its time)
    return str(response.json()["json"]["name"])
