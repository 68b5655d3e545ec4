"""Tokens: which values they refuse, when they expire, how they are stored, and their secrecy."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import pprint
import traceback
from contextlib import suppress
from dataclasses import FrozenInstanceError, dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from requests_authretry import ConfigurationError, Token
from requests_authretry._core.token import Secret, TokenRecord, UnreadableRecordError

if TYPE_CHECKING:
    from collections.abc import Callable

ACCESS = "acc3ss-t0ken"
REFRESH = "r3fresh-t0ken"
TOKEN = Token(ACCESS, 99.0, refresh_token=REFRESH, scopes=("read",))
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


@dataclass
class Holder:
    """A record that contains a credential."""

    held: object


def shows_nothing(text: str) -> bool:
    """Whether neither a secret nor its beginning is in the text."""
    return not any(secret[:6] in text for secret in (ACCESS, REFRESH))


SHOWN: dict[str, Callable[[object], str]] = {
    "repr": repr,
    "f-string repr": lambda held: f"{held!r}",
    "f-string ascii": lambda held: f"{held!a}",
    "percent": lambda held: "%r %a" % (held, held),  # noqa: UP031
    "in a list": lambda held: str([held]),
    "in a tuple": lambda held: f"{(held,)}",
    "as a value": lambda held: str({"key": {"deeper": held}}),
    "as a key": lambda held: str({held: 1}),
    "in a dataclass": lambda held: str(Holder(held)),
    "in a dataclass in a dict": lambda held: pprint.pformat({"record": Holder([held])}),
    "as a dictionary": lambda held: str(dataclasses.asdict(Holder(held))),
    "in an exception": lambda held: repr(ValueError(held, {"held": held})),
    "copied": lambda held: repr(copy.deepcopy({"held": held})),
}


@pytest.mark.parametrize("show", SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize(
    "held",
    [TOKEN, TOKEN.value, TOKEN.authorization, TOKEN.refresh_token, Secret(ACCESS)],
    ids=["token", "value", "authorization", "refresh_token", "secret"],
)
def test_never_shown(held: object, show: Callable[[object], str]) -> None:
    """A credential does not show in a repr, however deep it is nested."""
    assert shows_nothing(show(held))
    assert "***" in show(held)


@pytest.mark.parametrize("form", [str, repr, format, "{}".format, "{!s}".format, "%s".__mod__])
def test_a_token_has_no_text(form: Callable[[object], str]) -> None:
    """A formatted token shows everything but the secrets."""
    assert form(Token(ACCESS, 99.0, refresh_token=REFRESH, scopes=["read"])) == (
        "Token('***', expires_at=99.0, scheme='Bearer', refresh_token='***', scopes=('read',))"
    )


def test_the_repr_leaves_out_what_is_not_there() -> None:
    """The repr of a token without a refresh token or scopes does not mention them."""
    assert repr(Token(ACCESS)) == "Token('***', expires_at=None, scheme='Bearer')"


def test_a_secret_is_text() -> None:
    """A secret hides its text and length in dumps, and still works as a header value."""
    assert repr(Secret(ACCESS)) == repr(Secret("")) == "'***'"
    assert str(Secret(ACCESS)) == ACCESS
    assert Secret(ACCESS) == ACCESS
    assert Token(ACCESS, refresh_token=REFRESH).refresh_token == REFRESH
    assert TOKEN.authorization.encode() == f"Bearer {ACCESS}".encode()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "held", [TOKEN, TOKEN.value, TOKEN.authorization, dataclasses.asdict(TOKEN), Holder([TOKEN])]
)
def test_never_pickled(held: object, protocol: int) -> None:
    """A pickle of any protocol carries no credential, nested or not."""
    assert shows_nothing(pickle.dumps(held, protocol).decode("latin-1"))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickled_token_comes_out_empty(protocol: int) -> None:
    """A pickled token counts as expired, even without an end, and keeps all but its secrets."""
    token: Token = pickle.loads(pickle.dumps(TOKEN, protocol))  # noqa: S301
    assert (token.value, token.authorization, token.refresh_token) == ("", "", None)
    assert (token.expires_at, token.scheme, token.scopes) == (99.0, "Bearer", ("read",))
    assert token.is_expired(0.0)
    assert pickle.loads(pickle.dumps(Token("x"))).is_expired(0.0)  # noqa: S301
    assert repr(token) == "Token('***', expires_at=99.0, scheme='Bearer', scopes=('read',))"


def test_a_pickled_secret_comes_out_empty() -> None:
    """A pickled secret is an empty secret."""
    secret = pickle.loads(pickle.dumps(Secret(ACCESS)))  # noqa: S301
    assert type(secret) is Secret
    assert secret == ""


@pytest.mark.parametrize("held", [TOKEN, TOKEN.value])
def test_copies_in_memory_are_the_thing_itself(held: object) -> None:
    """A copy of a token is the token itself, so that a deep-copied session keeps working."""
    assert copy.copy(held) is held
    assert copy.deepcopy(held) is held
    assert copy.deepcopy({"held": [held]})["held"][0] is held


def test_the_frames_of_a_call_with_a_token_are_clean() -> None:
    """A traceback with local variables, as error trackers record it, shows no secret."""

    def send(token: Token, headers: dict[str, str]) -> None:
        value, line = token.value, [token.authorization]
        raise RuntimeError(len(value) + len(line) + len(headers))

    with pytest.raises(RuntimeError) as caught:
        send(TOKEN, {"Authorization": TOKEN.authorization})
    assert shows_nothing(with_locals(caught.value))


FAULTY: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({"value": ""}, "value"),
    "line break": ({"value": f"{ACCESS}\n"}, "value"),
    "header injection": ({"value": f"{ACCESS}\r\nX-Admin: yes"}, "value"),
    "control character": ({"value": f"{ACCESS}\x00"}, "value"),
    "delete": ({"value": f"{ACCESS}\x7f"}, "value"),
    "tab": ({"value": f"{ACCESS}\t{ACCESS}"}, "value"),
    "blank at the end": ({"value": f"{ACCESS} "}, "value"),
    "blank at the start": ({"value": f" {ACCESS}"}, "value"),
    "only a blank": ({"value": " "}, "value"),
    "not ASCII": ({"value": f"{ACCESS}é"}, "value"),
    "bytes": ({"value": ACCESS.encode()}, "value"),
    "nothing": ({"value": None}, "value"),
    "the scheme twice": ({"value": f"bearer {ACCESS}"}, "value"),
    "own scheme twice": ({"value": f"Token {ACCESS}", "scheme": "token"}, "value"),
    "empty scheme": ({"scheme": ""}, "scheme"),
    "scheme with a blank": ({"scheme": f"Bearer {ACCESS}"}, "scheme"),
    "scheme with a line break": ({"scheme": "Bearer\n"}, "scheme"),
    "no scheme": ({"scheme": None}, "scheme"),
    "NaN": ({"expires_at": float("nan")}, "expires_at"),
    "infinite": ({"expires_at": float("inf")}, "expires_at"),
    "beyond any float": ({"expires_at": 10**400}, "expires_at"),
    "bool": ({"expires_at": True}, "expires_at"),
    "refresh token in the second place": ({"expires_at": REFRESH}, "expires_at"),
    "empty refresh token": ({"refresh_token": ""}, "refresh_token"),
    "refresh token as bytes": ({"refresh_token": REFRESH.encode()}, "refresh_token"),
    "no refresh token, as False": ({"refresh_token": False}, "refresh_token"),
    "bare string": ({"scopes": REFRESH}, "scopes"),
    "bytes as scopes": ({"scopes": REFRESH.encode()}, "scopes"),
    "no collection": ({"scopes": 3}, "scopes"),
    "a scope that is no text": ({"scopes": ["read", 3]}, "scopes"),
    "a scope that is a list": ({"scopes": [[REFRESH]]}, "scopes"),
}


@pytest.mark.parametrize(("changes", "field"), FAULTY.values(), ids=FAULTY)
def test_refuses(changes: dict[str, Any], field: str) -> None:
    """A field that cannot work is named alone, and its value is not quoted."""
    with pytest.raises(ConfigurationError) as caught:
        Token(**{"value": ACCESS, "refresh_token": REFRESH, **changes})
    assert [fault.split()[0] for fault in caught.value.faults] == [field]
    assert str(caught.value).startswith(f"Token: {field} ")
    assert shows_nothing(f"{caught.value} {caught.value!r} {caught.value.__dict__}")
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"value": b"x"}, "value must be a str, not bytes"),
        (
            {"value": "x\n"},
            (
                "value must be visible ASCII: it is empty, or has a line break or a blank end; "
                "strip what was read from a file"
            ),
        ),
        (
            {"value": "Bearer x"},
            "value begins with the scheme 'Bearer', which is put before it: leave the word out",
        ),
        ({"scheme": "Be arer"}, "scheme must be a name like 'Bearer', without blanks"),
        (
            {"expires_at": "x"},
            "expires_at must be a finite POSIX time in seconds or None, not this str",
        ),
        ({"refresh_token": ""}, "refresh_token must be a non-empty str or None"),
        ({"scopes": "x"}, "scopes must be a collection of strings: write scopes=['read']"),
    ],
)
def test_lines(changes: dict[str, Any], line: str) -> None:
    """A fault says which values the field takes."""
    with pytest.raises(ConfigurationError) as caught:
        Token(**{"value": ACCESS, **changes})
    assert caught.value.faults == (line,)


def test_all_faults_together() -> None:
    """An error names every field that is wrong."""
    wrong: Any = {
        "value": f"{ACCESS}\n",
        "expires_at": REFRESH,
        "scheme": "",
        "refresh_token": "",
        "scopes": ACCESS,
    }
    with pytest.raises(ConfigurationError) as caught:
        Token(**wrong)
    fields = [fault.split()[0] for fault in caught.value.faults]
    assert sorted(fields) == ["expires_at", "refresh_token", "scheme", "scopes", "value"]
    assert shows_nothing(str(caught.value))


def test_the_frames_of_a_refused_token_are_clean() -> None:
    """No frame of the refusal below the caller's own frame shows a secret."""
    with pytest.raises(ConfigurationError) as caught:
        Token(f"{ACCESS}\n", refresh_token=REFRESH)
    assert shows_nothing(with_locals(caught.value, skip=1))


