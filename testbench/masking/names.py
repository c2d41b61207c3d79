"""Names of people found again in free text: another case, declined, or grown together with other words.

A name is learned from a field that says what it is. Only what begins with a capital is looked for by its
stem, so that ordinary words and the names of goods stay.
"""

from __future__ import annotations

import re

#: Parts of a word: IvanovaMaria, IVANOVA_1, cards-Ivanova.
_PART = re.compile(r"[A-ZА-ЯЁ]+(?![a-zа-яё])|[A-ZА-ЯЁ]?[a-zа-яё]+")
_ENDINGS = re.compile(r"(?:ого|ому|ыми|ой|ою|ей|ею|ым|ом|ем|им|ых|ы|и|а|я|у|ю|е|о|й|ь)$")
#: A stem shorter than this says too little.
_LEAST_STEM = 5


class Names:
    """Words of names and their masks."""

    def __init__(self) -> None:
        self._masks: dict[str, str] = {}
        self._stems: dict[str, str] = {}
        self._lengths: set[int] = set()

    def learn(self, word: str, mask: str) -> None:
        """From now on ``word`` is replaced by ``mask``; words under four letters are not looked for."""
        low = word.lower()
        if len(low) < 4 or low in self._masks:
            return
        self._masks[low] = mask.lower()
        self._lengths.add(len(low))
        stem = _stem(low)
        if stem is not None:
            self._stems.setdefault(stem, mask.lower())

    def replace(self, word: str, *, only_whole: bool = False) -> str:
        """A word of a text, masked where it is or holds a learned name.

        Args:
            word: as it stands in the text.
            only_whole: leave what is declined or grown together; for the names of goods.
        """
        if not self._masks:
            return word
        known = self._masks.get(word.lower())
        if known is not None:
            return _like(word, known)
        return word if only_whole else _PART.sub(lambda found: self._part(found[0]), word)

    def _part(self, part: str) -> str:
        low = part.lower()
        known = self._masks.get(low)
        if known is None and part[0].isupper():
            stem = _stem(low)
            known = self._stems.get(stem) if stem else None
        if known is not None:
            return _like(part, known)
        return self._grown_together(part, low)

    def _grown_together(self, part: str, low: str) -> str:
        """A long name at the beginning or end of a word, as log writers join them: ivanovamaria."""
        for length in sorted(self._lengths, reverse=True):
            if length < _LEAST_STEM or length >= len(low):
                continue
            for start in (0, len(low) - length):
                known = self._masks.get(low[start : start + length])
                if known is not None:
                    found = _like(part[start : start + length], known)
                    before, after = part[:start], part[start + length :]
                    return self._rest(before) + found + self._rest(after)
        return part

    def _rest(self, part: str) -> str:
        return self._part(part) if len(part) > 3 else part


def _stem(low: str) -> str | None:
    """A Russian word without its ending; None when too little is left, or it is not Russian."""
    if not "а" <= low[0] <= "я":
        return None
    stem = _ENDINGS.sub("", low)
    return stem if len(stem) >= _LEAST_STEM else None


def _like(word: str, mask: str) -> str:
    if word.isupper():
        return mask.upper()
    return mask.capitalize() if word[:1].isupper() else mask
