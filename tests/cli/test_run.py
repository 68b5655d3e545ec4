"""``run`` and the environment switch: programs as they are, and no line in them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from requests_authretry._log import VARIABLE as LOG
from requests_authretry.cli import _run, divided, main
from requests_authretry.cli._run import SWITCH, command_of, environment, interpreter_options

if TYPE_CHECKING:
    from requests_authretry.cli.demo_server import DemoServer

LEGACY = Path(__file__).parent / "legacy"
RUN = ("-m", "requests_authretry", "run")


def python(
    *arguments: object, folder: Path, given: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """A Python of its own, with these variables besides."""
    return subprocess.run(  # noqa: S603 (ours)
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONFAULTHANDLER": "1", **variables},
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def written(folder: Path, name: str, text: str) -> Path:
    """A file of that text."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


# An application that nobody touches


@pytest.fixture
def legacy(demo_server: DemoServer, httpbin_url: str, tmp_path: Path) -> dict[str, str]:
    """Its variables, with a key that is revoked; a newer one is in a file."""
    old = demo_server.issue()
    demo_server.revoke()
    demo_server.guarded = True
    demo_server.answer(429, [("Retry-After", "1")])
    demo_server.answer(503)
    written(tmp_path, "key.txt", demo_server.issue() + "\n")
    written(
        tmp_path,
        "settings.toml",
        f"""
        timeout = 10
        [[site]]
        origins = ["{httpbin_url}"]
        token = "file:key.txt"
        adopt = true
        """,
    )
    return {"LEGACY_URL": httpbin_url, "LEGACY_KEY": old}


REPORT = """\
status 200 today
names ['0', '1', '2', '3', '4', '5', '6', '7'] today
stored Ada today
"""


@pytest.mark.parametrize("way", [pytest.param("run", marks=pytest.mark.slow), "switch"])
def test_a_legacy_application_survives(
    way: str, demo_server: DemoServer, legacy: dict[str, str], tmp_path: Path
) -> None:
    """A revoked token, a 429 and a 503 are not noticed, without a change of the program."""
    config = tmp_path / "settings.toml"
    if way == "run":
        command: tuple[object, ...] = (*RUN, "--config", config, LEGACY / "main.py", "today")
        ran = python(*command, folder=tmp_path, **legacy)
    else:
        variables = {**environment(os.environ, str(config)), **legacy}
        ran = python(LEGACY / "main.py", "today", folder=tmp_path, **variables)
    assert (ran.stderr, ran.stdout, ran.returncode) == ("", REPORT, 0)
    statuses = [request.status for request in demo_server.seen]
    assert statuses[:3] == [429, 503, 401]
    assert statuses.count(401) == 1
    assert statuses.count(200) == 10


def test_without_it_the_application_fails(
    demo_server: DemoServer, legacy: dict[str, str], tmp_path: Path
) -> None:
    """The same, run by Python alone: each job is lost."""
    ran = python(LEGACY / "main.py", "today", folder=tmp_path, **legacy)
    assert ran.returncode == 2
    assert "status 429 today" in ran.stdout
    assert {request.status for request in demo_server.seen} == {429, 503, 401}


# As Python itself

