"""Titles and names of versions."""

from __future__ import annotations

import pytest

from pipeline.reproduction import rules

RELEASES = ("v10.4.6.0", "v10.4.7.0", "10.3")


@pytest.mark.parametrize(
    ("version", "tag"),
    [("10.4.7.0", "v10.4.7.0"), ("v10.4.7.0", "v10.4.7.0"), ("10.3", "10.3"), ("10.4.7", None), ("", None)],
)
def test_a_hosts_version_names_its_release(version: str, tag: str | None) -> None:
    """With or without the tag's v; nothing is guessed."""
    assert rules.tag_of(version, RELEASES) == tag


@pytest.mark.parametrize(
    ("tag", "version"),
    [("v10.4.8.0", "10.4.8.0"), ("10.4.8.0", "10.4.8.0"), ("vendor", "vendor"), ("v", "v")],
)
def test_a_release_says_what_hosts_report(tag: str, version: str) -> None:
    """Only a v before a number goes."""
    assert rules.version_of(tag) == version


@pytest.mark.parametrize(
    ("signature", "expected", "seen", "title"),
    [
        (
            "receipt-arithmetic/discount-sum",
            "10.00",
            "9.99",
            "The lines' discounts do not add up to the receipt's discount (expected 10.00, seen 9.99)",
        ),
        ("receipt-arithmetic/other", "", "", "Receipts do not add up"),
        ("alive/crash", "", "x", "SET fails while it works"),
        ("alive/crash", "a" * 60, "b" * 60, "SET fails while it works"),
        ("unheard-of", "1", "2", "unheard-of (expected 1, seen 2)"),
    ],
)
def test_a_title_says_the_symptom(signature: str, expected: str, seen: str, title: str) -> None:
    """What a person sees; the values only where they are short."""
    assert rules.title(signature, expected, seen) == title
