"""Evidence becomes a scenario; what is hostile or missing is noted, never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from testbench.oracles import documents
from testbench.scenarios import EvidenceError, Scenario, catalog, from_evidence

from .conftest import APPLIED, CATALOG, IMPORT, SALE, entry  # type: ignore[import-not-found]

Write = Callable[..., Path]


def told(scenario: Scenario) -> list[tuple[int | None, str, str]]:
    return [(event.register_, event.unit, event.type) for event in scenario.events]


def test_journals_are_interleaved_by_time(evidence: Write, package: dict[str, bytes]) -> None:
    """Package, exchange and the cashier's work come in the order of their times, with unique units."""
    scenario = from_evidence(evidence([IMPORT], [SALE[0], APPLIED, *SALE[1:]], documents=package))

    assert told(scenario) == [
        (1, "shift:1/248", "shift.open"),
        (None, "packet:77", "erp.goods"),
        (1, "sync:1/3", "sync"),
        (1, "receipt:1/248/69", "receipt.open"),
        (1, "receipt:1/248/69", "receipt.add"),
        (1, "receipt:1/248/69", "receipt.pay"),
        (1, "receipt:1/248/69", "receipt.close"),
        (1, "sync:1/9", "sync"),
    ]
    assert scenario.contents["package-1.xml"] == package["products-77-1.xml"]
    assert scenario.events[0].at.isoformat() == "2025-11-23T10:00:01+03:00"
    assert (scenario.shop, scenario.zone, scenario.registers) == (101, "Europe/Moscow", (1,))
    assert scenario.notes == ()


def test_each_host_keeps_its_order(evidence: Write, package: dict[str, bytes]) -> None:
    """A register whose clock went back is still played in the order of its journal."""
    back = [SALE[0], {**SALE[1], "at": "2025-11-23T09:00:00+03:00"}, *SALE[2:]]
    scenario = from_evidence(evidence([IMPORT], back, documents=package))

    assert [event.type for event in scenario.events if event.register_ == 1] == [
        "shift.open",
        "receipt.open",
        "receipt.add",
        "receipt.pay",
        "receipt.close",
        "sync",
    ]


def test_window_that_starts_in_a_shift_gets_shift_and_catalogue(evidence: Write) -> None:
    """What happened before the window is set up: catalogue, exchange, the open shift; and it is noted."""
    scenario = from_evidence(evidence([], SALE[1:], json.dumps(CATALOG).encode()))

    assert told(scenario)[:4] == [
        (None, "packet:before", "erp.goods"),
        (1, "sync:1/before", "sync"),
        (1, "shift:1/248", "shift.open"),
        (1, "receipt:1/248/69", "receipt.open"),
    ]
    (good,) = documents.goods_catalog(scenario.contents["catalogue-before.xml"], None).goods  # type: ignore[arg-type]
    assert good.barcodes == ("4600000000015",)
    assert any("shift 248 was open" in note for note in scenario.notes)
    assert any("catalog.json" in note for note in scenario.notes)


def test_window_that_starts_in_a_receipt_gets_the_receipt(evidence: Write) -> None:
    """A receipt that was open before the window is opened, and the note says that lines are missing."""
    scenario = from_evidence(evidence([], SALE[2:], json.dumps(CATALOG).encode()))

    assert [kind for _, _, kind in told(scenario)][2:5] == ["shift.open", "receipt.open", "receipt.add"]
    assert any("first lines are not known" in note for note in scenario.notes)


def test_refused_actions_are_played_too(evidence: Write, package: dict[str, bytes]) -> None:
    """What the register refused is part of what was done; it invents no state."""
    refused = {**entry(1, "receipt.open", "", None, kind="sale"), "result": {"ok": False}}
    early = {**entry(4, "receipt.close", "receipt:69"), "result": {"ok": False}}
    journal = [refused, *SALE[:1], early, *SALE[1:]]
    scenario = from_evidence(evidence([IMPORT], journal, documents=package))

    kinds = [kind for register, _, kind in told(scenario) if register == 1]
    assert kinds.count("receipt.open") == 2
    assert kinds.count("shift.open") == 1


