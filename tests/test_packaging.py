"""The package and what publishes it: metadata, archives, workflows and forms."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import yaml

import requests_authretry

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOP: Final = Path(__file__).parent.parent
PYPROJECT: Final = (TOP / "pyproject.toml").read_text("utf-8")
PROJECT: Final[dict[str, Any]] = tomllib.loads(PYPROJECT)
ADDRESS: Final[str] = PROJECT["project"]["urls"]["Source"]
VERSION: Final[str] = PROJECT["project"]["version"]
CHANGELOG: Final = (TOP / "CHANGELOG.md").read_text("utf-8")
GITHUB: Final = TOP / ".github"
WORKFLOWS: Final[dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in (GITHUB / "workflows").glob("*.yml")
}
JOBS: Final[dict[str, Any]] = {
    f"{name}: {key}": job
    for name, workflow in WORKFLOWS.items()
    for key, job in workflow["jobs"].items()
}
STEPS: Final = [step for job in JOBS.values() for step in job.get("steps", ())]
FORMS: Final[dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml")
    if path.stem != "config"
}
MATRIX: Final = runpy.run_path(str(TOP / "tools" / "matrix.py"))


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What ``tools/package.py`` defines."""
    monkeypatch.syspath_prepend(str(TOP / "tools"))
    return runpy.run_path(str(TOP / "tools" / "package.py"))


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> str:
    """The README as setup.py gives it to a package index."""
    given: dict[str, str] = {}
    monkeypatch.setitem(sys.modules, "setuptools", SimpleNamespace(setup=given.update))
    runpy.run_path(str(TOP / "setup.py"))
    assert given["long_description_content_type"] == "text/markdown"
    return given["long_description"]


# The version


def test_the_version_is_that_of_the_installed_package() -> None:
    """``requests_authretry.__version__`` is "0.1.0" where that release is installed."""
    assert requests_authretry.__version__ == metadata.version("requests-authretry")


def test_copied_code_has_no_known_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that was copied into another program, without metadata, says "0+unknown"."""

    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    assert requests_authretry.__version__ == "0+unknown"


def test_a_misspelled_name_is_an_error() -> None:
    """``requests_authretry.Setings`` is an AttributeError, for type checkers too."""
    with pytest.raises(AttributeError, match="'requests_authretry' has no attribute 'Setings'"):
        requests_authretry.Setings  # type: ignore[attr-defined]  # noqa: B018 (it raises)


def test_the_version_costs_nothing_until_it_is_asked_for() -> None:
    """``import requests_authretry`` imports no ``importlib.metadata``."""
    code = """
import sys, requests
sys.modules.pop("importlib.metadata", None)
import requests_authretry
print("importlib.metadata" in sys.modules)
print(requests_authretry.__version__, "importlib.metadata" in sys.modules)
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True)  # noqa: S603 (ours)
    assert said.splitlines() == ["False", f"{requests_authretry.__version__} True"]


# The metadata


def test_classifiers_name_what_the_matrix_runs() -> None:
    """Python 3.14 is no classifier as long as ``tools/matrix.py`` does not run it."""
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert tuple(named) == MATRIX["PYTHONS"]
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"


def test_the_urls_lead_to_what_they_say() -> None:
    """Homepage, Documentation, Changelog, Issues and Source lie at one address, and are there."""
    urls = PROJECT["project"]["urls"]
    assert sorted(urls) == ["Changelog", "Documentation", "Homepage", "Issues", "Source"]
    assert all(url.startswith(ADDRESS) for url in urls.values())
    paths = [part for url in urls.values() for part in re.findall(r"/(?:tree|blob)/main/(.+)", url)]
    assert sorted(paths) == ["CHANGELOG.md", "docs"]
    assert all((TOP / path).exists() for path in paths)