def with_locals(error: BaseException, skip: int = 0) -> str:
    """Return the traceback with the local variables of its frames, except the outermost frames."""
    full = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(str(frame.locals) for frame in full.stack[skip:]) + str(full)


@pytest.mark.parametrize(
    "value",
    ["x", "~", "a b", "abc.def.ghi==", "bearerless", "Bearer", 'user="x", nonce="y z"'],
)
def test_accepts(value: str) -> None:
    """Any visible ASCII may be a credential, including blanks inside it."""
    assert Token(value).authorization == f"Bearer {value}"


def test_another_scheme() -> None:
    """The scheme is put before the value; a value that begins with another scheme is accepted."""
    assert Token("Bearer x", scheme="DPoP").authorization == "DPoP Bearer x"


@pytest.mark.parametrize("scopes", [["a", "b"], ("a", "b"), {"a": 1, "b": 2}.keys()])
def test_scopes_take_any_collection(scopes: Any) -> None:
    """Scopes become a tuple, so that a token is hashable."""
    one_by_one: Any = (scope for scope in scopes)
    for given_as in (scopes, one_by_one):
        assert Token("x", scopes=given_as).scopes == ("a", "b")
    assert {Token("x", scopes=scopes)} == {Token("x", scopes=("a", "b"))}


def test_a_token_is_immutable() -> None:
    """A token cannot be changed, since threads share it."""
    with pytest.raises(FrozenInstanceError):
        TOKEN.value = "other"  # type: ignore[misc]


