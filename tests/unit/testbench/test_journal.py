"""The journal of a command that may be broken off."""

import contextlib
import os

import pytest

from testbench.journal import kept, purge
from testbench.outcomes import Outcome


def broken_off(home, *seen, error=KeyboardInterrupt, fresh=False):
    """A command that ends without an answer after these outcomes of the question "a"; what it found."""
    with contextlib.suppress(error), kept(home, ["q"], fresh=fresh) as journal:
        found = [journal.take("a") for _ in range(journal.found)]
        for outcome in seen:
            journal.add("a", outcome)
        raise error
    return found


def test_outcomes_come_back_once_and_in_order(tmp_path):
    """What was broken off goes on with its outcomes; what ended does not."""
    seen = [Outcome.bad("x"), Outcome.good(), Outcome.bad("y")]
    broken_off(tmp_path, *seen)
    with kept(tmp_path, ["q"]) as journal:
        again = [journal.take("a") for _ in range(4)]
        other = journal.take("b")
    with kept(tmp_path, ["q"]) as ended:
        assert (ended.found, ended.take("a")) == (0, None)

    assert (again, other, journal.found) == ([*seen, None], None, 3)


@pytest.mark.parametrize("rest", [b'{"question": "a", "outc', b"not json\n"])
def test_line_cut_off_by_a_kill_is_dropped(tmp_path, rest):
    """Half a line is no outcome, and does not spoil the next one."""
    broken_off(tmp_path, Outcome.good())
    file = next((tmp_path / "journals").glob("*.jsonl"))
    file.write_bytes(file.read_bytes() + rest)
    broken_off(tmp_path, Outcome.bad("x"))

    assert broken_off(tmp_path) == [Outcome.good(), Outcome.bad("x")]
    assert broken_off(tmp_path, fresh=True) == []


@pytest.mark.parametrize(("last", "left"), [(Outcome.good(), 0), (Outcome.infra("play"), 1)])
def test_refusal_ends_a_command_and_a_failing_bench_does_not(tmp_path, last, left):
    """After "mend that and start again" the runs made so far still count; after a refusal they do not."""
    broken_off(tmp_path, Outcome.bad("x"), last, error=ValueError)

    assert len(broken_off(tmp_path)) == left


def test_same_command_twice_at_once_shares_nothing(tmp_path):
    """The second one makes its own runs and leaves the first one's journal alone."""
    with contextlib.suppress(KeyboardInterrupt), kept(tmp_path, ["q"]) as one:
        one.add("a", Outcome.good())
        assert broken_off(tmp_path, Outcome.bad("x")) == []
        raise KeyboardInterrupt

    assert broken_off(tmp_path) == [Outcome.good()]


def test_old_and_too_many_journals_are_removed(tmp_path):
    """By age, then the oldest by size; one in use stays."""
    for number, age in enumerate((500, 300, 200, 100)):
        file = tmp_path / f"{number}.jsonl"
        file.write_bytes(b"x" * 100)
        os.utime(file, (10_000 - age, 10_000 - age))
    gone = purge(tmp_path, 10_000, age=400, size=250)

    assert [file.name for file in gone] == ["0.jsonl", "1.jsonl"]
    assert sorted(file.name for file in tmp_path.glob("*.jsonl")) == ["2.jsonl", "3.jsonl"]
