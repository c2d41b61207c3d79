"""The masking key: one for the installation, whole or not there, its owner's only."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from pipeline.diagnosis.key import masking_key
from pipeline.errors import GarantError


def test_the_key_is_made_once_for_its_owner(tmp_path: Path) -> None:
    """32 bytes, mode 600, the same ever after, and nothing is left beside it."""
    file = tmp_path / "home" / "masking.key"
    key = masking_key(file)

    assert len(key) == 32
    assert masking_key(file) == key
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_two_workers_at_once_get_the_same_key(tmp_path: Path) -> None:
    """Whoever comes second takes the first one's key, and never sees half of it."""
    for turn in range(20):
        file, start = tmp_path / f"{turn}.key", Barrier(8)

        def make(_number: int, file: Path = file, start: Barrier = start) -> bytes:
            start.wait()
            return masking_key(file)

        with ThreadPoolExecutor(8) as workers:
            assert len(set(workers.map(make, range(8)))) == 1


@pytest.mark.parametrize("content", [b"", b"half of a key"])
def test_a_broken_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """Masking with a wrong key would give other pseudonyms, or none worth the name."""
    file = tmp_path / "masking.key"
    file.touch(0o600)
    file.write_bytes(content)

    with pytest.raises(GarantError, match=f"{len(content)} bytes, not 32: restore it"):
        masking_key(file)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The next action is named."""
    file = tmp_path / "masking.key"
    masking_key(file)
    file.chmod(0o640)

    with pytest.raises(GarantError, match="chmod 600"):
        masking_key(file)
