"""Recipes as people write them: every fault is found before a host is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.diagnosis.errors import RecipeError
from pipeline.diagnosis.recipe import Recipe
from pipeline.diagnosis.recipe_file import default_recipe, read_recipe

GOOD = """
schema: 1
name: loyalty
both:
  - {what: version, file: /opt/set/current/VERSION, as: VERSION}
server:
  - {what: cards, folder: /var/lib/set/cards/*.xml, as: cards/, max_files: 5}
  - {what: bonus, postgresql: discount, query: SELECT id FROM bonus, as: database/bonus.jsonl}
register:
  - {what: journal, journal: /var/lib/set/journal.jsonl, as: journal.jsonl}
  - {what: loyalty log, log: /var/log/set/loyalty.log, as: loyalty.log, required: false}
  - {what: status, url: "http://127.0.0.1:8095/status", as: status.json}
  - {what: shifts, sqlite: /var/lib/set/set.db, query: select number from shift, as: database/shifts.jsonl}
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "recipe.yaml"
    file.write_text(text)
    return file


def test_a_recipe_says_what_is_collected_by_role(tmp_path: Path) -> None:
    """Each kind of source with its way of cutting; what is for both is in both."""
    recipe = read_recipe(written(tmp_path, GOOD))

    assert [item.target for item in recipe.server] == ["VERSION", "cards/", "database/bonus.jsonl"]
    assert [item.cut for item in recipe.register] == ["", "lines", "log", "", ""]
    assert (recipe.server[2].database, recipe.server[2].user) == ("postgresql", "postgres")
    assert [item.required for item in recipe.register] == [True, True, False, True, True]


def test_a_recipe_survives_the_database(tmp_path: Path) -> None:
    """It travels to the worker in the evidence's row."""
    for recipe in (default_recipe(), read_recipe(written(tmp_path, GOOD))):
        assert Recipe.from_json(recipe.as_json()) == recipe


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("schema: 1", "schema: 2", "schema"),
        ("name: loyalty", "name: ../x", "name"),
        ("file: /opt", "file: opt", "not an absolute path"),
        ("file: /opt/set", "file: /opt/../set", "not an absolute path"),
        ("file: /opt/set/current/VERSION, ", "", "give one of file, journal"),
        ("file: /opt/set/current/VERSION", "file: /a, log: /b", "give one of file, journal"),
        ("as: VERSION", "as: ../VERSION", "not a plain relative name"),
        ("as: VERSION", "as: /VERSION", "not a plain relative name"),
        ("as: VERSION", "as: VERSION/", "ends with a slash for a folder"),
        ("as: cards/", "as: cards", "ends with a slash for a folder"),
        ("as: status.json", "as: VERSION", "is given twice"),
        ("http://127.0.0.1:8095", "http://10.0.0.1:8095", "not on the host's loopback"),
        ("select number from shift", "delete from shift", "one SELECT"),
        ("select number from shift", "'select 1; delete from shift'", "one SELECT"),
        ("as: database/shifts.jsonl", "as: database/shifts.csv", "ends with .jsonl"),
        ("query: select number from shift, ", "", "`query` goes with"),
        ("max_files: 5", "max_files: 0", "max_files"),
        ("max_files: 5", "most: 5", "most"),
        ("schema: 1", "schema: [", "no YAML"),
        ("what: bonus", "what: ''", "what"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    """With the file, so that it can be mended."""
    assert old in GOOD
    file = written(tmp_path, GOOD.replace(old, new))

    with pytest.raises(RecipeError) as refused:
        read_recipe(file)
    assert told in str(refused.value)
    assert str(file) in str(refused.value)


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    """A file that is not there, is empty, is no text, is huge, or asks for nothing on a register."""
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path / "none.yaml")
    for content in (b"", b"- 1", b"\xff\xfe\x00", b"x" * 300_000):
        (tmp_path / "bad.yaml").write_bytes(content)
        with pytest.raises(RecipeError):
            read_recipe(tmp_path / "bad.yaml")
    only_server = "schema: 1\nname: x\nserver: [{what: v, file: /v, as: v}]\n"
    with pytest.raises(RecipeError, match="register: there is nothing to collect"):
        read_recipe(written(tmp_path, only_server))
