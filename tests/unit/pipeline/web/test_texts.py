"""The catalogue holds what the pages say, in both languages, and a word for every state."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

import pipeline.web
from pipeline.clocks.rules import CLOCKS
from pipeline.intake import rules as cases
from pipeline.notices.params import INTERNAL_KINDS, KINDS
from pipeline.notices.wording import wording
from pipeline.rollouts.states import HostState, RolloutState, StoreState, Waiting, WaveState
from pipeline.web.languages import catalogue, chosen, texts, words
from pipeline.web.tones import sign, tone

TEMPLATES = Path(pipeline.web.__file__).parent / "templates"
#: Sections of words for codes; the rest are texts that templates ask for by name.
_WORDS = {
    "language", "tariff", "channel", "case_state", "clock_state", "evidence_state", "reproduction_state",
    "verdict", "defect_state", "client_part", "fix_state", "promise_state", "issue_state", "notice_state",
    "notice_kind", "release_state", "gate_state", "gate_weight", "approval_state", "rollout_state",
    "wave_state", "store_state", "store_row_state", "waiting", "host_state", "fleet_state", "event", "fact",
}  # fmt: skip


def asked_for() -> set[str]:
    """What templates ask for by name."""
    source = "".join(file.read_text(encoding="utf-8") for file in TEMPLATES.iterdir())
    return set(re.findall(r"""\bt\(["']([a-z_]+\.[a-z0-9_]+)["'][,)]""", source))


def test_every_text_that_a_template_asks_for_is_there() -> None:
    """And nothing is kept that no page says (names put together of parts aside)."""
    kept = {
        f"{section}.{key}" for section, keys in catalogue().items() if section not in _WORDS for key in keys
    }
    put_together = {f"nav.{key}" for key in catalogue()["nav"]} | {"case.filter_open", "case.filter_all"}

    assert asked_for() - kept == set()
    assert kept - asked_for() - put_together == set()


def test_both_languages_fill_in_the_same_values() -> None:
    """A value that one language leaves out would be lost for its readers."""
    for section, keys in catalogue().items():
        for key, pair in keys.items():
            values = {language: set(re.findall(r"{(\w+)}", text)) for language, text in pair.items()}
            assert values["ru"] == values["en"], f"{section}.{key}"


@pytest.mark.parametrize(
    ("section", "codes"),
    [
        ("rollout_state", RolloutState),
        ("wave_state", WaveState),
        ("store_state", StoreState),
        ("host_state", HostState),
        ("waiting", Waiting),
        ("case_state", cases.STATES),
        ("notice_kind", [*KINDS, *INTERNAL_KINDS]),
        ("verdict", ["reproduced", "not-reproduced", "flaky", "inconclusive", "cannot-run"]),
    ],
)
def test_every_state_has_a_word(section: str, codes: Iterable[str]) -> None:
    """A new state without one shows up here, not as a bare code on a Russian page."""
    assert {str(code) for code in codes} - set(catalogue()[section]) == set()


def test_an_unknown_code_is_shown_as_it_is_but_a_missing_text_fails() -> None:
    """Rows of newer code are shown; a hole in a page is a defect."""
    assert words("ru")("host_state", "brand-new") == "brand-new"
    with pytest.raises(KeyError):
        texts("ru")("page.no_such_text")


def test_a_state_is_told_by_a_sign_too() -> None:
    """No two tones share their sign, and what is not known waits for a person."""
    signs = {
        tone(state): sign(state) for state in ("met", "running", "paused", "planned", "failed", "closed")
    }

    assert len(set(signs.values())) == len(signs) == 6
    assert tone("brand-new") == "wait"


@pytest.mark.parametrize(
    ("cookie", "accept", "expected"),
    [
        ("en", "ru", "en"),
        ("xx", "ru", "ru"),
        (None, "de, en;q=0.4, ru;q=0.7", "ru"),
        (None, "en-GB,en;q=0.9,ru;q=0.8", "en"),
        (None, "ru;q=0, en;q=0.1", "en"),
        (None, "de;q=bad, fr", "ru"),
        (None, "", "ru"),
    ],
)
def test_the_language_is_the_chosen_one_else_the_browsers_first(
    cookie: str | None, accept: str, expected: str
) -> None:
    """RFC 9110: the highest quality wins, zero means never; nothing of ours falls back."""
    assert chosen(cookie, accept, otherwise="ru") == expected


def test_every_clock_has_a_name() -> None:
    """The pages call the clocks as the notices do."""
    assert all(wording("clocks", clock, "ru") != clock for clock in CLOCKS)
