"""Numbers of evidence and reproductions when two ask at the same instant, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.database import Database
from pipeline.database.numbers import next_number


def test_two_who_ask_at_once_both_get_a_number(database: Database) -> None:
    """Neither is refused, no number is given twice, and none is left out; each kind counts for itself."""
    asking = threading.Barrier(8)

    def taken(_: int) -> list[int]:
        numbers = []
        for _turn in range(5):
            asking.wait(60)
            with database.transaction() as session:
                numbers.append(next_number(session, "evidence"))
        return numbers

    with ThreadPoolExecutor(8) as pool:
        given = [number for numbers in pool.map(taken, range(8)) for number in numbers]

    assert sorted(given) == list(range(1, 41))
    with database.transaction() as session:
        assert next_number(session, "reproduction") == 1


def test_a_number_of_what_was_rolled_back_is_given_again(database: Database) -> None:
    """There are no gaps to explain."""

    def failed() -> None:
        with database.transaction() as session:
            assert next_number(session, "evidence") == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failed()
    with database.transaction() as session:
        assert next_number(session, "evidence") == 1
