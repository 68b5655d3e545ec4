"""Private keys: what is one, with which algorithm it signs, and what comes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, OKPKey

from requests_authretry import ConfigurationError
from requests_authretry.oauth2 import Key
from tests.oauth2.support import header_of
from tests.servers.oidc import ec_key, rsa_key

EC = ec_key()
RSA = rsa_key()
ED = OKPKey.generate_key("Ed25519")
EDWARDS = "Ed25519" if "Ed25519" in jws.JWSRegistry.algorithms else "EdDSA"
"""RFC 9864 gave the algorithm another name."""

NOW = 1_700_000_000.5

PEM = EC.as_pem(private=True)
JWK = EC.as_dict(private=True)


def signed(key: Key) -> str:
    """Something that a key has signed."""
    return key.assertion({"sub": "ada"}, NOW, 60.0)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(PEM, id="PEM in bytes"),
        pytest.param(PEM.decode(), id="PEM"),
        pytest.param(PEM.replace(b"\n", b"\r\n"), id="PEM of Windows"),
        pytest.param(b"\n\n" + PEM, id="PEM after blank lines"),
        pytest.param(JWK, id="JWK"),
        pytest.param(json.dumps(JWK), id="JWK as JSON"),
        pytest.param(f"\n {json.dumps(JWK)}", id="JWK as indented JSON"),
        pytest.param(json.dumps(JWK).encode(), id="JWK as bytes"),
    ],
)
def test_a_key_in_any_form(given: Any) -> None:
    """PEM or JWK, text, bytes or mapping: the same key signs, and its public half verifies."""
    key = Key(given)
    assert key.thumbprint == EC.thumbprint()
    assert jwt.decode(signed(key), EC, algorithms=["ES256"]).claims["sub"] == "ada"
    assert Key.of(key) is key
    assert Key.of(given).thumbprint == key.thumbprint


@pytest.mark.parametrize(
    ("private", "options", "algorithm"),
    [
        (RSA.as_pem(private=True), {}, "RS256"),
        (RSA.as_pem(private=True), {"algorithm": "PS256"}, "PS256"),
        (RSA.as_pem(private=True), {"algorithm": "RS512"}, "RS512"),
        ({**RSA.as_dict(private=True), "alg": "PS384"}, {}, "PS384"),
        (PEM, {}, "ES256"),
        (ECKey.generate_key("P-384").as_pem(private=True), {}, "ES384"),
        (ECKey.generate_key("P-521").as_pem(private=True), {}, "ES512"),
        (ED.as_pem(private=True), {"algorithm": EDWARDS}, EDWARDS),
    ],
)
def test_the_algorithm(private: Any, options: dict[str, str], algorithm: str) -> None:
    """The one that is named, else the JWK's own, else the usual one of the kind or the curve."""
    key = Key(private, **options)
    assert key.algorithm == algorithm
    assert header_of(signed(key))["alg"] == algorithm


@pytest.mark.parametrize(
    ("private", "options"),
    [
        pytest.param(None, {}, id="None"),
        pytest.param(5, {}, id="a number"),
        pytest.param("", {}, id="nothing"),
        pytest.param("client-key.pem", {}, id="a path"),
        pytest.param(PEM[:80], {}, id="half a PEM"),
        pytest.param(PEM.decode().replace("\n", "\\n"), {}, id="PEM of an environment file"),
        pytest.param(EC.as_pem(private=False), {}, id="a public PEM"),
        pytest.param(EC.as_dict(private=False), {}, id="a public JWK"),
        pytest.param(RSA.as_pem(private=True, password="locked"), {}, id="a locked PEM"),
        pytest.param({"kty": "oct", "k": "c2VjcmV0"}, {}, id="a shared secret"),
        pytest.param({"kty": []}, {}, id="a kind that is none"),
        pytest.param({}, {}, id="an empty JWK"),
        pytest.param({**JWK, "d": b"bytes"}, {}, id="a JWK of bytes"),
        pytest.param("{", {}, id="half a JSON"),
        pytest.param('{"a":' * 50_000, {}, id="deep JSON"),
        pytest.param({**RSA.as_dict(private=True), "use": "enc"}, {}, id="not for signatures"),
        pytest.param({**RSA.as_dict(private=True), "alg": "RSA-OAEP"}, {}, id="for encryption"),
        pytest.param(OKPKey.generate_key("X25519").as_dict(private=True), {}, id="for exchanges"),
        pytest.param(ED.as_pem(private=True), {}, id="Ed25519 without a name"),
        pytest.param(ECKey.generate_key("secp256k1").as_pem(private=True), {}, id="another curve"),
        pytest.param(PEM, {"algorithm": "RS256"}, id="of another kind"),
        pytest.param(PEM, {"algorithm": "ES384"}, id="of another curve"),
        pytest.param(RSA.as_pem(private=True), {"algorithm": "HS256"}, id="HS256"),
        pytest.param(PEM, {"algorithm": "none"}, id="none"),
        pytest.param(PEM, {"algorithm": "None"}, id="None"),
        pytest.param({**JWK, "alg": "none"}, {}, id="a JWK that says none"),
        pytest.param({**JWK, "alg": "ES256"}, {"algorithm": "ES384"}, id="not what the JWK says"),
        pytest.param(PEM, {"algorithm": 5}, id="a number as algorithm"),
        pytest.param(PEM, {"key_id": 5}, id="a number as key id"),
    ],
)
def test_what_is_no_key(private: Any, options: dict[str, Any]) -> None:
    """What cannot sign is refused when it is given, in words that show nothing of it."""
    with pytest.raises(ConfigurationError) as caught:
        Key(private, **options)
    assert "Key: " in str(caught.value)
    assert str(JWK["d"]) not in str(caught.value)
    assert "BEGIN" not in str(caught.value)


@pytest.mark.parametrize("given", [EC.as_pem(private=False), EC.as_dict(private=False)])
def test_a_public_key(given: Any) -> None:
    """Who mixes up the halves is told so."""
    with pytest.raises(ConfigurationError, match="private must be a private key"):
        Key(given)


def test_the_name_of_a_key() -> None:
    """The header names the key where it has a name, and has no such field where it has none."""
    assert header_of(signed(Key(JWK)))["kid"] == "ec"
    assert header_of(signed(Key(JWK, key_id="other")))["kid"] == "other"
    assert "kid" not in header_of(signed(Key(PEM)))


def test_an_assertion() -> None:
    """Whole seconds, the life that was asked for, and a name of its own each time."""
    key = Key(PEM)
    claims = [jwt.decode(signed(key), EC).claims for _ in range(2)]
    assert [(claim["iat"], claim["exp"]) for claim in claims] == [
        (1_700_000_000, 1_700_000_060)
    ] * 2
    assert len({claim["jti"] for claim in claims}) == 2


def test_the_public_half() -> None:
    """What a proof shows of its key is what defines it, and nothing else."""
    assert Key({**JWK, "use": "sig"}).public == {
        name: JWK[name] for name in ("kty", "crv", "x", "y")
    }
    assert set(Key(RSA.as_pem(private=True)).public) == {"kty", "n", "e"}
    assert set(Key(ED.as_dict(private=True), algorithm=EDWARDS).public) == {"kty", "crv", "x"}


def test_keys_that_are_generated_differ() -> None:
    """Each is new, and of the kind that every server takes."""
    first, second = Key.generate(), Key.generate()
    assert first.thumbprint != second.thumbprint
    assert first.algorithm == "ES256"
