"""The command driver's files, and its reading of exit codes."""

import json
import signal

import pytest

from testbench.drivers.command import CommandDriver, judge, signature
from testbench.errors import UsageError
from testbench.outcomes import Kind
from testbench.programs import Ended


def scenario(folder, text, **files):
    (folder / "scenario.yaml").write_text(text, encoding="utf-8")
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0, Kind.GOOD),
        (1, Kind.BAD),
        (124, Kind.BAD),
        (125, Kind.UNTESTABLE),
        (126, Kind.BAD),
        (127, Kind.BAD),
        (128, Kind.INFRA),
        (255, Kind.INFRA),
        (-signal.SIGSEGV, Kind.INFRA),
    ],
)
def test_exit_codes(code, kind):
    """0 good, 125 untestable, 1 to 127 bad, 128 and above (and death by a signal) abort."""
    assert judge(Ended(code, False, 0.1), "", "", [], 10, 1).kind is kind


def test_timeout_is_a_failure_of_its_own():
    """A program that hangs shows a defect called timeout."""
    outcome = judge(Ended(-9, True, 10.0), "", "", [], 10, 1)

    assert (outcome.kind, outcome.signature) == (Kind.BAD, "timeout")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ValueError: bad price 12.50 at 0x7f00", "ValueError: bad price 7 at 0x8a11"),
        ("KeyError: '4600000000015'", "KeyError: '1'"),
        ("File /tmp/run-1/a/b.py failed", "File /tmp/run-2/a/b.py failed"),
    ],
)
def test_signature_ignores_data(one, other):
    """Numbers, quoted texts, addresses and paths differ between runs of one failure."""
    assert signature(1, "", one, []) == signature(1, "", other, [])


def test_signature_tells_failures_apart():
    """Another exit code or another error is another failure; what a program says itself wins."""
    assert signature(1, "", "KeyError: 'a'", []) != signature(1, "", "ValueError: a", [])
    assert signature(1, "", "", []) != signature(2, "", "", [])
    assert signature(1, "12 lines differ", "", []) == signature(1, "5 others", "", []) == "exit 1"
    assert signature(1, "signature: wrong total", "Boom", []) == "exit 1: wrong total"


@pytest.mark.parametrize(
    ("kind", "content", "kept"),
    [
        ("json-list", '[1, {"a": "ё"}, [2]]', [1, [2]]),
        ("json-object", '{"a": 1, "b": [2], "c": 3}', {"a": 1, "c": 3}),
        ("lines", "one\ntwo\nthree", "one\nthree"),
    ],
)
def test_reduced_scenario_is_written_and_read_back(tmp_path, kind, content, kept):
    """Keeping elements 0 and 2 writes a file of the same format; loading it gives an equal scenario."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(), target.mkdir()
    text = f"run: [cat, '{{input}}']\nminimise: {{file: data.txt, format: {kind}}}\n"
    driver = CommandDriver()
    loaded = driver.load(scenario(source, text, data__txt=content, other__txt="stays"))
    smaller = driver.reducible(loaded).keep([0, 2])
    driver.write(smaller, target)
    written = (target / "data.txt").read_text(encoding="utf-8")

    assert (written if kind == "lines" else json.loads(written)) == kept
    assert driver.load(target).digest == smaller.digest != loaded.digest
    assert (target / "other.txt").read_text() == "stays"
    assert (smaller.size, loaded.size) == (2, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timeout: 3", "run: Field required"),
        ("run: []", "run:"),
        ("run: [x]\ntimeout: 0", "timeout:"),
        ("run: [x, '{input}']", "minimise.file must say"),
        ("run: [x]\nminimise: {file: ../data.txt, format: lines}", "inside the scenario"),
        ("run: [x]\nminimise: {file: data.txt, format: xml}", "minimise.format"),
        ("run: [x]\nminimise: {file: none.txt, format: lines}", "none.txt"),
        ("run: [x]\nminimise: {file: data.txt, format: json-list}", "is not JSON"),
        ("run: [x]\nretries: 3", "retries: Extra inputs"),
        ("- run", "must be a mapping"),
    ],
)
def test_wrong_scenarios_are_named(tmp_path, text, said):
    """Each complaint names the file and what is wrong in it."""
    with pytest.raises(UsageError) as caught:
        CommandDriver().load(scenario(tmp_path, text, data__txt="not json"))

    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_scenario_that_says_nothing_is_not_reducible(tmp_path):
    """Without `minimise:` nothing may be left out."""
    driver = CommandDriver()

    assert driver.reducible(driver.load(scenario(tmp_path, "run: [x]"))) is None


def test_environment_values_are_text(tmp_path):
    """YAML's numbers in env become what a shell would see."""
    loaded = CommandDriver().load(scenario(tmp_path, "run: [x]\nenv: {DEBUG: 1}"))

    assert loaded.description.env == {"DEBUG": "1"}
