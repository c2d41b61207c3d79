"""Why a client's update did not go as planned, in its language and without our jargon. Pure.

What exactly failed on which host is for us: it stands in the rollout's status and in its events.
"""

from __future__ import annotations

from collections.abc import Sequence

_TEXTS = {
    "offline": {
        "ru": "магазин сейчас не отвечает по сети",
        "en": "the store does not answer over the network at the moment",
    },
    "stopped": {
        "ru": "мы остановили обновление, чтобы всё проверить",
        "en": "we have stopped the update to check everything",
    },
    "server": {
        "ru": "сервер магазина не заработал на новой версии",
        "en": "the store's server did not work on the new version",
    },
    "register": {
        "ru": "касса {numbers} не заработала на новой версии",
        "en": "register {numbers} did not work on the new version",
    },
    "registers": {
        "ru": "кассы {numbers} не заработали на новой версии",
        "en": "registers {numbers} did not work on the new version",
    },
}


def offline(language: str) -> str:
    """The store does not answer."""
    return _text("offline", language)


def stopped(language: str) -> str:
    """The rollout stopped, by a person or by itself."""
    return _text("stopped", language)


def failed(language: str, registers: Sequence[int | None]) -> str:
    """These hosts failed: numbers of registers, None for the server."""
    numbers = sorted(number for number in registers if number is not None)
    parts = [_text("server", language)] if None in registers else []
    if numbers:
        key = "register" if len(numbers) == 1 else "registers"
        parts.append(_text(key, language).format(numbers=", ".join(map(str, numbers))))
    return "; ".join(parts)


def _text(key: str, language: str) -> str:
    texts = _TEXTS[key]
    return texts.get(language, texts["en"])