def test_there_is_one_address() -> None:
    """Every page and form that names the project's address names that of pyproject.toml."""
    pages = [*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md"), *GITHUB.rglob("*.*")]
    name = ADDRESS.rpartition("/")[2]
    found = {
        address
        for page in pages
        for address in re.findall(rf"https://[\w.-]+/[\w.-]+/{name}\b", page.read_text("utf-8"))
    }
    assert found == {ADDRESS}


def test_the_group_dev_has_the_tests_and_the_tools(tool: dict[str, Any]) -> None:
    """``pip install --editable . --group dev`` brings all that work on the project needs."""
    group = PROJECT["dependency-groups"]["dev"]
    assert "requests-authretry[test]" in group
    assert set(tool["TOOLS"]) <= set(group)


def test_the_command_is_there() -> None:
    """The console script ``authretry`` names a function of the package."""
    module, _, function = PROJECT["project"]["scripts"]["authretry"].partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


# The page on a package index


def test_the_index_gets_no_relative_link(page: str) -> None:
    """A link to ``docs/waits.md`` becomes an address at the tag of the release."""
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []


def test_the_links_of_the_index_lead_to_files(page: str) -> None:
    """Each address of the project on the page is that of a file or folder that we have."""
    at_tag = rf"{re.escape(ADDRESS)}/(?:blob|raw)/v{re.escape(VERSION)}/([^)#]+)"
    paths = re.findall(at_tag, page)
    assert paths
    assert [path for path in paths if not (TOP / path).exists()] == []


def test_the_index_gets_the_readme_as_it_is(page: str) -> None:
    """Besides the targets of links, nothing changes: programs stand as they were written."""
    readme = (TOP / "README.md").read_text("utf-8")
    fences = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
    assert fences.findall(page) == fences.findall(readme)
    links = re.compile(r"\]\([^)]+\)")
    assert links.sub("", page) == links.sub("", readme)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[waits](docs/waits.md#why)", "[waits](https://x.test/p/blob/v1/docs/waits.md#why)"),
        ("![told](docs/told.svg)", "![told](https://x.test/p/raw/v1/docs/told.svg)"),
        ("[here](#here)", "[here](#here)"),
        ("[there](https://other.test/)", "[there](https://other.test/)"),
        ("[us](mailto:us@x.test)", "[us](mailto:us@x.test)"),
    ],
)
def test_what_becomes_of_a_link(before: str, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture is asked for as a file; addresses and anchors stay as they are."""
    monkeypatch.setitem(sys.modules, "setuptools", SimpleNamespace(setup=lambda **_: None))
    absolute = runpy.run_path(str(TOP / "setup.py"))["absolute"]
    assert absolute(before, "https://x.test/p", "v1") == after


# The archives


def test_whole_archives_have_no_fault(tool: dict[str, Any]) -> None:
    """All of the tree is in the one, all of the package in the other; metadata is no fault."""
    tree = ["tests/conftest.py", "requests_authretry/py.typed"]
    source = [*tree, "PKG-INFO", "requests_authretry.egg-info/SOURCES.txt"]
    wheel = ["requests_authretry/py.typed", "requests_authretry-1.dist-info/METADATA"]
    assert tool["faults"](tree, source, wheel) == []


def test_each_fault_of_an_archive_is_named(tool: dict[str, Any]) -> None:
    """A file that is missing is named with its archive, and so is one that is too many."""
    tree = ["tests/conftest.py", "requests_authretry/py.typed", "setup.cfg"]
    found = tool["faults"](tree, [*tree[1:2], "left.orig"], ["tests/conftest.py"])
    assert found == [
        "the source archive lacks setup.cfg",
        "the source archive lacks tests/conftest.py",
        "the source archive should not have left.orig",
        "the wheel lacks requests_authretry/py.typed",
        "the wheel should not have tests/conftest.py",
    ]


@pytest.mark.parametrize(
    ("tag", "heading", "why"),
    [
        ("v1.2.0", "## [1.2.0] - 2026-11-29", None),
        ("v1.2.1", "## [1.2.0] - 2026-11-29", "pyproject.toml has the version 1.2.0"),
        ("1.2.0", "## [1.2.0] - 2026-11-29", "pyproject.toml has the version 1.2.0"),
        ("v1.2.0", "## [1.2.0] - Unreleased", "CHANGELOG.md has no section for 1.2.0 with a date"),
        ("v1.2.0", "## [1.200] - 2026-11-29", "CHANGELOG.md has no section for 1.2.0 with a date"),
    ],
)
def test_a_tag_needs_its_version_and_its_date(
    tool: dict[str, Any], tag: str, heading: str, why: str | None
) -> None:
    """The tag v1.2.0 needs the version 1.2.0, and a section of the changelog with a date."""
    found = tool["why_not"](tag, 'name = "x"\nversion = "1.2.0"\n', f"# Changelog\n\n{heading}\n")
    assert found is why or found.startswith(why)


def test_the_changelog_begins_with_what_comes_next() -> None:
    """Its first section is the version of pyproject.toml, or what has no release yet."""
    first = re.search(r"^## \[(.+?)\]", CHANGELOG, re.MULTILINE)
    assert first is not None
    assert first[1] in {VERSION, "Unreleased"}
    assert f"\n[{VERSION}]: {ADDRESS}/releases/tag/v{VERSION}\n" in CHANGELOG


# The workflows


def test_every_workflow_is_read() -> None:
    """There is one that checks, one that releases, and each has jobs."""
    assert sorted(WORKFLOWS) == ["checks", "release"]
    assert len(JOBS) == 7


@pytest.mark.parametrize("name", JOBS)
def test_permissions_are_least(name: str) -> None:
    """A job may read the code; only the one that publishes may show who it is, and no more."""
    wanted = {"id-token": "write"} if name == "release: publish" else {"contents": "read"}
    assert JOBS[name]["permissions"] == wanted
    assert WORKFLOWS[name.partition(":")[0]]["permissions"] == {}


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.get("run", step.get("uses")))
def test_a_step_names_what_is_there(step: dict[str, Any]) -> None:
    """A command names files that exist; an action is named by the hash of a commit, not a tag."""
    if "uses" in step:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
    else:
        named = re.findall(r"(?<=\s)\.?\w+/\w[\w./-]*", step["run"])
        assert [path for path in named if not (TOP / path).is_file()] == []


def test_each_python_is_checked() -> None:
    """.ci/run and the wheel run on every Python of the matrix, the rest on the two at its ends."""
    pythons = [*MATRIX["PYTHONS"]]
    asked = {
        name: job["strategy"]["matrix"]["python"] for name, job in JOBS.items() if "strategy" in job
    }
    assert asked == {
        "checks: all": pythons,
        "checks: wheel": pythons,
        "checks: without-servers": [pythons[0], pythons[-1]],
    }
    made = JOBS["checks: all"]["steps"][1]["with"]["python-version"]
    assert re.findall(r"3\.\d+", made) == pythons


def test_a_missing_server_fails_a_run_on_linux_alone() -> None:
    """Where tests are skipped because a server is missing, the job takes CI=true back."""
    without = {name for name, job in JOBS.items() if "CI" in job.get("env", {})}
    assert without == {"checks: without-servers"}
    job = JOBS["checks: without-servers"]
    assert job["env"]["CI"] == "false"
    assert job["strategy"]["matrix"]["os"] == ["windows-latest", "macos-latest"]


def test_what_was_tried_is_published() -> None:
    """A release runs the checks of its tag, and publishes their archives without a password."""
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["checks"]["needs"] == "tag"
    assert (TOP / jobs["checks"]["uses"]).is_file()
    assert jobs["publish"]["needs"] == "checks"
    assert jobs["publish"]["environment"] == "pypi"
    assert not any("run" in step for step in jobs["publish"]["steps"])
    assert jobs["publish"]["steps"][0]["with"]["name"] == "archives"
    assert "secrets." not in (GITHUB / "workflows" / "release.yml").read_text("utf-8")
    published = [job for job in JOBS.values() if "upload-artifact" in str(job)]
    assert [job["steps"][-2]["run"] for job in published] == ["python tools/package.py --keep dist"]


# The forms


@pytest.mark.parametrize("name", ["bug", "dialect", "feature"])
def test_a_form_asks_for_something(name: str) -> None:
    """Each form has a name, a description and questions with ids of their own; one is required."""
    form = FORMS[name]
    assert {"name", "description", "body"} <= form.keys()
    questions = [each for each in form["body"] if each["type"] != "markdown"]
    assert len({each["id"] for each in questions}) == len(questions)
    assert all(each["attributes"]["label"] for each in questions)
    assert any(each.get("validations", {}).get("required") for each in questions)


def test_a_fault_comes_with_its_explanation() -> None:
    """The form for a fault requires the program, what ``explain`` says, and versions."""
    required = {
        each["id"] for each in FORMS["bug"]["body"] if each.get("validations", {}).get("required")
    }
    assert required == {"happened", "program", "explain", "versions"}


def test_dependencies_are_watched() -> None:
    """Dependabot proposes new actions and new versions of what the tools need."""
    config = yaml.safe_load((GITHUB / "dependabot.yml").read_text("utf-8"))
    watched = [each["package-ecosystem"] for each in config["updates"]]
    assert watched == ["github-actions", "pip"]