def test_missing_document_is_noted(evidence: Write) -> None:
    """A package without its document cannot be played: noted, not invented."""
    scenario = from_evidence(evidence([IMPORT], SALE))

    assert any("its document was not collected" in note for note in scenario.notes)
    assert "erp.goods" not in [kind for _, _, kind in told(scenario)]


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "null",
        "[" * 100_000,
        '{"seq": 1, "at": "2025-11-23T10:00:00", "type": "sync"}',
        '{"seq": 1, "at": "yesterday", "type": "sync"}',
        '{"at": "2025-11-23T10:00:00+03:00", "type": "sync"}',
        '{"seq": 1e400, "at": "2025-11-23T10:00:00+03:00", "type": "sync"}',
        json.dumps(entry(3, "receipt.pay", "receipt:69", type="bitcoin", amount=1)),
        json.dumps(entry(3, "receipt.pay", "receipt:69", type="cash", amount=10**30)),
        json.dumps(entry(3, "receipt.add", "receipt:69", barcode={"a": 1})),
        json.dumps(entry(3, "rm -rf", "receipt:69")),
        '"' + "x" * 1_100_000 + '"',
        "\x00\ufffe",
    ],
)
def test_hostile_line_is_noted_and_skipped(evidence: Write, package: dict[str, bytes], line: str) -> None:
    """One bad line costs that line: the rest is the scenario, and the notes say so."""
    clean = from_evidence(evidence([IMPORT], SALE, documents=package))
    scenario = from_evidence(evidence([IMPORT], [SALE[0], line, *SALE[1:]], documents=package))

    assert told(scenario) == told(clean)
    assert len(scenario.notes) == 1


def test_hostile_document_is_played_as_it_was(evidence: Write) -> None:
    """A document that cannot be read may be the defect itself: it is kept as bytes, and noted."""
    bomb = b'<!DOCTYPE a [<!ENTITY b "c">]><goods-catalog>&b;</goods-catalog>'
    scenario = from_evidence(evidence([IMPORT], SALE, documents={"products-77-1.xml": bomb}))

    assert scenario.contents["package-1.xml"] == bomb
    assert any("cannot be read" in note for note in scenario.notes)


def test_paths_do_not_leave_the_folder(evidence: Write, tmp_path: Path) -> None:
    """Names in evidence that point elsewhere are not followed."""
    (tmp_path / "secret.xml").write_text("<goods-catalog/>")
    outside = entry(2, "import.done", "packet:1", None, ti="1", status=3, document="../../../secret.xml")
    folder = evidence([outside], SALE)
    (folder / "files/s1-server/catalog.json").symlink_to(tmp_path / "secret.xml")
    hosts = [{"name": "../../evil", "role": "server"}, {"name": "s1-r1", "role": "register", "register": 1}]
    scenario = from_evidence(evidence([outside], SALE, hosts=hosts))

    assert scenario.contents == {}
    assert any("evil" in note for note in scenario.notes)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"schema": 2, "product": "set10"}', '{"schema": 1, "product": "set10"}']
)
def test_folder_that_is_no_evidence_is_refused(tmp_path: Path, text: str) -> None:
    """Without a usable evidence.json there is nothing to make a scenario from."""
    (tmp_path / "evidence.json").write_text(text)

    with pytest.raises(EvidenceError, match=r"evidence\.json"):
        from_evidence(tmp_path)


def test_empty_journals_are_refused(evidence: Write) -> None:
    """No usable entry at all: the way out is a longer window."""
    with pytest.raises(EvidenceError, match="no journal has a usable entry"):
        from_evidence(evidence([], []))


CHEESE = {
    "marking": "100504",
    "name": "Cheese",
    "type": "ProductWeightEntity",
    "vat": 10,
    "plu": 4,
    "barcodes": [{"code": "2100004", "count": 1}],
    "prices": [{"number": 1, "department": 1, "price": 59990, "begin": None, "end": None}],
}


def weighed() -> list[dict[str, object]]:
    """A sale of 512 g with the label that the scales printed: 21, PLU 4, grams, check digit."""
    return [SALE[0], SALE[1], entry(6, "receipt.add", "receipt:69", barcode="2100004005126"), *SALE[3:]]


def test_label_of_scales_is_sold_by_its_package(evidence: Write, package: dict[str, bytes]) -> None:
    """A label's barcode holds the weight, so no document has it as it is; its good is not missed for that."""
    listed = catalog.document(catalog.parse(json.dumps({"goods": [CHEESE]}).encode()))
    scenario = from_evidence(evidence([IMPORT], weighed(), documents={next(iter(package)): listed}))

    assert scenario.notes == ()
    assert "catalogue-before.xml" not in scenario.contents


@pytest.mark.parametrize("barcodes", [[{"code": "2100004", "count": 1}], []])
def test_label_of_scales_finds_its_good_in_the_catalogue(evidence: Write, barcodes: list[object]) -> None:
    """A weighed good of before the window comes from the catalogue, by its code or by its PLU."""
    shown = {"goods": [{**CHEESE, "barcodes": barcodes}]}
    scenario = from_evidence(evidence([], weighed(), json.dumps(shown).encode()))

    goods = documents.goods_catalog(
        scenario.contents["catalogue-before.xml"], ZoneInfo("Europe/Moscow")
    ).goods
    assert [good.article for good in goods] == ["100504"]


def test_label_of_an_unknown_good_is_noted(evidence: Write, package: dict[str, bytes]) -> None:
    """A label whose good nobody brings is said to be missing."""
    scenario = from_evidence(evidence([IMPORT], weighed(), documents=package))

    assert "goods were sold that neither a package nor a catalogue in the evidence brings" in scenario.notes
