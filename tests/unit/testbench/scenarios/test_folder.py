"""A scenario on disk is what was written, and a wrong one is refused with file and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbench.scenarios import Scenario, ScenarioError, read, write


def test_written_scenario_reads_back_equal(scenario: Scenario, tmp_path: Path) -> None:
    """read(write(x)) == x, with its documents and its digest."""
    write(scenario, tmp_path / "s")
    again = read(tmp_path / "s")

    assert again == scenario
    assert again.digest == scenario.digest
    assert again.contents == scenario.contents
    assert read(tmp_path / "s" / "scenario.json") == scenario


def test_digest_is_of_what_decides_the_run(scenario: Scenario) -> None:
    """Title and notes are for people; an event's payload and a document decide."""
    renamed = scenario.replaced(title="other", notes=("a",))
    shorter = scenario.replaced(events=scenario.events[:-1])
    name = next(iter(scenario.contents))
    changed = scenario.replaced(contents={name: scenario.contents[name] + b" "})

    assert renamed.digest == scenario.digest
    assert len({scenario.digest, shorter.digest, changed.digest}) == 3


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        *folders, last = path.split(".")
        place: Any = record
        for name in folders:
            place = place[int(name)] if name.isdigit() else place[name]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("schema", 2), "schema: 2 is not known"),
        (_set("zone", "Mars/Base"), "zone: 'Mars/Base' is not an IANA time zone"),
        (_set("events.0.type", "receipt.fly"), "events.0.type"),
        (_set("events.2.payload", {"tab": 1}), "tab_number"),
        (_set("events.2.register", None), "events.2: shift.open is an event of a register"),
        (_set("events.0.register", 1), "events.0: erp.goods is an event of the server"),
        (_set("events.1.seq", 1), "seq must grow"),
        (_set("events.0.at", "2025-11-23T10:00:00"), "events.0.at"),
        (_set("events.0.payload", {"document": "no.xml", "ti": "1"}), "needs document 'no.xml'"),
        (_set("documents", {"../../etc/passwd": "0" * 64}), "plain file name"),
        (_set("documents", {"no.xml": "0" * 64}), "'no.xml' is not in"),
        (_set("snapshot.sha256", "0" * 64), "snapshot: sha256 is not that of the documents"),
        (_set("extra", 1), "extra"),
        (_set("oracle.stated", [{"receipt": "1/1/1", "net": "1.00"}]), "receipt takes one or more of"),
    ],
)
def test_wrong_field_is_named(
    scenario: Scenario, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    """What is wrong is refused, and the message names the file, the field and what is allowed."""
    write(scenario, tmp_path)
    file = tmp_path / "scenario.json"
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))

    with pytest.raises(ScenarioError) as caught:
        read(tmp_path)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)


def test_changed_document_is_refused(scenario: Scenario, tmp_path: Path) -> None:
    """A document that is not the one of the scenario is never played."""
    write(scenario, tmp_path)
    name = next(iter(scenario.documents))
    (tmp_path / "documents" / name).write_bytes(b"<goods-catalog/>")

    with pytest.raises(ScenarioError, match=f"{name} does not have the sha256"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_what_is_no_scenario_is_refused(tmp_path: Path, text: str) -> None:
    """Files that are no JSON object end in a clear error."""
    (tmp_path / "scenario.json").write_text(text)

    with pytest.raises(ScenarioError, match=r"scenario\.json"):
        read(tmp_path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    """A path that is not there is named."""
    with pytest.raises(ScenarioError, match="nowhere"):
        read(tmp_path / "nowhere")