PROGRAMS = {
    "arguments": "import sys; print(sys.argv, sys.path[0], __name__, __file__, __spec__)",
    "status": "import sys; sys.exit(3)",
    "message": "import sys; sys.exit('no more')",
    "quiet": "import os; os._exit(7)",
    "traceback": """
        def broken():
            return 1 / 0
        broken()
        """,
    "in-a-thread": """
        import threading
        threading.Thread(target=lambda: 1 / 0).start()
        """,
    "interrupted": """
        import os, signal
        os.kill(os.getpid(), signal.SIGINT)
        """,
    "killed": """
        import os, signal
        os.kill(os.getpid(), signal.SIGTERM)
        """,
    "input": "print(input().upper())",
    "exit-hook": "import atexit; atexit.register(print, 'bye')",
    "pickles": """
        import pickle
        class Thing: pass
        print(type(pickle.loads(pickle.dumps(Thing()))).__module__)
        """,
    "processes": """
        import multiprocessing, sys
        def child(queue):
            import requests
            queue.put((__name__, len(sys.argv)))
        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            queue = context.Queue()
            process = context.Process(target=child, args=(queue,))
            process.start()
            print(queue.get(timeout=120))
            process.join()
        """,
    "fails-to-import": "import no_such_module_at_all",
    "syntax": "def broken(:",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in {"arguments", "status"} else pytest.mark.slow)
        for name in PROGRAMS
    ],
)
def test_a_script_is_what_it_was(name: str, tmp_path: Path) -> None:
    """Output, tracebacks, arguments and exit status are those of Python alone."""
    script = written(tmp_path, "folder/script.py", PROGRAMS[name])
    with_it = python(*RUN, script, "-m", "--config", "x", folder=tmp_path, given="hello\n")
    without = python(script, "-m", "--config", "x", folder=tmp_path, given="hello\n")
    assert (with_it.stdout, with_it.stderr) == (without.stdout, without.stderr)
    assert with_it.returncode == without.returncode


@pytest.mark.slow
def test_modules_packages_folders_and_archives(tmp_path: Path) -> None:
    """Whatever Python runs is run alike."""
    shown = "import sys; print(sys.argv[1:], sys.path[0], __name__, __package__)"
    written(tmp_path, "plain.py", shown)
    written(tmp_path, "package/__init__.py", "")
    written(tmp_path, "package/__main__.py", shown)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", shown)
    for program in (["-m", "plain"], ["-m", "package"], ["package"], ["archive.zip"]):
        with_it = python(*RUN, *program, "a", "-b", folder=tmp_path)
        without = python(*program, "a", "-b", folder=tmp_path)
        assert without.returncode == 0, without.stderr
        assert (with_it.stdout, with_it.stderr) == (without.stdout, without.stderr)


@pytest.mark.slow
def test_the_options_of_python_stay(tmp_path: Path) -> None:
    """What stands before ``-m requests_authretry`` holds for the program."""
    script = written(
        tmp_path,
        "script.py",
        "import sys; print(sys.flags.optimize, sys.warnoptions, sys._xoptions)",
    )
    ran = python("-W", "error", "-X", "dev", "-Om", *RUN[1:], script, folder=tmp_path)
    assert ran.stdout == "1 ['default', 'error'] {'dev': True}\n"


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_options_that_switch_it_off_are_refused(flag: str, tmp_path: Path) -> None:
    """Where Python heeds no environment, it says so instead of doing nothing."""
    script = written(tmp_path, "script.py", "print('ran')")
    ran = python(flag, *RUN, script, folder=tmp_path)
    if "No module named" not in ran.stderr:  # there we, or requests, are not to be found at all
        assert "leave out what run needs" in ran.stderr
        assert ran.returncode == 2
    assert ran.stdout == ""


