"""The style's colours can be read: WCAG 2.2, 1.4.3 (4.5:1 for text), light and dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pipeline.web

CSS = (Path(pipeline.web.__file__).parent / "static" / "garant.css").read_text(encoding="utf-8")
_PAIRS = [(name, f"{name}-back") for name in ("good", "busy", "wait", "bad", "over")]
_PAIRS += [(text, back) for text in ("ink", "soft", "link") for back in ("paper", "sheet", "code-back")]
_PAIRS += [(text, "sheet") for text in ("bad", "wait")] + [("ink", "wait-back"), ("ink", "bad-back")]


def schemes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return {"light": light, "dark": light | dark}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "back"), _PAIRS)
def test_text_stands_out_from_what_is_behind_it(scheme: str, text: str, back: str) -> None:
    """4.5:1 or more, for every pair that the pages use."""
    colours = schemes()[scheme]

    assert contrast(colours[text], colours[back]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_white_stands_out_from_the_header(scheme: str) -> None:
    """The header's and the buttons' text is white in both schemes."""
    assert contrast("#ffffff", schemes()[scheme]["brand"]) >= 4.5


def test_nothing_is_loaded_from_elsewhere() -> None:
    """Neither the style nor a page names another site."""
    templates = Path(pipeline.web.__file__).parent / "templates"
    sources = [CSS, *(file.read_text(encoding="utf-8") for file in templates.iterdir())]

    assert not [
        source for source in sources if re.search(r"(src|href)=[\"'](https?:)?//|url\(|@import", source)
    ]


def test_no_template_holds_a_script_or_a_style_of_its_own() -> None:
    """The content policy allows neither, so such a page would be broken in the browser only."""
    templates = Path(pipeline.web.__file__).parent / "templates"
    for file in templates.iterdir():
        source = file.read_text(encoding="utf-8")
        assert not re.search(r"<script(?! src=)|<style|\sstyle=|\son[a-z]+=|hx-on", source), file.name