def test_tokens_are_compared_by_their_fields() -> None:
    """Two tokens with the same fields are equal."""
    assert Token("x", 1.0) == Token("x", 1.0)
    assert Token("x") != Token("y")
    assert Token("x") != Token("x", refresh_token="y")


@pytest.mark.parametrize(
    ("expires_at", "now", "expired"),
    [
        (None, 1e12, False),
        (100.0, 99.999, False),
        (100.0, 100.0, True),
        (100.0, 100.001, True),
        (0, 0.0, True),
        (-1.0, 0.0, True),
    ],
)
def test_is_expired(expires_at: float | None, now: float, *, expired: bool) -> None:
    """A token is expired from `expires_at` on; a token without that time never expires."""
    assert Token("x", expires_at).is_expired(now) is expired


visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)
tokens = st.builds(
    Token,
    visible,
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 2**53),
    st.sampled_from(["Bearer", "DPoP", "token"]),
    st.none() | st.text(min_size=1),
    st.lists(st.text()).map(tuple),
)


@given(token=tokens)
def test_a_record_gives_the_token_back(token: Token) -> None:
    """A dumped record loads the same token, whole and hidden as before."""
    record = TokenRecord.load(TokenRecord(token, 7).dump())
    assert record == TokenRecord(token, 7)
    assert record is not None
    loaded = record.token
    assert loaded is not None
    assert type(loaded.value) is Secret
    assert loaded.refresh_token == token.refresh_token
    assert type(loaded.refresh_token) is type(token.refresh_token)


def test_a_record_is_plain_json() -> None:
    """A record is JSON that other programs with the same store can read."""
    assert json.loads(TokenRecord(TOKEN).dump()) == {
        "value": ACCESS,
        "expires_at": 99.0,
        "scheme": "Bearer",
        "refresh_token": REFRESH,
        "scopes": ["read"],
        "generation": 0,
        "version": 1,
    }
    assert json.loads(TokenRecord(Token("x")).dump())["refresh_token"] is None


