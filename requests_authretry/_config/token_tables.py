"""The forms of a secret, of a store and of a ``[token]`` table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .value_types import FLAG, TEXT, TEXTS, WORDS_BY_NAME, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFERENCE = r"^(env:|file:|keyring:.+/).+$"
_STORE = r"^(memory:|(env|file|keyring):.+|(rediss?|unix)://.+)$"


def _is_one(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.match(pattern, value, re.DOTALL) is not None


REFERENCE = Kind(
    says='"env:NAME", "file:PATH" or "keyring:SERVICE/NAME": no secret stands in a file',
    schema={"type": "string", "pattern": _REFERENCE},
    fits=lambda value: _is_one(_REFERENCE, value),
)
STORE = Kind(
    says='"file:PATH", "redis://...", "rediss://...", "unix://...", "keyring:SERVICE", "memory:" '
    'or, where one of these is in a variable, "env:NAME"',
    schema={"type": "string", "pattern": _STORE},
    fits=lambda value: _is_one(_STORE, value),
)
DPOP = Kind(
    says='true, false or the key: "env:NAME", "file:PATH" or "keyring:SERVICE/NAME"',
    schema={"oneOf": [FLAG.schema, REFERENCE.schema]},
    fits=lambda value: FLAG.fits(value) or REFERENCE.fits(value),
)

_CLIENT = {
    "client_secret": REFERENCE,
    "client_key": REFERENCE,
    "issuer": TEXT,
    "token_url": TEXT,
    "device_url": TEXT,
    "auth": TEXT,
    "dpop": DPOP,
    "allow_http": FLAG,
}
_ASKED: Mapping[str, Kind] = {"scopes": TEXTS, "extra": WORDS_BY_NAME, "store_key": TEXT}


@dataclass(frozen=True)
class Form:
    """One form of a ``[token]`` table.

    Attributes:
        required: What must be in it.
        optional: What may be in it besides.
    """

    required: Mapping[str, Kind]
    optional: Mapping[str, Kind]

    @property
    def keys(self) -> Mapping[str, Kind]:
        """Both."""
        return {**self.required, **self.optional}


def _form(required: Mapping[str, Kind], optional: Mapping[str, Kind] = _ASKED) -> Form:
    needs = {"grant": TEXT, "client_id": TEXT, **required}
    return Form(needs, {**_CLIENT, **optional})


COMMAND = Form({"command": TEXTS}, {"store_key": TEXT})
GRANTS: Mapping[str, Form] = {
    "client_credentials": _form({}),
    "refresh_token": _form(
        {"refresh_token": REFERENCE}, {"extra": WORDS_BY_NAME, "store_key": TEXT}
    ),
    "password": _form({"username": TEXT, "password": REFERENCE}),
    "jwt_bearer": _form({"key": REFERENCE}, {"subject": TEXT, "claims": WORDS_BY_NAME, **_ASKED}),
    "token_exchange": _form(
        {"subject_token": REFERENCE},
        {
            "actor_token": REFERENCE,
            "subject_token_type": TEXT,
            "actor_token_type": TEXT,
            **_ASKED,
        },
    ),
    "device_code": _form({}),
}
"""What each grant of `requests_authretry.oauth2` takes, by its name in RFC 6749 and its kin."""


def token_schema() -> dict[str, object]:
    forms = [_form_schema(COMMAND)]
    for grant, form in GRANTS.items():
        forms.append(_form_schema(form, grant={"const": grant}))
    return {"oneOf": [REFERENCE.schema, *forms]}


def _form_schema(form: Form, **known: Mapping[str, object]) -> dict[str, object]:
    properties = {name: dict(kind.schema) for name, kind in form.keys.items()}
    return {
        "type": "object",
        "properties": {**properties, **known},
        "required": list(form.required),
        "additionalProperties": False,
    }


TOKEN = Kind(
    says="a table or a reference: " + REFERENCE.says,
    schema={"$ref": "#/$defs/token"},
    fits=lambda value: isinstance(value, dict) or REFERENCE.fits(value),
)
