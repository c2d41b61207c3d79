"""product.yaml: what is accepted, and how wrong files are named."""

import pytest

from testbench.errors import UsageError
from testbench.products.description import load_product
from testbench.products.versions import in_order, is_prerelease


def write(folder, text):
    file = folder / "product.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_relative_git_path_is_taken_from_the_files_folder(tmp_path):
    """A product.yaml works from any working folder."""
    file = write(tmp_path, "name: till\nsource: {git: ./repo}\ndriver: command\n")

    assert load_product(file).source.git == str(tmp_path / "repo")


@pytest.mark.parametrize("url", ["https://example.org/x.git", "git@example.org:x.git"])
def test_urls_stay(tmp_path, url):
    """What is no path on this machine is left as it is."""
    file = write(tmp_path, f"name: till\nsource: {{git: '{url}'}}\ndriver: set\n")

    assert load_product(file).source.git == url


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("name: x\nsource: {pypi: a, git: b}\ndriver: set", ["source", "exactly one"]),
        ("name: x\nsource: {}\ndriver: set", ["source", "exactly one"]),
        ("name: x\nsource: {pypi: a, versions: 'v*'}\ndriver: set", ["source", "git only"]),
        ("name: x\nsource: {pypi: a}\ndriver: robot", ["driver", "'set' or 'command'"]),
        ("name: x\nsource: {pypi: a}\ndriver: set\npyhton: '3.11'", ["pyhton", "not permitted"]),
        ("name: x\nsource: {pypi: a}\ndriver: set\npython: '2.7'", ["python", "pattern"]),
        ("name: ../x\nsource: {pypi: a}\ndriver: set", ["name", "pattern"]),
        ("name: x\nsource: {pypi: --index-url=evil}\ndriver: set", ["source.pypi", "pattern"]),
        ("name: x\nsource: {git: --upload-pack=evil}\ndriver: set", ["source.git", "pattern"]),
        ("name: x\nsource: {pypi: a}\ndriver: set\nbuild: make", ["build", "tuple"]),
        ("[1, 2", ["not valid YAML"]),
        ("just text", ["the file"]),
    ],
)
def test_wrong_files_are_named_with_their_field(tmp_path, text, names):
    """Each complaint names the file, the field and what is allowed."""
    file = write(tmp_path, text)

    with pytest.raises(UsageError) as caught:
        load_product(file)

    assert str(file) in str(caught.value)
    for name in names:
        assert name in str(caught.value)


def test_missing_file_is_named(tmp_path):
    """A path that is not there is a wrong use, not a crash."""
    with pytest.raises(UsageError, match=r"nothing\.yaml cannot be read"):
        load_product(tmp_path / "nothing.yaml")


def test_recipe_follows_what_decides_the_build(tmp_path):
    """Another build line is another build; another pattern of tags is not."""
    base = "name: x\nsource: {git: /repo, versions: '%s'}\ndriver: set\nbuild: ['%s']\n"
    one, same, other = (
        load_product(write(tmp_path, base % values)) for values in (("v*", "a"), ("r*", "a"), ("v*", "b"))
    )

    assert one.recipe == same.recipe != other.recipe


def test_description_is_read_back(tmp_path):
    """What a bundle stores of a product is the product."""
    file = write(tmp_path, "name: x\nsource: {pypi: a}\npython: '3.11'\nsmoke: ['true']\ndriver: set\n")
    product = load_product(file)

    assert load_product(write(tmp_path, product.as_yaml())) == product


def test_versions_are_ordered_as_versions():
    """v1.10 follows v1.9; pre-releases come before their release; other names by their numbers."""
    names = ["v1.10", "v1.9", "1.0", "1.0rc1", "release-3", "1.0.post1"]

    assert in_order(names) == ["1.0rc1", "1.0", "1.0.post1", "v1.9", "v1.10", "release-3"]
    assert [name for name in names if is_prerelease(name)] == ["1.0rc1"]