def test_an_emptied_token_leaves_no_token_behind() -> None:
    """A token out of a pickle is unreadable if it gets into a store."""
    emptied = pickle.loads(pickle.dumps(TOKEN))  # noqa: S301
    with pytest.raises(UnreadableRecordError):
        TokenRecord.load(TokenRecord(emptied).dump())


@pytest.mark.parametrize("record", [None, "", "null"])
def test_no_record(record: str | None) -> None:
    """An empty store, or an emptied record, gives no token."""
    assert TokenRecord.load(record) is None


@given(others=st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.text())))
@example(others={"issued_at": 0.5, "authorization": "y", "self": "z", "dpop": {"jkt": "k"}})
def test_unknown_fields_are_kept(others: dict[str, Any]) -> None:
    """A field of a later release is ignored on reading, and written back."""
    ours = json.loads(TokenRecord(TOKEN, 3).dump())
    read = TokenRecord.load(json.dumps({**others, **ours}))
    assert read is not None
    assert (read.token, read.generation) == (TOKEN, 3)
    written = TokenRecord(Token("next"), 4, read.others).dump()
    assert json.loads(written) == {**others, **json.loads(TokenRecord(Token("next"), 4).dump())}


@pytest.mark.parametrize("version", ["0", "2", "99", "1.5", '"later"', "null"])
def test_a_record_of_another_version_is_read(version: str) -> None:
    """A record of a later version is read, since later releases only add fields."""
    record = f'{{"value": "x", "refresh_token": "r", "version": {version}}}'
    assert TokenRecord.load(record) == TokenRecord(Token("x", refresh_token="r"))


def test_a_record_shows_no_secret() -> None:
    """Neither the repr of a record nor the error of an unreadable one shows its content."""
    record = TokenRecord(TOKEN, 1, {"client_secret": ACCESS})
    assert ACCESS not in repr(record)
    assert REFRESH not in repr(record)
    with pytest.raises(UnreadableRecordError) as raised:
        TokenRecord.load(f'{{"value": ["{ACCESS}"]}}')
    assert ACCESS not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    "record",
    [
        "{",
        TokenRecord(TOKEN).dump()[:-1],
        "[]",
        '"text"',
        "1",
        "{}",
        '{"value": ""}',
        '{"value": 1}',
        '{"value": "x", "expires_at": "soon"}',
        '{"value": "x", "expires_at": NaN}',
        '{"value": "x", "expires_at": 1e999}',
        f'{{"value": "x", "expires_at": 1{"0" * 400}}}',
        f'{{"value": "x", "expires_at": 1{"0" * 9999}}}',
        '{"value": "x", "scopes": "read"}',
        '{"value": "x", "scopes": [["read"]]}',
        '{"value": "x", "generation": "2"}',
        "[" * 100_000,
        '{"value":' * 100_000,
    ],
    ids=lambda record: repr(record)[:40],
)
def test_a_foreign_or_torn_record_is_unreadable(record: str) -> None:
    """A record that gives no token is an error, and does not count as no record."""
    with pytest.raises(UnreadableRecordError):
        TokenRecord.load(record)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
names = st.sampled_from(
    ["value", "expires_at", "scheme", "refresh_token", "scopes", "self", "generation"]
)


@given(record=st.text() | json_values.map(json.dumps))
def test_loading_survives_any_text(record: str) -> None:
    """Any text in a store gives a record, None, or an `UnreadableRecordError`."""
    with suppress(UnreadableRecordError):
        TokenRecord.load(record)


def test_a_record_of_a_forgotten_token_has_none() -> None:
    """It keeps its generation, and what a later release added, and an earlier value is not read."""
    record = TokenRecord(None, 7, {"later": 1})
    assert json.loads(record.dump()) == {
        "forgotten": True,
        "generation": 7,
        "version": 1,
        "later": 1,
    }
    assert TokenRecord.load(record.dump()) == record
    assert TokenRecord.load('{"forgotten": true, "value": "x", "generation": 7}') == TokenRecord(
        None, 7
    )
    torn = '{"forgotten": false, "generation": 7}'
    with pytest.raises(UnreadableRecordError):
        TokenRecord.load(torn)


@given(fields=st.dictionaries(names, json_values))
@example(fields={"value": "x", "scopes": {"a": 1}})
def test_loading_survives_any_fields(fields: dict[str, object]) -> None:
    """A record with our fields gives a token that works, or an `UnreadableRecordError`."""
    with suppress(UnreadableRecordError):
        record = TokenRecord.load(json.dumps(fields))
        assert record is not None
        assert record.token is not None
        assert record.token.value == fields["value"]
        assert TokenRecord.load(record.dump()) == record
        assert {record.token: repr(record.token)}
