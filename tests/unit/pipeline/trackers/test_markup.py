"""Texts as Jira and the local tracker show them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.trackers.markup import Code, Heading, Link, Numbered, Paragraph, plain, wiki, wiki_text

BODY = [
    Heading("What happens"),
    Paragraph(("The total is {100}", "not [99|x]")),
    Heading("Steps"),
    Numbered(("open", "sell *2*")),
    Code(("pytest D-1",)),
    Link("Diff", "https://git.example/a...b"),
]


def test_plain_reads_as_it_stands() -> None:
    """Sections are apart, lines of one section together, nothing is escaped."""
    assert plain(BODY) == (
        "What happens:\nThe total is {100}\nnot [99|x]\n\n"
        "Steps:\n1. open\n2. sell *2*\npytest D-1\nDiff: https://git.example/a...b"
    )


def test_wiki_is_jiras_own_markup() -> None:
    """Headings, numbered lists, blocks to copy, links; foreign signs are shown, not obeyed."""
    assert wiki(BODY, most=1000) == (
        "h3. What happens\nThe total is \\{100\\}\nnot \\[99\\|x\\]\n\n"
        "h3. Steps\n# open\n# sell \\*2\\*\n{noformat}\npytest D-1\n{noformat}\n[Diff|https://git.example/a...b]"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("receipt-arithmetic/vat, 10.4.2", "receipt-arithmetic/vat, 10.4.2"),  # words keep their hyphens
        ("-gone- +new+", r"\-gone\- \+new\+"),
        ("{code}!x.png!{code}", r"\{code\}\!x.png\!\{code\}"),
        ("# not a list", r"\# not a list"),
        ("a :D (/) ;)", r"a \:D \(/) \;)"),
        ("??cite??", r"\?\?cite\?\?"),
        ("C:\\x", r"C:\\x"),
    ],
)
def test_foreign_text_stays_text(text: str, shown: str) -> None:
    """What a receipt or a commit says becomes no macro, picture, list, or stroke."""
    assert wiki_text(text) == shown


@given(st.text())
def test_no_macro_or_link_survives(text: str) -> None:
    """Whatever the text, each brace and bracket in it is escaped."""
    bare = re.sub(r"\\[\\{}\[\]|!*_^~#?+\-(:;]", "", wiki_text(text))

    assert not set(bare) & set("{}[]|!*_^~#")


def test_a_text_that_is_too_long_ends_whole() -> None:
    """It keeps whole lines, closes its last block, says that it was cut, and fits."""
    text = wiki([Paragraph(("first",)), Code(tuple(f"line {n}" for n in range(1000)))], most=500)

    assert len(text) <= 500
    assert text.startswith("first\n{noformat}\nline 0\n")
    assert text.count("{noformat}") == 2
    assert "longer than the tracker takes" in text


def test_a_block_cannot_be_broken_out_of() -> None:
    """Nor can a link's address end the link."""
    text = wiki([Code(("{noformat}h1. forged",)), Link("x", "https://a/]|{b} c")], most=1000)

    assert text.count("{noformat}") == 2
    assert text.endswith("[x|https://a/%5D%7C%7Bb%7D%20c]")
