"""The texts: every kind, both languages, as people reviewed them; and strangers' text as data."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from pipeline.errors import GarantError
from pipeline.notices.params import INTERNAL_KINDS, KINDS, checked
from pipeline.notices.rendering import LANGUAGES, Reader, Rendered, kinds, paragraphs, render
from pipeline.notices.samples import SAMPLES

GOLDEN = Path(__file__).parent / "golden"


def told(kind: str, language: str, **params: object) -> Rendered:
    """The sample of a kind, with some parameters changed."""
    reader = Reader(
        language=language,
        zone="Europe/Moscow",
        client="Купец",
        store="Тверская, 12",
        manager="manager@support.invalid",
        support="+7 800 000-00-00",
    )
    return render(kind, checked(kind, SAMPLES[kind] | params), reader)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", kinds())
def test_golden(kind: str, language: str) -> None:
    """Every kind reads in both languages exactly as it was reviewed."""
    expected = (GOLDEN / f"{kind}.{language}.txt").read_text(encoding="utf-8")

    actual = told(kind, language)

    assert expected == f"{actual.subject}\n\n{actual.text}"


@pytest.mark.parametrize("kind", kinds())
def test_html_says_the_same(kind: str) -> None:
    """The HTML part holds every line of the text part, and nothing else that can be read."""
    actual = told(kind, "ru")
    body = re.search(r"<body[^>]*>(.*)</body>", actual.html, re.S)

    assert body is not None
    seen = [line.strip() for line in html.unescape(re.sub(r"<[^>]+>", "\n", body[1])).split("\n")]
    assert [x.removeprefix("– ") for x in actual.text.split("\n") if x] == [x for x in seen if x]


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(("language", "phrase"), [("ru", "Что дальше:"), ("en", "What happens next:")])
def test_every_client_notice_says_what_happens_next_and_whom_to_ask(
    kind: str, language: str, phrase: str
) -> None:
    """No client is left with a fact and without a next step."""
    text = told(kind, language).text

    assert phrase in text
    assert "manager@support.invalid" in text
    assert "+7 800 000-00-00" in text


@pytest.mark.parametrize("kind", sorted(INTERNAL_KINDS))
def test_every_internal_notice_says_what_to_do(kind: str) -> None:
    """A warning ends with the command that answers it."""
    assert "garant " in told(kind, "en").text


HOSTILE = '<script>alert(1)</script>\r\nBcc: victim@x.invalid\u202e{{ 7*7 }} & "x"'


def test_strangers_text_is_data() -> None:
    """Markup, line breaks, template code and text-turning marks of a stranger change nothing."""
    actual = told("case_registered", "ru", subject=HOSTILE)

    assert "<script>" not in actual.html
    assert "&lt;script&gt;" in actual.html
    assert "\u202e" not in actual.text
    assert "{{ 7*7 }}" in actual.text
    assert "\nBcc" not in actual.text
    assert "\n" not in actual.subject


def test_a_missing_parameter_is_named_when_it_is_queued() -> None:
    """A wrong caller is told at once which parameter is wrong."""
    with pytest.raises(GarantError, match=r"eta_changed cannot be queued: previous: .*; reason: "):
        checked("eta_changed", SAMPLES["eta"])
    with pytest.raises(GarantError, match="nobody: Extra inputs"):
        checked("eta", SAMPLES["eta"] | {"nobody": 1})
    with pytest.raises(GarantError, match=r"received_at: .*timezone"):
        checked("case_registered", SAMPLES["case_registered"] | {"received_at": "2026-03-12T06:00:00"})
    with pytest.raises(GarantError, match="no notice kind 'newsletter'"):
        checked("newsletter", {})


def test_templates_of_another_kind_do_not_render_silently() -> None:
    """A template that names what its kind does not have is an error, never an empty space."""
    with pytest.raises(UndefinedError):
        render("case_closed", checked("eta", SAMPLES["eta"]), Reader(language="en", zone="UTC", client="x"))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, "в 1 магазине"),
        (2, "в 2 магазинах"),
        (5, "в 5 магазинах"),
        (21, "в 21 магазине"),
        (11, "в 11 магазинах"),
    ],
)
def test_russian_plurals(count: int, expected: str) -> None:
    """One, few and many are told apart as Russian does (21 is one, 11 is many)."""
    stores = [{"name": f"№ {n}", "zone": "UTC", "at": "2026-03-12T06:00:00Z"} for n in range(count)]

    assert told("update_done", "ru", stores=stores).subject.endswith(expected)


def test_times_are_told_in_the_store_zone() -> None:
    """The same instant is another day in Kamchatka; a zone with half an hour shows it."""
    stores = [
        {"name": "P", "zone": "Asia/Kamchatka", "at": "2026-03-12T13:30:00Z"},
        {"name": "K", "zone": "Asia/Kolkata", "at": "2026-03-12T13:30:00Z"},
    ]

    text = told("update_done", "en", stores=stores).text

    assert "– P: 13 March 2026 at 01:30 (Kamchatka, UTC+12)" in text
    assert "– K: 12 March 2026 at 19:00 (Kolkata, UTC+5:30)" in text


@pytest.mark.parametrize("kind", ["update_scheduled", "update_postponed"])
def test_a_store_whose_time_is_not_known_yet(kind: str) -> None:
    """It is told so; half a window is refused."""
    stores = [{"name": "P", "zone": "UTC"}]

    assert "– P: we will tell you the " in told(kind, "en", stores=stores).text
    with pytest.raises(GarantError, match="a window has a start and an end"):
        told(kind, "en", stores=[stores[0] | {"start": "2026-03-12T13:30:00Z"}])


def test_a_language_that_we_do_not_have_is_told_in_english() -> None:
    """Nobody is left without a notice because of a language."""
    assert told("eta", "de") == told("eta", "en")


def test_paragraphs() -> None:
    """Empty lines part paragraphs; lines that begin with a dash are a list."""
    expected = [("p", ["a", "b"]), ("p", ["c:"]), ("ul", ["d", "e"]), ("p", ["f"])]

    assert expected == paragraphs("a\nb\n\nc:\n– d\n– e\n\nf\n")
