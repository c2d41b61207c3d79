"""Asks what the search will want to know next before it does: benches that would be idle find out already.

A search is a function of the answers that it gets, so playing it again on the known answers leads to its next
question, and on a guess of that answer to the one after. Pure: it asks, the caller tests.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from testbench.minimisation.slices import Fails

Atoms = tuple[int, ...]
#: A search: gives its result by asking the function that it is given.
Search = Callable[[Fails], list[int]]
#: ``ask(questions)``: the answers to several questions, in their order.
AskAll = Callable[[Sequence[Atoms]], Sequence[bool]]


class _OpenError(Exception):
    """The search wants to know something that is not known."""

    def __init__(self, atoms: Atoms) -> None:
        super().__init__()
        self.atoms = atoms


def run(search: Search, ask: AskAll, width: int) -> list[int]:
    """The result of ``search``, with up to ``width`` questions asked at once."""
    known: dict[Atoms, bool] = {}
    while True:
        questions = upcoming(search, known, width)
        if not questions:
            return _played(search, known)
        known.update(zip(questions, ask(questions), strict=True))


def upcoming(search: Search, known: Mapping[Atoms, bool], width: int) -> list[Atoms]:
    """The next question, and those that will most probably follow it; empty when the search is over."""
    # As often as the answers so far; one of each is taken for seen.
    chance = (sum(known.values()) + 1) / (len(known) + 2)
    questions: list[Atoms] = []
    order = count()
    ways: list[tuple[float, int, dict[Atoms, bool]]] = [(-1.0, next(order), {})]
    while ways and len(questions) < width:
        likely, _, guessed = heapq.heappop(ways)
        try:
            _played(search, {**known, **guessed})
        except _OpenError as question:
            if question.atoms not in questions:
                questions.append(question.atoms)
            for answer, part in ((False, 1 - chance), (True, chance)):
                heapq.heappush(ways, (likely * part, next(order), {**guessed, question.atoms: answer}))
    return questions


def _played(search: Search, known: Mapping[Atoms, bool]) -> list[int]:
    def fails(atoms: Sequence[int]) -> bool:
        question = tuple(atoms)
        if question not in known:
            raise _OpenError(question)
        return known[question]

    return search(fails)
