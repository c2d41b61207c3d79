"""SHA256SUMS of a bundle."""

import pytest

from testbench.bundles.hashes import TamperedError, check_sums, write_sums


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "scenario").mkdir()
    (tmp_path / "case.json").write_text("{}")
    (tmp_path / "scenario" / "data.json").write_text("[]")
    write_sums(tmp_path)
    return tmp_path


def test_untouched_bundle_passes_also_after_pytest_was_there(bundle):
    """What pytest and Python leave beside the test does not count."""
    (bundle / "__pycache__").mkdir()
    (bundle / "__pycache__" / "x.pyc").write_bytes(b"x")

    check_sums(bundle)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: (b / "case.json").write_text("{ }"), "case.json was changed"),
        (lambda b: (b / "scenario" / "data.json").unlink(), "scenario/data.json is missing"),
        (lambda b: (b / "conftest.py").write_text("evil"), "conftest.py was added"),
        (lambda b: (b / "link").symlink_to("/etc/passwd"), "is a link"),
        (lambda b: (b / "SHA256SUMS").write_text("nonsense"), "no sum"),
        (lambda b: (b / "SHA256SUMS").unlink(), "SHA256SUMS"),
    ],
)
def test_every_change_is_refused_and_named(bundle, change, said):
    """Changed, removed, added and linked files, and a broken list."""
    change(bundle)

    with pytest.raises(TamperedError, match=said):
        check_sums(bundle)
