"""Slots shared through a file."""

import threading

import pytest

from testbench.slots import rules
from testbench.slots.service import Slots, SlotsError


class Clock:
    """Seconds that pass when they are told to."""

    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def two_slots(monkeypatch):
    monkeypatch.setenv("TESTBENCH_SLOTS", "2")


def well(_folder):
    return None


def test_no_more_runs_at_once_than_slots(tmp_path):
    """Eight threads with slots of their own share two places."""
    inside, most, lock, both = [0], [0], threading.Lock(), threading.Barrier(2)

    def work():
        with Slots(tmp_path, check=well).hold():
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            both.wait(timeout=60)  # two are here together, or this fails
            with lock:
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

    assert (most[0], both.broken) == (2, False)
    assert Slots(tmp_path).listed()[1] == []


def test_result_of_a_fenced_out_holder_is_refused(tmp_path):
    """A holder without a sign of life loses its slot; what it brings afterwards does not count."""
    clock = Clock()
    slots = Slots(tmp_path, check=well, now=clock)
    with slots.hold() as first, slots.hold() as second:
        clock.now += rules.LEASE + 1
        with slots.hold() as third:
            assert (third.slot, third.token) == (first.slot, first.token + 1)

    assert (first.counts, second.counts, third.counts) == (False, False, True)


def test_sick_slots_are_put_aside_with_the_first_cause(tmp_path):
    """A failing health check tries the next slot; with none left the error says what to mend and do."""
    causes = iter(["the disk is full", None, "the disk is fuller", "the disk is fuller"])
    slots = Slots(tmp_path, check=lambda _folder: next(causes))
    with slots.hold() as held:
        assert held.slot == 2
    with pytest.raises(SlotsError, match=r"no slot can be used: the disk is full; .* slots release --all"):
        slots.hold().__enter__()
    listed = [slot.quarantine for slot in slots.listed()[0]]
    slots.release(1)

    assert listed == ["the disk is full", "the disk is fuller"]
    assert [slot.quarantine for slot in slots.listed()[0]] == [None, "the disk is fuller"]
    with pytest.raises(SlotsError, match="slot 1 is in no quarantine"):
        slots.release(1)
    with pytest.raises(SlotsError, match=r"no slot 7"):
        slots.release(7)


def test_unwritable_workspace_is_seen(tmp_path):
    """The real health check names the folder."""
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(SlotsError, match=r"workspace .*runs cannot be written"):
        Slots(tmp_path).hold().__enter__()

    assert Slots(tmp_path).listed()[0][0].quarantine


def test_wait_can_be_ended(tmp_path):
    """Whoever waits when the program ends does not wait on."""
    slots, stop = Slots(tmp_path, check=well), threading.Event()
    with slots.hold(), slots.hold():
        stop.set()
        with pytest.raises(SlotsError, match="was ended"):
            slots.hold(stop).__enter__()
