"""product.yaml of the reference SET: how the bench builds it and which driver plays it."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from testbench.reference.errors import TargetError

PLACEHOLDER = "REPOSITORY"


def product_path(repository: Path) -> Path:
    """Where the product.yaml of a built repository lies: beside it, `<repository>.product.yaml`."""
    return repository.with_name(repository.name + ".product.yaml")


def write_product(repository: Path) -> Path:
    """Writes product.yaml beside the repository, whole or not at all; returns its path.

    Raises TargetError when it can't be written.
    """
    text = files("testbench.reference").joinpath("product.yaml").read_text(encoding="utf-8")
    quoted = '"' + str(repository).replace("\\", "\\\\").replace('"', '\\"') + '"'
    path = product_path(repository)
    content = text.replace(f"git: {PLACEHOLDER}", f"git: {quoted}")
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == content:
            return path
        temporary = path.with_name(path.name + ".new")
        temporary.write_text(content, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise TargetError(f"{path} can't be written: {error.strerror}; name another place") from error
    return path
