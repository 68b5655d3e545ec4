"""betamax, responses, requests-mock and vcrpy: what stands in for the network in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import betamax
import pytest
import requests
import requests_mock
import responses
import vcr

from requests_authretry import attempts

if TYPE_CHECKING:
    from pathlib import Path

    from requests_authretry.cli.demo_server import DemoServer
    from tests.neighbours.conftest import Way

URL = "https://api.example.com/things"


def test_responses(way: Way) -> None:
    """It answers below the loop, whichever of them came first."""
    with requests.Session() as session, responses.RequestsMock() as mock:
        way(session)
        for status in (503, 503, 200):
            mock.add("GET", URL, status=status)
        answer = session.get(URL)
        assert (answer.status_code, len(mock.calls), len(attempts(answer))) == (200, 3, 3)


def test_responses_that_comes_later(way: Way) -> None:
    """A mock that begins inside goes when it ends, and takes nothing with it."""
    with requests.Session() as session:
        way(session)
        with responses.RequestsMock() as mock:
            for status in (503, 200):
                mock.add("GET", URL, status=status)
            assert session.get(URL).status_code == 200
        with pytest.raises(requests.ConnectionError):
            session.get("http://127.0.0.1:9/")


def test_requests_mock_as_an_adapter(way: Way) -> None:
    """Its adapter is one like any other."""
    adapter = requests_mock.Adapter()
    adapter.register_uri("GET", URL, [{"status_code": 503}, {"status_code": 200}])
    with requests.Session() as session:
        session.mount("https://", adapter)
        way(session)
        assert session.get(URL).status_code == 200
    assert adapter.call_count == 2


def test_requests_mock_passes_adapters_by(way: Way) -> None:
    """Its `Mocker` sends past all adapters: there is one attempt, and nothing is broken."""
    with requests.Session() as session:
        way(session)
        with requests_mock.Mocker() as mock:
            mock.get(URL, status_code=503)
            assert session.get(URL).status_code == 503
            assert mock.call_count == 1
        with pytest.raises(requests.ConnectionError) as failure:
            session.get("http://127.0.0.1:9/")
        assert len(attempts(failure.value)) == 4  # as ever again


def test_betamax(way: Way, demo_server: DemoServer, httpbin_url: str, tmp_path: Path) -> None:
    """Begun before ours is added, each attempt is on its tape, and is played again."""
    url = f"{httpbin_url}/get"
    demo_server.answer(503)
    demo_server.answer(503)
    for record in ("once", "none"):
        with requests.Session() as session:
            recorder = betamax.Betamax(session, cassette_library_dir=str(tmp_path))
            tape = recorder.use_cassette("a", record=record, preserve_exact_body_bytes=True)
            with tape:
                way(session)
                answer = session.get(url, headers={"Accept-Encoding": "identity"})
                assert (answer.status_code, len(attempts(answer))) == (200, 3)
    assert [request.status for request in demo_server.seen] == [503, 503, 200]


def test_vcrpy(way: Way, demo_server: DemoServer, httpbin_url: str, tmp_path: Path) -> None:
    """It records below urllib3: each attempt is on its tape."""
    demo_server.answer(503)
    tape = vcr.VCR(cassette_library_dir=str(tmp_path))
    for mode in ("once", "none"):
        with (
            requests.Session() as session,
            tape.use_cassette("tape.yaml", record_mode=mode) as cassette,
        ):
            way(session)
            assert session.get(f"{httpbin_url}/get").status_code == 200
            assert len(cassette) == 2
    assert [request.status for request in demo_server.seen] == [503, 200]
