"""What a client reads when an update did not go as planned."""

from __future__ import annotations

import pytest

from pipeline.rollouts import words


@pytest.mark.parametrize(
    ("language", "registers", "expected"),
    [
        ("ru", [4], "касса 4 не заработала на новой версии"),
        ("ru", [4, 2], "кассы 2, 4 не заработали на новой версии"),
        ("ru", [None], "сервер магазина не заработал на новой версии"),
        ("en", [3, 1, 2], "registers 1, 2, 3 did not work on the new version"),
        ("de", [1], "register 1 did not work on the new version"),
    ],
)  # fmt: skip
def test_failures_name_registers_by_their_numbers(
    language: str, registers: list[int | None], expected: str
) -> None:
    """In the client's language, without host names, versions or what programs said."""
    assert words.failed(language, registers) == expected


def test_every_reason_is_in_both_languages() -> None:
    """No client reads a reason in a language that is not its own."""
    assert words.offline("ru") != words.offline("en")
    assert words.stopped("ru") != words.stopped("en")