@pytest.mark.slow
def test_a_signal_from_outside_reaches_the_program(tmp_path: Path) -> None:
    """The process that was started is the program: what is sent to it, it gets."""
    script = written(
        tmp_path,
        "script.py",
        """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        print("ready", flush=True)
        for _ in range(600):  # a signal just before a sleep would wait for its end
            time.sleep(0.1)
        """,
    )
    with subprocess.Popen(  # noqa: S603 (ours)
        [sys.executable, *RUN, str(script)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 5


# The switch

LOADED = """
import sys
early = {"requests", "urllib3", "ssl", "requests_authretry"}.intersection(sys.modules)
from requests import Session
import requests
finders = [finder for finder in sys.meta_path if type(finder).__name__ == "_Finder"]
print(early, hasattr(Session.send, "__wrapped__"), finders, vars(requests.__loader__).keys())
"""


def shown(ran: subprocess.CompletedProcess[str]) -> str:
    """What it printed, with nothing on stderr."""
    assert ran.stderr == ""
    return ran.stdout


@pytest.mark.slow
def test_nothing_is_loaded_before_requests_is(tmp_path: Path) -> None:
    """Nothing of ours, and nothing that gevent has to patch; and nothing is left of the hook."""
    script = written(tmp_path, "script.py", LOADED)
    plain = shown(python(script, folder=tmp_path))
    assert plain.startswith("set() False []")
    assert shown(python(*RUN, script, folder=tmp_path)) == plain.replace("False", "True")


@pytest.mark.parametrize(
    "value", ["0", *(pytest.param(off, marks=pytest.mark.slow) for off in ("", "off", "no"))]
)
def test_it_is_off_unless_asked_for(value: str, tmp_path: Path) -> None:
    """The folder on the path alone does nothing."""
    script = written(tmp_path, "script.py", LOADED)
    variables = {**environment(os.environ, None), "REQUESTS_AUTHRETRY": value}
    assert shown(python(script, folder=tmp_path, **variables)).startswith("set() False []")


@pytest.mark.parametrize(
    ("value", "way"), [("yess", "did you mean yes?"), ("enable", "write 1 for on, 0 for off")]
)
def test_a_switch_that_is_neither_on_nor_off_is_said(value: str, way: str, tmp_path: Path) -> None:
    """``REQUESTS_AUTHRETRY=yess`` installs nothing, says so, and names the nearest value."""
    script = written(tmp_path, "script.py", LOADED)
    variables = {**environment(os.environ, None), "REQUESTS_AUTHRETRY": value}
    ran = python(script, folder=tmp_path, **variables)
    assert ran.stdout.startswith("set() False []")
    assert ran.stderr == (
        f"requests_authretry: REQUESTS_AUTHRETRY={value} is neither on nor off, and nothing is "
        f"installed; {way}\n"
    )


def test_another_sitecustomize_runs_as_well(tmp_path: Path) -> None:
    """The one that would have been found without ours is found behind it, its faults included."""
    theirs = written(tmp_path, "site/sitecustomize.py", "print('theirs', __file__)")
    script = written(tmp_path, "script.py", "import sitecustomize; print(sitecustomize.__file__)")
    before = {"PYTHONPATH": os.pathsep.join([str(theirs.parent), os.environ.get("PYTHONPATH", "")])}
    variables = environment(before, None)
    assert shown(python(script, folder=tmp_path, **variables)) == f"theirs {theirs}\n{theirs}\n"
    theirs.write_text("import no_such_module_at_all")
    assert "no_such_module_at_all" in python(script, folder=tmp_path, **variables).stderr


def test_a_python_without_the_library_goes_on(tmp_path: Path) -> None:
    """An interpreter that only inherits the variables works as ever."""
    written(tmp_path, "requests.py", "print('their own')")
    script = written(tmp_path, "script.py", "import requests; print('went on')")
    written(tmp_path, "requests_authretry.py", "raise ModuleNotFoundError(name=__name__)")
    ran = python(script, folder=tmp_path, **environment(os.environ, None))
    assert shown(ran) == "their own\nwent on\n"


def test_children_have_it_too(tmp_path: Path) -> None:
    """A program that a program starts is run alike."""
    child = written(tmp_path, "child.py", LOADED)
    parent = written(
        tmp_path,
        "parent.py",
        f"import subprocess, sys; subprocess.run([sys.executable, {str(child)!r}])",
    )
    assert shown(python(*RUN, parent, folder=tmp_path)).startswith("set() True []")


@pytest.mark.parametrize(
    "before",
    ["import requests_authretry", "from importlib import util; util.find_spec('requests')"],
)
def test_it_is_on_however_requests_is_found(before: str, tmp_path: Path) -> None:
    """This library may be imported first, or the program asks whether there is a requests."""
    program = f"{before}; import requests; print(requests.Session.send.__code__.co_filename)"
    assert "install.py" in shown(python(*RUN, "-c", program, folder=tmp_path))


def test_a_command_of_ours_runs_as_a_program(tmp_path: Path) -> None:
    """``authretry run -m requests_authretry where`` is no circle of programs."""
    script = written(
        tmp_path, "authretry", "import sys; from requests_authretry.cli import main; main()"
    )
    arguments = (script, "run", "-m", "requests_authretry", "where")
    assert shown(python(*arguments, folder=tmp_path)) == f"{SWITCH}\n"


@pytest.mark.skipif(os.name != "posix", reason="there is no SIGPIPE")
def test_a_program_meets_the_usual_signals(tmp_path: Path) -> None:
    """``authretry run sh -c 'yes | head -1'`` is as quiet as without: SIGPIPE ends ``yes``."""
    ran = python(*RUN, "sh", "-c", "kill -PIPE $$; echo ignored", folder=tmp_path)
    assert (ran.returncode, shown(ran)) == (-signal.SIGPIPE, "")


@pytest.mark.slow
def test_faulty_settings_are_told_before_the_program_runs(tmp_path: Path) -> None:
    """``run`` names each fault and starts nothing; the switch fails where requests is imported."""
    script = written(tmp_path, "script.py", "print('ran')\nimport requests")
    config = written(tmp_path, "settings.toml", "timeot = 3\n")
    ran = python(*RUN, "--config", config, script, folder=tmp_path)
    assert (ran.stdout, ran.returncode) == ("", 2)
    assert "settings.toml:1: timeot is unknown; did you mean timeout?" in ran.stderr
    ran = python(script, folder=tmp_path, **environment(os.environ, str(config)))
    assert (ran.stdout, ran.returncode) == ("ran\n", 1)
    assert "timeot is unknown" in ran.stderr


@pytest.mark.parametrize(
    ("options", "given", "gets"),
    [
        (["--verbose"], None, "info"),
        (["--verbose"], "", "info"),
        (["--verbose"], "Debug", "Debug"),
        (["--verbose"], "inof", "info"),
        ([], "inof", None),
        ([], "error", "error"),
        ([], None, None),
    ],
)
def test_verbose_shows_the_log(options: list[str], given: str | None, gets: str | None) -> None:
    """``--verbose`` asks for INFO; a level that the user gave wins, and one that is none does not.

    That it is none was said when the command began, and is not said again by the program.
    """
    before = {} if given is None else {LOG: given}
    assert environment(before, None, is_verbose=bool(options)).get(LOG) == gets


def test_a_verbose_program_shows_what_it_logs(tmp_path: Path) -> None:
    """Standard error has the records at INFO, and the program's arguments are its own."""
    script = written(
        tmp_path,
        "script.py",
        """
        import logging, sys, requests
        logging.getLogger("requests_authretry").info("waits")
        print(sys.argv[1:])
        """,
    )
    ran = python(*RUN, "--verbose", script, "--verbose", folder=tmp_path)
    assert ran.stdout == "['--verbose']\n"
    logged, summary = ran.stderr.splitlines()
    assert logged.endswith(" INFO requests_authretry: waits")
    assert summary == "requests_authretry: no call was made"


# Its parts


@pytest.mark.parametrize(
    ("arguments", "ours"),
    [
        (["run", "script.py", "--config", "x"], 1),
        (["run", "--config", "f", "script.py"], 3),
        (["run", "--config=f", "-m", "module", "-h"], 2),
        (["run", "--verbose", "--config", "f", "script.py", "--verbose"], 4),
        (["run", "-h"], 2),
        (["run"], 1),
        (["run", "--config"], 3),
        (["run", "-c", "print()", "--verbose"], 1),
        (["run", "--verbose", "-cprint()"], 2),
        (["run", "-"], 1),
        (["--config", "f", "run", "--verbose", "script.py", "--config", "x"], 4),
        (["--config=f", "run", "script.py"], 2),
        (["check", "script.py", "run", "x"], 4),
        (["--config", "run", "check"], 3),
    ],
)
def test_where_the_program_begins(arguments: list[str], ours: int) -> None:
    """What is ours ends with the script's name, -m or -c; of other commands all is ours."""
    assert divided(arguments) == (arguments[:ours], arguments[ours:])


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["python", "-m", "requests_authretry", "run"], []),
        (["python", "-X", "dev", "-um", "requests_authretry", "run", "x"], ["-X", "dev", "-u"]),
        (["python", "-W", "m", "-m", "requests_authretry"], ["-W", "m"]),
        (["python", "-W", "error", "-bm", "requests_authretry"], ["-W", "error", "-b"]),
        (["python", "script.py"], []),
        (["python", "bin/authretry", "run", "-m", "requests_authretry", "check"], []),
    ],
)
def test_the_options_before_us(arguments: list[str], options: list[str]) -> None:
    """What was given to Python is given to it again."""
    assert interpreter_options(arguments) == options


