"""The data files of dialects: their samples are their tests."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

from requests_authretry import Dialect, dialects
from requests_authretry._core.dialect_format import LAYOUTS, Sample, sample_fault
from requests_authretry.dialects import NAMES

FOLDER: Final = Path(dialects.__file__).parent
SCHEMA: Final[dict[str, Any]] = json.loads((FOLDER / "dialect.schema.json").read_text("utf-8"))
FILES: Final = sorted(path for path in FOLDER.glob("*.json") if path.stem != "dialect.schema")
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def samples() -> list[Any]:
    """Each sample of each file."""
    return [
        pytest.param(dialect, sample, id=f"{dialect.name}: {sample.what}")
        for dialect in map(Dialect.from_file, FILES)
        for sample in dialect.samples
    ]


@pytest.mark.parametrize(("dialect", "sample"), samples())
def test_a_sample_is_given_its_verdict(dialect: Dialect, sample: Sample) -> None:
    """GitHub's secondary limit is ``throttled`` for 60 s; a missing permission is no verdict."""
    origin = dialect.origins[0].replace("*", "tenant")
    assert sample_fault(dialect.rules, sample, origin) is None


@each_file
def test_a_file_fits_the_schema(path: Path) -> None:
    """The file is as the JSON schema says, and named as its dialect."""
    content = json.loads(path.read_text("utf-8"))
    jsonschema.validate(content, SCHEMA)
    assert content["name"] == path.stem


@each_file
def test_each_rule_has_a_sample(path: Path) -> None:
    """Every rule decides about a sample; three samples at least have no verdict."""
    dialect = Dialect.from_file(path)
    assert dialect.check_samples() == ()
    assert sum(each.expected is None for each in dialect.samples) >= 3


@each_file
def test_samples_hold_no_real_credentials(path: Path) -> None:
    """No sample has the form of a token that somebody may have used."""
    text = path.read_text("utf-8")
    forms = ("ghp_", "gho_", "glpat-", "xoxb-", "xoxp-", "sk-", "AIza", "shpat_", "eyJ")
    assert not [form for form in forms if form in text]


def test_what_is_made_of_the_files_is_current() -> None:
    """``python tools/dialects.py`` would change no file: the index, the schema, the page."""
    tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "dialects.py"))
    dialects = tool["read_all"]()
    assert tool["INDEX"].read_text("utf-8") == tool["index"](dialects)
    assert json.loads(tool["SCHEMA"].read_text("utf-8"))["properties"]["dialects"]["oneOf"][1][
        "items"
    ]["enum"] == list(NAMES)
    page = tool["PAGE"].read_text("utf-8")
    assert page == tool["page"](page, dialects)


def test_the_schema_has_the_keys_of_the_reader() -> None:
    """The schema and the reader of the files know the same tables, keys and needs."""
    for name, (keys, needs, one_of) in LAYOUTS.items():
        table = SCHEMA["$defs"][name]
        assert table["properties"].keys() == keys.keys(), name
        assert set(table.get("required", ())) == set(needs), name
        named = {key for each in table.get("oneOf", ()) for key in each["required"]}
        assert named in (set(), set(one_of)), name
