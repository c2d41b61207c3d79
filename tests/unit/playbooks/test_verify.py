"""m-of-n approvals with real ssh-keygen."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from garant.errors import RefusedError
from garant.verify import check_approvals, demand_approvals, keys_of
from releases import Keyring


class Case:
    """A signed manifest and the files that a host judges it by."""

    def __init__(self, folder: Path, keys: Keyring, signers: str) -> None:
        self.keys = keys
        self.allowed = folder / "allowed_signers"
        self.allowed.write_text(signers)
        self.policy = folder / "policy.json"
        self.policy.write_text('{"approvals": 2}')
        self.manifest = folder / "manifest.json"
        self.manifest.write_text('{"version": "1"}\n')

    def valid(self) -> list[str]:
        return sorted(check_approvals(self.manifest.read_bytes(), self._read(), "denis", self.allowed).valid)

    def demand(self) -> None:
        content = self.manifest.read_bytes()
        demand_approvals(content, self._read(), "denis", self.allowed, self.policy)

    def _read(self) -> dict[str, bytes]:
        folder = self.manifest.parent / "signatures"
        return {path.name: path.read_bytes() for path in folder.glob("*")}


@pytest.fixture
def case(tmp_path: Path, keys: Keyring, signers: str) -> Case:
    """Nothing signed yet."""
    return Case(tmp_path, keys, signers)


def test_two_of_three_suffice(case: Case) -> None:
    """Two distinct approvers other than the author make a release valid."""
    case.keys.sign(case.manifest, "anna")
    case.keys.sign(case.manifest, "clara")

    assert case.valid() == ["anna", "clara"]
    case.demand()


def test_the_authors_own_does_not_count(case: Case) -> None:
    """The author's approval is not counted."""
    case.keys.sign(case.manifest, "anna")
    case.keys.sign(case.manifest, "denis")

    assert case.valid() == ["anna"]
    with pytest.raises(RefusedError, match="denis: is the author"):
        case.demand()


def test_the_authors_key_under_another_name_does_not_count(case: Case) -> None:
    """An author who also appears under a second name is still one person."""
    case.allowed.write_text(case.allowed.read_text() + case.keys.line("dennis", key="denis"))
    case.keys.sign(case.manifest, "anna")
    case.keys.sign(case.manifest, "dennis", key="denis")

    assert case.valid() == ["anna"]


def test_one_key_counts_once(case: Case) -> None:
    """A key that two names share, or a name pattern, gives one approval and not two."""
    case.allowed.write_text(case.allowed.read_text() + case.keys.line("ann*", key="anna"))
    case.keys.sign(case.manifest, "anna")
    case.keys.sign(case.manifest, "anna2", key="anna")

    assert case.valid() == ["anna"]


def test_key_that_everybody_may_use_is_the_authors_too(case: Case) -> None:
    """A key that the host gives to every name could be the author's: it approves nothing."""
    case.allowed.write_text(case.allowed.read_text() + case.keys.line("*", key="anna"))
    case.keys.sign(case.manifest, "anna")

    assert case.valid() == []


def test_stranger_does_not_count(case: Case) -> None:
    """A key that the host does not know, and a known name signed with another key, are rejected."""
    case.keys.sign(case.manifest, "stranger")
    case.keys.sign(case.manifest, "boris", key="stranger")

    assert case.valid() == []


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ('namespaces="garant-release",valid-before="20200101"', False),
        ('namespaces="garant-release",valid-after="29990101"', False),
        ('namespaces="garant-release",valid-before="29990101"', True),
        ('namespaces="mail"', False),
    ],
)
def test_validity_dates_and_namespace_of_a_key(case: Case, options: str, counts: bool) -> None:
    """An expired key, one not yet valid, and one for another purpose do not count."""
    case.allowed.write_text(case.keys.line("anna", options=options))
    case.keys.sign(case.manifest, "anna")

    assert case.valid() == (["anna"] if counts else [])


def test_signature_made_for_another_purpose_does_not_count(case: Case) -> None:
    """The namespace keeps a signature over the same text but for something else out."""
    case.keys.sign(case.manifest, "anna", namespace="file")

    assert case.valid() == []


def test_changed_manifest_voids_every_approval(case: Case) -> None:
    """One altered byte, and nobody has approved it."""
    case.keys.sign(case.manifest, "anna")
    case.keys.sign(case.manifest, "boris")
    case.manifest.write_text('{"version": "2"}\n')

    with pytest.raises(RefusedError, match="0 of 2 approvals are valid"):
        case.demand()


@pytest.mark.parametrize("name", ["-anna.sig", "../anna.sig", "anna.txt", ".sig", "an na.sig"])
def test_names_that_could_mislead_ssh_keygen_are_rejected(case: Case, name: str) -> None:
    """A file's name becomes an argument: it must be a plain principal."""
    signature = case.keys.sign(case.manifest, "anna").read_bytes()

    approvals = check_approvals(case.manifest.read_bytes(), {name: signature}, "denis", case.allowed)

    assert approvals.valid == {}


@pytest.mark.parametrize(
    "policy", ["", "{}", '{"approvals": 0}', '{"approvals": true}', '{"approvals": "2"}']
)
def test_without_a_sound_policy_nothing_is_accepted(case: Case, policy: str) -> None:
    """A host whose policy is missing or senseless accepts nothing, whoever signed."""
    case.policy.write_text(policy)
    case.keys.sign(case.manifest, "anna")
    case.keys.sign(case.manifest, "boris")

    with pytest.raises(RefusedError, match="provision the host"):
        case.demand()


def test_without_a_root_of_trust_nothing_is_accepted(case: Case) -> None:
    """No allowed_signers, no update."""
    case.allowed.unlink()

    with pytest.raises(RefusedError, match="allowed_signers"):
        case.demand()


def test_keys_of_a_person_are_found_by_pattern(case: Case) -> None:
    """All of a person's keys are known, under lists and patterns of names too; comments are skipped."""
    lines = ["# anna ssh-ed25519 AAAA\n", case.keys.line("x,ann*", key="boris", options="cert-authority")]
    case.allowed.write_text(case.keys.line("anna") + "".join(lines))

    assert len(keys_of("anna", case.allowed)) == 2
    assert keys_of("clara", case.allowed) == frozenset()


def test_forged_author_invalidates_the_signatures(
    keys: Keyring, signers: str, release_of: Callable[..., Path]
) -> None:
    """Writing another author into a signed manifest, so that the real one's counts, breaks them all."""
    release = release_of("10.4.2.0", approvers=["anna", "denis"], author="denis")
    allowed = release.parent / "allowed"
    allowed.write_text(signers)
    manifest = json.loads((release / "manifest.json").read_text()) | {"author": "clara"}
    content = (json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n").encode()
    signatures = {path.name: path.read_bytes() for path in (release / "signatures").iterdir()}

    assert check_approvals(content, signatures, "clara", allowed).valid == {}
