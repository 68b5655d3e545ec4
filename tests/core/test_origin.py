"""Origins: where a token may go, on hostile URLs; and URLs fit for logs."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from requests import PreparedRequest, RequestException
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from requests_authretry._core.bounds import WORDS
from requests_authretry._core.origin import Origin, parse_origin, redacted

API = Origin("https", "api.example.com", 443)

OURS = {
    "plain": "https://api.example.com",
    "path": "https://api.example.com/v1/things?x=1#top",
    "default port": "https://api.example.com:443/",
    "empty port": "https://api.example.com:/",
    "padded port": "https://api.example.com:0443/",
    "upper case": "HTTPS://API.Example.COM/",
    "query at once": "https://api.example.com?x=1",
    "fragment at once": "https://api.example.com#top",
    "user": "https://user@api.example.com/",
    "user and password": "https://user:pw@api.example.com/",
    "look-alike user": "https://evil.test@api.example.com/",
    "look-alike user with a port": "https://evil.test:443@api.example.com/",
    "two at signs": "https://evil.test@evil.test@api.example.com/",
    "at sign in the path": "https://api.example.com/@evil.test",
    "at sign in the query": "https://api.example.com?@evil.test",
    "at sign in the fragment": "https://api.example.com#@evil.test",
    "backslash in the path": "https://api.example.com/\\@evil.test",
}

ELSEWHERE = {
    "longer host": ("https://api.example.com.evil.test/", "https://api.example.com.evil.test"),
    "host as user": ("https://api.example.com@evil.test/", "https://evil.test"),
    "host as user and password": ("https://api.example.com:443@evil.test/", "https://evil.test"),
    "host in the path": ("https://evil.test/api.example.com", "https://evil.test"),
    "host in the query": ("https://evil.test?api.example.com", "https://evil.test"),
    "host in the fragment": ("https://evil.test#@api.example.com/", "https://evil.test"),
    "semicolon": ("https://api.example.com;@evil.test/", "https://evil.test"),
    "joined": ("https://api.example.comevil.test/", "https://api.example.comevil.test"),
    "sub domain": ("https://x.api.example.com/", "https://x.api.example.com"),
    "parent domain": ("https://example.com/", "https://example.com"),
    "dash for a dot": ("https://api-example.com/", "https://api-example.com"),
    "look-alike letter": ("https://xn--pi-6kc.example.com/", "https://xn--pi-6kc.example.com"),
    "trailing dot": ("https://api.example.com./", "https://api.example.com."),
    "http": ("http://api.example.com/", "http://api.example.com"),
    "http on the https port": ("http://api.example.com:443/", "http://api.example.com:443"),
    "other port": ("https://api.example.com:8443/", "https://api.example.com:8443"),
    "port with our digits": ("https://api.example.com:4430/", "https://api.example.com:4430"),
    "https on the http port": ("https://api.example.com:80/", "https://api.example.com:80"),
    "last port": ("https://api.example.com:65535/", "https://api.example.com:65535"),
    "first port": ("https://api.example.com:1/", "https://api.example.com:1"),
    "underscore": ("https://api_example.com/", "https://api_example.com"),
    "one letter": ("http://h/", "http://h"),
    "IPv4": ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
    "IPv6": ("https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443"),
    "IPv6 with our host as user": ("https://api.example.com@[::1]/", "https://[::1]"),
    "IPv4 in IPv6": ("https://[::ffff:127.0.0.1]/", "https://[::ffff:127.0.0.1]"),
}

NOWHERE = {
    "empty": "",
    "no scheme": "api.example.com",
    "only slashes": "//api.example.com/",
    "no slashes": "https:api.example.com",
    "one slash": "https:/api.example.com",
    "three slashes": "https:///api.example.com",
    "backslashes": "https:\\\\api.example.com",
    "no host": "https://",
    "only a port": "https://:443/",
    "only a user": "https://user@/",
    "other scheme": "ftp://api.example.com/",
    "look-alike scheme": "httpss://api.example.com/",
    "file": "file:///etc/passwd",
    "backslash for a slash": "https://api.example.com\\.evil.test/",
    "backslash before the at sign": "https://evil.test\\@api.example.com/",
    "backslash after our host": "https://api.example.com\\@evil.test/",
    "escaped dot": "https://api.example.com%2eevil.test/",
    "escaped slash": "https://api.example.com%2f.evil.test/",
    "escaped at sign": "https://api.example.com%40evil.test/",
    "escaped NUL": "https://api.example.com%00.evil.test/",
    "ideographic full stop": "https://api.example.com\u3002evil.test/",
    "fullwidth full stop": "https://api.example.com\uff0eevil.test/",
    "one dot leader": "https://api.example.com\u2024evil.test/",
    "fullwidth slash": "https://api.example.com\uff0f.evil.test/",
    "account of": "https://api.example.com\u2100.evil.test/",
    "cyrillic letter": "https://\u0430pi.example.com/",
    "sharp s": "https://api.exaß.com/",
    "zero width joiner": "https://api.example\u200d.com/",
    "not ASCII in the user": "https://\u3002@api.example.com/",
    "blank in front": " https://api.example.com/",
    "NUL in front": "\x00https://api.example.com/",
    "blank after the host": "https://api.example.com /",
    "blank in the user": "https://evil.test @api.example.com/",
    "tab in the host": "https://api.example.com\t.evil.test/",
    "line break in the host": "https://api.example.com\r\n.evil.test/",
    "tab in the scheme": "ht\ttps://api.example.com/",
    "NUL after the host": "https://api.example.com\x00.evil.test/",
    "DEL in the host": "https://api.example.com\x7f/",
    "letters as port": "https://api.example.com:https/",
    "negative port": "https://api.example.com:-443/",
    "signed port": "https://api.example.com:+443/",
    "port with a blank": "https://api.example.com: 443/",
    "port with an underscore": "https://api.example.com:4_43/",
    "port of arabic digits": "https://api.example.com:\u0664\u0664\u0663/",
    "port too high": "https://api.example.com:65536/",
    "port zero": "https://api.example.com:0/",
    "two ports": "https://api.example.com:443:80/",
    "dot in front": "https://.api.example.com/",
    "dash in front": "https://-api.example.com/",
    "dash at the end": "https://api.example.com-/",
    "only a dot": "https://./",
    "wildcard": "https://*.example.com/",
    "comma": "https://api.example.com,evil.test/",
    "semicolon": "https://api.example.com;evil.test/",
    "dollar": "https://api.example.com$.evil.test/",
    "braces": "https://{host}/",
    "IPv6 without brackets": "https://::1/",
    "bracket open": "https://[::1/",
    "bracket closed": "https://::1]/",
    "name in brackets": "https://[api.example.com]/",
    "future IP": "https://[v1.api]/",
    "name after brackets": "https://[::1].evil.test/",
    "name before brackets": "https://evil.test[::1]/",
    "port after brackets without a colon": "https://[::1]443/",
    "zone": "https://[fe80::1%25eth0]/",
    "brackets twice": "https://[::1][::1]/",
}


@pytest.mark.parametrize("url", OURS.values(), ids=OURS)
def test_ours(url: str) -> None:
    """Case, default port, user, path, query and fragment do not change the origin."""
    assert Origin.of(url) == API


@pytest.mark.parametrize(("url", "origin"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_elsewhere(url: str, origin: str) -> None:
    """A URL that only looks like ours has another origin: the one that it names."""
    assert str(Origin.of(url)) == origin
    assert Origin.of(url) != API


@pytest.mark.parametrize("url", NOWHERE.values(), ids=NOWHERE)
def test_nowhere(url: str) -> None:
    """A URL without a host, or that can be read in two ways, has no origin."""
    assert Origin.of(url) is None


@pytest.mark.parametrize(
    "url", [*OURS.values(), *NOWHERE.values(), *(url for url, _ in ELSEWHERE.values())]
)
def test_what_requests_makes_of_it(url: str) -> None:
    """The origin of a URL that requests rewrites is where the request goes."""
    prepared = PreparedRequest()
    try:
        prepared.prepare_url(url, None)
    except RequestException:
        return
    assert prepared.url is not None
    assert Origin.of(prepared.url) in {None, dialled(prepared.url)}


def dialled(url: str) -> Origin | None:
    """Return where urllib3 connects to for a URL, or None if it refuses the URL."""
    try:
        parsed = parse_url(url)
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            return None
        pool = PoolManager().connection_from_url(url)
    except HTTPError:
        return None
    assert (pool.scheme, pool.host) == (parsed.scheme, parsed.host.strip("[]"))
    assert pool.port is not None
    return Origin(pool.scheme, pool.host, pool.port)


hosts = st.sampled_from(
    ["api.example.com", "API.example.com.", "evil.test", "127.0.0.1", "[::1]", "[2001:DB8::1]", "h"]
)
joints = st.sampled_from(
    [*"@:/\\?#.;,%&=+$!*'()[]{}<>|^`\"~_- \t\r\n\x00\x1f\x7f\u3002\uff0e\u2100ß", "%2e", "%40"]
)
ports = st.sampled_from(["", ":443", ":80", ":8443", ":0", ":", ":65536", ":-1", ":0443"])
schemes = st.sampled_from(["https://", "http://", "HTTPS://", " https://", "//", "https:/"])
tails = st.sampled_from(["", "/", "/x", "?x", "#x", "/@evil.test", "\\@evil.test"])
odd_hosts = st.tuples(hosts, joints, hosts | st.just("")).map("".join)
users = st.just("") | st.tuples(hosts | joints, st.just("@")).map("".join)
hostile = st.tuples(schemes, users, hosts | odd_hosts, ports, tails).map("".join)


@given(url=hostile | st.text() | st.text().map("https://{}".format))
def test_no_origin_but_the_one_dialled(url: str) -> None:
    """The origin of any URL is where urllib3 connects to, or there is none."""
    origin = Origin.of(url)
    assert origin is None or origin == dialled(url)


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
addresses = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map("[{}]".format)
origins = st.builds(
    "{}://{}:{}".format,
    st.sampled_from(["http", "https"]),
    names | addresses,
    st.integers(1, 65535),
)


@given(url=origins)
def test_plain_urls_have_the_origin_dialled(url: str) -> None:
    """Every ordinary URL has an origin, and the text of that origin has the same origin."""
    origin = Origin.of(url)
    assert origin is not None
    assert origin == dialled(url)
    assert Origin.of(str(origin)) == origin
    assert parse_origin(url, allow_http=True) == origin


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://h:80/x", "http://h"),
        ("http://h:443", "http://h:443"),
        ("https://h:80", "https://h:80"),
        ("https://[::1]:443/", "https://[::1]"),
        ("https://u:p@H?q#f", "https://h"),
    ],
)
def test_text(url: str, text: str) -> None:
    """An origin is written as a URL without path and default port, with IPv6 in brackets."""
    assert str(Origin.of(url)) == text


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.255.255.254", True),
        ("[::1]", True),
        ("[0:0:0:0:0:0:0:1]", True),
        ("128.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("10.0.0.1", False),
        ("[::2]", False),
        ("[fe80::1]", False),
        ("localhost.evil.test", False),
        ("notlocalhost", False),
        ("api.localhost", False),
        ("127.0.0.1.evil.test", False),
        ("127.1", False),
        ("0x7f.0.0.1", False),
        ("2130706433", False),
    ],
)
def test_is_loopback(host: str, *, loopback: bool) -> None:
    """A host counts as loopback only if requests to it surely stay on this machine."""
    origin = Origin.of(f"http://{host}:8080/")
    assert origin is not None
    assert origin.is_loopback is loopback


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://api.example.com", API),
        ("https://api.example.com/", API),
        ("HTTPS://API.example.com:443", API),
        ("https://api.example.com:8443", Origin("https", "api.example.com", 8443)),
        ("http://localhost:8080", Origin("http", "localhost", 8080)),
        ("http://127.0.0.1", Origin("http", "127.0.0.1", 80)),
        ("http://[::1]:5000", Origin("http", "::1", 5000)),
    ],
)
def test_origins_in_settings(text: str, origin: Origin) -> None:
    """The settings accept an https origin, and http on loopback."""
    assert parse_origin(text, allow_http=False) == origin


def test_http_only_in_plain_words() -> None:
    """Plain http to another machine needs `allow_http`, and the fault says so."""
    fault = parse_origin("http://api.example.com", allow_http=False)
    assert isinstance(fault, str)
    assert "'http://api.example.com'" in fault
    assert "unencrypted" in fault
    assert "https" in fault
    assert "allow_http=True" in fault
    allowed = parse_origin("http://api.example.com", allow_http=True)
    assert allowed == Origin("http", "api.example.com", 80)


@pytest.mark.parametrize(
    "text",
    ["", "api.EXAMPLE.com", "ftp://api.example.com", "https://", "https://*.example.com", "https"],
)
def test_no_origin(text: str) -> None:
    """A text that is not an origin is quoted, and the fault shows how to write one."""
    fault = parse_origin(text, allow_http=True)
    assert isinstance(fault, str)
    assert fault.startswith(f"{text!r} is no origin")
    assert "'https://api.example.com'" in fault


@pytest.mark.parametrize("text", ["user@api.example.com", "api.example.com?x", "h#x"])
def test_what_may_hold_a_secret_is_not_quoted(text: str) -> None:
    """A text with a user, a query or a fragment is not quoted in the fault."""
    fault = parse_origin(text, allow_http=True)
    assert fault == "this text is no origin: write it like 'https://api.example.com'"


def test_a_user_is_more_than_an_origin() -> None:
    """A user in the URL is refused, and the fault names the origin that was meant."""
    fault = parse_origin("https://user@api.example.com", allow_http=False)
    assert isinstance(fault, str)
    assert fault.startswith("did you mean 'https://api.example.com'?")


@pytest.mark.parametrize("tail", ["/v1", "?x=1", "#top", "/#top", "//", "/;x", "?x", "/v1?x=1#top"])
def test_more_than_an_origin(tail: str) -> None:
    """A path is refused, since an origin has none; the fault names the origin that was meant."""
    fault = parse_origin(f"https://api.example.com{tail}", allow_http=False)
    assert isinstance(fault, str)
    assert fault.startswith("did you mean 'https://api.example.com'?")


@pytest.mark.parametrize("text", [None, 443, b"https://api.example.com", ["https://h"], API])
def test_origins_are_text(text: object) -> None:
    """A value other than a string is refused with its type."""
    fault = parse_origin(text, allow_http=False)
    assert isinstance(fault, str)
    assert fault.startswith("takes strings")
    assert fault.endswith(f"not {type(text).__name__}")


@pytest.mark.parametrize(
    "text",
    [
        "https://user:s3cret@api.example.com",
        "https://s3cret@api.example.com",
        "user:s3cret@api.example.com",
        "ftp://user:s3cret@api.example.com",
        "https://user:s3cret@[::1",
        "https://api.example.com?key=s3cret",
        "https://api.example.com#s3cret",
        "api.example.com/v1?key=s3cret",
        "api.example.com#s3cret",
    ],
)
def test_faults_tell_no_secret(text: str) -> None:
    """A fault quotes neither user nor password, query or fragment."""
    fault = parse_origin(text, allow_http=False)
    assert isinstance(fault, str)
    assert "s3cret" not in fault


@given(text=hostile | st.text(), allow_http=st.booleans())
def test_parse_origin_never_raises(text: str, *, allow_http: bool) -> None:
    """Any text gives an origin that is safe for a token, or a fault."""
    origin = parse_origin(text, allow_http=allow_http)
    if isinstance(origin, Origin):
        assert origin == Origin.of(text)
        assert allow_http or origin.scheme == "https" or origin.is_loopback


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.example.com/v1/x", "https://api.example.com/v1/x"),
        ("https://api.example.com:8443/", "https://api.example.com:8443/"),
        ("https://user:s3cret@api.example.com/v1", "https://api.example.com/v1"),
        ("https://a@s3cret@api.example.com/v1", "https://api.example.com/v1"),
        ("https://api.example.com/v1?key=s3cret", "https://api.example.com/v1"),
        ("https://api.example.com?key=s3cret", "https://api.example.com"),
        ("https://api.example.com/v1#s3cret", "https://api.example.com/v1"),
        (
            "https://api.telegram.org/bot12:s3cret/getMe",
            "https://api.telegram.org/bot12:.../getMe",
        ),
        ("https://h/file/bot12%3As3cret/a.jpg", "https://h/file/bot12%3A.../a.jpg"),
        (
            "https://discord.com/api/v10/webhooks/42/s3cret/messages/7",
            "https://discord.com/api/v10/webhooks/42/.../messages/7",
        ),
        (
            "https://hooks.slack.com/services/T0AB/B0CD/s3cret",
            "https://hooks.slack.com/services/T0AB/B0CD/...",
        ),
        ("https://h/bots/webhooks/services/x", "https://h/bots/webhooks/services/x"),
        ("https://[::1]:80/x", "https://[::1]:80/x"),
        ("https://[s3cret", "(unreadable URL)"),
        ("https://u\u2100s3cret@h/", "(unreadable URL)"),
        ("user:s3cret@api.example.com/x", "(unreadable URL)"),
        ("https:/user:s3cret@api.example.com/x", "(unreadable URL)"),
        ("https:///user:s3cret@api.example.com/x", "(unreadable URL)"),
        ("", "(unreadable URL)"),
        (None, "(unreadable URL)"),
    ],
)
def test_redacted(url: str | None, shown: str) -> None:
    """A redacted URL shows scheme, host, port and path, but not user, query, fragment and token."""
    assert redacted(url) == shown


def test_a_long_url_is_cut() -> None:
    """A redirect to a URL of a megabyte fills no log."""
    url = "https://h/" + "x" * 10_000
    assert redacted(url) == url[:WORDS]


@given(
    start=st.sampled_from(["https://", "http://", "https:/", "https:///", "", "//", "https:\\\\"]),
    host=hosts | joints,
    user=st.sampled_from(["s3cret@", "u:s3cret@", "u\\s3cret@", "s3cret@x@", ""]),
    tail=st.sampled_from(["", "?s3cret", "/x?a=s3cret", "#s3cret", "/#/s3cret", "?a#s3cret"]),
)
def test_redacted_tells_no_secret(start: str, host: str, user: str, tail: str) -> None:
    """The secret parts of a URL are not shown, however the URL is composed."""
    assume("/" not in host)
    assert "s3cret" not in redacted(f"{start}{user}{host}{tail}")


@given(url=hostile | st.text())
def test_redacted_never_raises(url: str) -> None:
    """Redacting any text never raises, so that writing a log line never ends a call."""
    assert isinstance(redacted(url), str)