def test_two_dashes_stand_before_a_program() -> None:
    """They are not given to it: ``run -- -m module -- x`` runs the module with ``-- x``."""
    assert divided(["run", "--verbose", "--", "-m", "module", "--", "x"]) == (
        ["run", "--verbose"],
        ["-m", "module", "--", "x"],
    )


@pytest.mark.parametrize("arguments", [["run"], ["run", "-m"], ["run", "-c"], ["run", "--"]])
def test_nothing_to_run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command without a program is refused."""
    assert main(arguments) == 2
    assert "nothing to run" in capsys.readouterr().err


def test_where(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the folder of the switch."""
    assert main(["where"]) == 0
    assert capsys.readouterr().out == f"{SWITCH}\n"
    assert (SWITCH / "sitecustomize.py").exists()


def test_the_program_takes_this_process(
    taken: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On POSIX no process of ours stays behind."""
    monkeypatch.setattr(sys, "orig_argv", ["python", "-u", *RUN, "x.py"])
    monkeypatch.setenv("PYTHONPATH", "mine")
    config = written(tmp_path, "settings.toml", "timeout = 3\n")
    with pytest.raises(SystemExit):
        main(["run", "--config", str(config), "x.py", "a"])
    ((program, command, variables),) = taken
    assert (program, command) == (sys.executable, [sys.executable, "-u", "x.py", "a"])
    assert variables["PYTHONPATH"] == os.pathsep.join([str(SWITCH), "mine"])
    assert variables["REQUESTS_AUTHRETRY_CONFIG"] == str(config)


# Commands by name


def command(folder: Path, name: str, first: str) -> Path:
    """An executable file that begins with this line."""
    path = written(folder, name, f"{first}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """An environment with a script of Python and a program, and a PATH with another program."""
    folders = {name: tmp_path / name for name in ("scripts", "path", "here")}
    for folder in folders.values():
        folder.mkdir()
    monkeypatch.setattr(_run, "get_path", lambda _: str(folders["scripts"]))
    monkeypatch.setattr(sys, "executable", str(folders["scripts"] / "python"))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-u", *RUN])
    monkeypatch.setenv("PATH", str(folders["path"]))
    monkeypatch.chdir(folders["here"])
    return folders


def test_a_console_script_of_this_environment_is_run_by_this_python(
    places: dict[str, Path],
) -> None:
    """``run flask`` is ``python ENVIRONMENT/bin/flask``, with the options of this Python."""
    flask = command(places["scripts"], "flask", "#!/env/bin/python3.11")
    assert command_of(["flask", "run"]) == [sys.executable, "-u", str(flask), "run"]


def test_other_commands_are_run_as_they_are(places: dict[str, Path]) -> None:
    """A program that is no script of Python, and any command of PATH, begins by itself."""
    tool = command(places["scripts"], "tool", "#!/bin/sh")
    make = command(places["path"], "make", "#!/usr/bin/python")
    assert command_of(["tool", "-x"]) == [str(tool), "-x"]
    assert command_of(["make"]) == [str(make)]


@pytest.mark.parametrize("what", ["flask", "flask/__main__.py"])
def test_a_script_here_goes_before_a_command(places: dict[str, Path], what: str) -> None:
    """A file, or a folder that Python runs, is run as Python would run it."""
    command(places["scripts"], "flask", "#!/env/bin/python")
    written(places["here"], what, "")
    assert command_of(["flask"]) == [sys.executable, "-u", "flask"]


def test_a_folder_that_is_no_program_hides_no_command(places: dict[str, Path]) -> None:
    """``run celery`` beside a package ``celery/`` finds the command."""
    celery = command(places["scripts"], "celery", "#!/env/bin/python")
    (places["here"] / "celery").mkdir()
    assert command_of(["celery"]) == [sys.executable, "-u", str(celery)]


@pytest.mark.parametrize("name", ["missing.py", "folder/missing", "-m", "-"])
def test_python_says_itself_what_it_cannot_run(places: dict[str, Path], name: str) -> None:
    """What looks like a script is not looked for among the commands."""
    assert places
    assert command_of([name]) == [sys.executable, "-u", name]


@pytest.mark.usefixtures("places")
def test_a_name_that_leads_nowhere_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is started, and the exit status is 2."""
    assert main(["run", "flaks"]) == 2
    said = "flaks is no file here, and no command of this environment or PATH\n"
    assert capsys.readouterr().err == said


def test_a_command_that_cannot_be_run_is_told(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The system's own words, and exit status 2, in place of a traceback."""
    command(places["path"], "broken", "#!/no/such/interpreter")
    assert main(["run", "broken"]) == 2
    assert "broken cannot be run: No such file or directory\n" in capsys.readouterr().err


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have taken the place of this process, each time."""
    found: list[Any] = []

    def execve(*given: object) -> None:
        found.append(given)
        sys.exit(0)

    monkeypatch.setattr(os, "execve", execve)
    return found


def test_observe_is_verbose(taken: list[Any]) -> None:
    """``--observe`` sets the setting, and tells: one who only looks wants to see."""
    with pytest.raises(SystemExit):
        main(["run", "--observe", "x.py"])
    ((_, _, variables),) = taken
    assert variables["REQUESTS_AUTHRETRY_OBSERVE"] == "true"
    assert variables["REQUESTS_AUTHRETRY_STORY"] == "1"
    assert variables[LOG] == "info"


def test_config_may_stand_before_run(taken: list[Any], tmp_path: Path) -> None:
    """``authretry --config FILE run`` is ``authretry run --config FILE``; the last one counts."""
    first, last = (written(tmp_path, name, "timeout = 3\n") for name in ("a.toml", "b.toml"))
    for given in ([], ["--config", str(last)]):
        with pytest.raises(SystemExit):
            main(["--config", str(first), "run", *given, "x.py"])
    configs = [variables["REQUESTS_AUTHRETRY_CONFIG"] for _, _, variables in taken]
    assert configs == [str(first), str(last)]


STORIES = r"""
\S+ \S+ INFO requests_authretry: GET \S+/get waits \S+ s: retry_after, as the server asked
GET \S+/get: 200 after 2 attempts in \S+ s
  1\. 429 in \S+ s: throttled \(the server asked for 2 s\)
     waited \S+ s: retry_after, as the server asked
(     waited .*
)?  2\. 200 in \S+ s: final answer
  waited .*
requests_authretry: 2 calls, 3 attempts, \S+ s waited; in trouble: 1, of which 1 ended well
"""


@pytest.mark.slow
def test_a_verbose_program_tells_its_stories(
    demo_server: DemoServer, httpbin_url: str, tmp_path: Path
) -> None:
    """The call in trouble has its story, a good one has none, and all are summed up at the end."""
    demo_server.answer(429, [("Retry-After", "2")])
    code = "import requests, sys; [requests.get(sys.argv[1] + '/get?key=s3cret') for _ in '12']"
    ran = python(*RUN, "--verbose", "-c", code, httpbin_url, folder=tmp_path)
    assert (ran.stdout, ran.returncode) == ("", 0)
    assert re.fullmatch(STORIES.lstrip(), ran.stderr)


@pytest.mark.slow
def test_an_observed_program_gets_what_it_would_have_got(
    demo_server: DemoServer, httpbin_url: str, tmp_path: Path
) -> None:
    """A 503 is handed out after one request, and told."""
    demo_server.answer(503)
    code = "import requests, sys; print(requests.get(sys.argv[1] + '/get').status_code)"
    ran = python(*RUN, "--observe", "-c", code, httpbin_url, folder=tmp_path)
    assert (ran.stdout, ran.returncode) == ("503\n", 0)
    assert [request.status for request in demo_server.seen] == [503]
    assert "/get: 503 after 1 attempt in" in ran.stderr
    assert "only observed: would retry after" in ran.stderr
    summary = "requests_authretry, only observing: 1 call, 1 attempt; in trouble: 1, of which 0"
    assert ran.stderr.splitlines()[-1] == f"{summary} ended well"
