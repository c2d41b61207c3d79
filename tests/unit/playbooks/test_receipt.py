"""The journal of one effect."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from garant.errors import RefusedError
from garant.layout import HostLayout, read_json, write_json
from garant.receipt import Receipt


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2025, 11, 23, 3, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def stored(receipt: Receipt) -> dict[str, object]:
    found = read_json(receipt.path)
    assert found is not None
    return found


def test_each_phase_is_on_the_disk_before_and_after(tmp_path: Path) -> None:
    """A reader after a crash sees which step was under way."""
    receipt = Receipt.begin(HostLayout(tmp_path), "e1", "update", None, Clock())

    with receipt.phase("stop") as phase:
        during = stored(receipt)["phases"]
        phase.detail = "well"

    assert during == [
        {"name": "stop", "at": "2025-11-23T03:00:00+00:00", "ok": None, "seconds": None, "detail": ""}
    ]
    after = stored(receipt)["phases"]
    assert isinstance(after, list)
    assert (after[0]["ok"], after[0]["detail"]) == (True, "well")


def test_failed_phase_says_why(tmp_path: Path) -> None:
    """The reason of a failure is kept in the phase that it happened in."""
    receipt = Receipt.begin(HostLayout(tmp_path), "e1", "update", None)

    with pytest.raises(RefusedError), receipt.phase("check"):
        raise RefusedError("shift 7 is open")

    phases = stored(receipt)["phases"]
    assert isinstance(phases, list)
    assert (phases[0]["ok"], phases[0]["detail"]) == (False, "shift 7 is open")


def test_out_of_service_is_summed_over_a_crash(tmp_path: Path) -> None:
    """The time counts from the stop to health, also when another process took over between them."""
    clock, layout = Clock(), HostLayout(tmp_path)
    Receipt.begin(layout, "e1", "update", None, clock).out_of_service()
    clock.now += timedelta(seconds=90)

    taken_over = Receipt.begin(layout, "e1", "update", None, clock)
    taken_over.in_service()
    taken_over.in_service()

    assert stored(taken_over)["out_of_service_seconds"] == 90.0
    assert stored(taken_over)["touched"] is True


@pytest.mark.parametrize(
    ("state", "final"),
    [
        ("done", True),
        ("rolled-back", True),
        ("failed", True),
        ("needs-human", True),
        ("refused", False),
        ("staged", False),
    ],
)
def test_only_some_ends_are_final(tmp_path: Path, state: str, final: bool) -> None:
    """A refusal may be asked for again with the same id."""
    receipt = Receipt.begin(HostLayout(tmp_path), "e1", "update", None)

    receipt.end(state, "why", "1", changed=False)

    assert receipt.final is final
    assert Receipt.unfinished(HostLayout(tmp_path)) == []


def test_full_disk_keeps_us_from_stopping_but_not_from_starting(tmp_path: Path) -> None:
    """Before the stop a receipt that cannot be written is an error; after it the service comes first."""
    layout = HostLayout(tmp_path)
    receipt = Receipt.begin(layout, "e1", "update", None)
    # A folder in the draft's place: writing fails as on a full disk, for root too.
    draft = receipt.path.with_name(f".{receipt.path.name}.{__import__('os').getpid()}")
    draft.mkdir()

    with pytest.raises(OSError, match="Is a directory"):
        receipt.out_of_service()

    assert receipt.body["touched"] is False
    receipt.body["touched"] = True
    with receipt.phase("start"):
        pass
    draft.rmdir()
    receipt.end("done", "", "1", changed=True)
    assert stored(receipt)["state"] == "done"


def test_torn_or_foreign_files_are_no_receipts(tmp_path: Path) -> None:
    """What is not a whole receipt is as none; nobody stumbles over it."""
    layout = HostLayout(tmp_path)
    layout.receipts.mkdir(parents=True)
    (layout.receipts / "e1.json").write_text('{"schema": 1, "sta')
    write_json(layout.receipts / "e2.json", {"schema": 99, "state": "running"})

    assert Receipt.load(layout, "e1") is None
    assert Receipt.unfinished(layout) == []
