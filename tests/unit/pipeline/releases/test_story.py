"""Releases: reproducible, gated, approved m of n by real OpenSSH signatures, recalled."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.defects.tables import ClientDefectRow, DefectRow
from pipeline.errors import GarantError, NotFoundError, RefusedError
from pipeline.releases import package, service, verdicts
from pipeline.releases.errors import ContentChangedError, NotApprovedError, SignatureRefusedError
from pipeline.releases.tables import GatePlayRow
from testbench.errors import TestbenchError


def add_defect(desk: Any, number: int, *, fixed_in: str | None, client: str = "kupets") -> str:
    """A past defect with a bundle."""
    now, key = desk.app.clock(), f"D-{number:06}"
    with desk.app.database.transaction() as session:
        session.add(
            DefectRow(
                id=key,
                product="toy",
                signature=f"s{number}",
                title=f"Receipts are wrong {number}",
                verdict="reproduced",
                version="1.1.0",
                bundle=f"/bundles/{key}",
                steps={},
                fixed_in=fixed_in,
                state="fixed" if fixed_in else "filed",
                created_at=now,
                updated_at=now,
            )
        )
        session.flush()
        session.add(ClientDefectRow(defect_id=key, client_id=client, turn=1, started_at=now))
    return key


def test_the_same_tag_gives_the_same_digest(
    desk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built anew from nothing, in another place, it is the same to the byte; then nothing is new."""
    first, new = desk.build()
    monkeypatch.setenv("TESTBENCH_HOME", str(tmp_path / "another" / "bench"))
    again, new_again = desk.build()

    assert (new, new_again) == (True, False)
    assert first.digest == again.digest
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", first.digest)


def test_the_manifest_is_canonical_and_names_every_file(desk: Any) -> None:
    """Sorted keys, no spaces, a newline at the end; files with their digests; the commit's own time."""
    row, _ = desk.build(notes={"ru": "Скидки", "en": "Discounts"}, floor="1.1.0")
    content = (desk.folder / "manifest.json").read_bytes()
    manifest = json.loads(content)

    assert content == package.canonical(manifest)
    assert manifest["version"] == "1.2.0"
    assert manifest["created_at"] == "2026-02-01T07:00:00+00:00"
    assert {item["path"]: item["mode"] for item in manifest["files"]} == {
        "VERSION": "0644",
        "bin/set-server": "0755",
    }
    assert manifest["digest"] == row.digest
    package.demand_package(desk.folder, manifest)


def test_a_version_that_says_another_one_is_not_built(desk: Any) -> None:
    """v1.3.0 calls itself 9.9: refused, nothing is left."""
    with pytest.raises(GarantError, match=r"says of itself that it is 9\.9"):
        desk.build("1.3.0")

    assert not list((desk.app.settings.home / "releases").iterdir())


def test_an_unknown_version_is_named(desk: Any) -> None:
    """The message says what there is."""
    with pytest.raises(TestbenchError, match=r"v1\.2\.0"):
        desk.build("7.0.0")
    with pytest.raises(NotFoundError, match="none"):
        desk.row("7.0.0")


def test_two_others_make_it_approved(desk: Any) -> None:
    """Build, gate, two approvals: verified from the disk, m of n."""
    desk.build()
    assert desk.submit().gate["state"] == "passed"
    assert desk.approve("boris").state == "submitted"
    assert not desk.verify().ok
    assert desk.approve("clara").state == "approved"

    found = desk.verify()
    assert found.ok
    assert sorted(found.approvals.valid) == ["boris", "clara"]


@pytest.mark.parametrize(
    ("name", "key", "why"),
    [
        ("anna", "anna", "is the author"),
        ("mallory", "mallory", "unknown"),
        ("boris", "mallory", "unknown"),
        ("clara", "boris", "belongs to boris"),
        ("clara", "anna", "belongs to anna"),
        ("dora", "dora", "not valid today"),
        ("../clara", "clara", "no principal"),
        ("clara", "missing", "there is no key"),
    ],
)
def test_signatures_that_do_not_count(desk: Any, name: str, key: str, why: str) -> None:
    """The author, unknown people, other people's keys, expired keys: each is refused with its reason."""
    desk.build()
    desk.submit()
    with pytest.raises(SignatureRefusedError, match=re.escape(why)):
        desk.approve(name, key=key)

    assert not list((desk.folder / "signatures").iterdir())


def test_one_person_and_one_key_count_once(desk: Any) -> None:
    """Twice the same approver, or the same key under a second name, is one approval."""
    desk.build()
    desk.submit()
    desk.approve("boris")
    with pytest.raises(SignatureRefusedError, match=r"approved release .* already"):
        desk.approve("boris")
    with pytest.raises(SignatureRefusedError, match="one key counts once"):
        desk.approve("eva", key="boris")

    assert desk.row().state == "submitted"


def test_edited_content_voids_what_was_signed(desk: Any) -> None:
    """A manifest or package that was edited after the approvals is not valid; nor can it be approved."""
    desk.build()
    desk.submit()
    desk.approve("boris")
    desk.approve("clara")
    manifest = desk.folder / "manifest.json"
    edited = json.loads(manifest.read_bytes()) | {"allow_open_shift": True}
    manifest.write_bytes(package.canonical(edited))

    assert "edited after it was built" in " ".join(desk.verify().problems)
    with desk.app.database.reading() as session, pytest.raises(NotApprovedError, match="edited"):
        service.demand_valid(session, desk.app.settings, "1.2.0")


def test_a_changed_package_is_found(desk: Any) -> None:
    """The digest of the package stands in what was signed."""
    desk.build()
    desk.submit()
    with (desk.folder / "package.tar.zst").open("ab") as file:
        file.write(b"x")

    with pytest.raises(ContentChangedError, match="build it again"):
        desk.approve("boris")


def test_a_stripped_signature_is_missed(desk: Any) -> None:
    """The row says approved; the disk decides."""
    desk.build()
    desk.submit()
    desk.approve("boris")
    desk.approve("clara")
    (desk.folder / "signatures" / "clara.sig").unlink()

    assert desk.row().state == "approved"
    assert "1 of 2 approvals are valid" in " ".join(desk.verify().problems)


def test_a_signature_of_another_release_does_not_fit(desk: Any) -> None:
    """Signatures are bound to the manifest that they were made for."""
    desk.build("1.1.0")
    desk.submit("1.1.0")
    desk.approve("clara", version="1.1.0")
    desk.build()
    desk.submit()
    desk.approve("boris")
    with desk.app.database.reading() as session:
        other = service.folder(session, "1.1.0") / "signatures" / "clara.sig"
    shutil.copy(other, desk.folder / "signatures" / "clara.sig")

    assert "clara's signature is not good for this manifest" in " ".join(desk.verify().problems)


def test_other_content_under_the_same_version_voids_approvals(desk: Any) -> None:
    """New notes are new content: it is a draft again and everybody signs anew."""
    desk.build()
    desk.submit()
    desk.approve("boris")
    row, new = desk.build(notes={"en": "More"})

    assert (row.state, new) == ("draft", True)
    with desk.app.database.reading() as session:
        assert [approval.state for approval in service.approvals(session, "1.2.0")] == ["void"]
    assert not list((desk.folder / "signatures").iterdir())


def test_nothing_is_approved_before_the_gate(desk: Any) -> None:
    """A draft cannot be approved."""
    desk.build()
    with pytest.raises(RefusedError, match="submit it first"):
        desk.approve("boris")


@pytest.mark.parametrize("verdict", ["reproduced", "flaky", "inconclusive", "cannot-run"])
def test_a_past_defect_that_is_not_ruled_out_blocks(desk: Any, verdict: str) -> None:
    """The release is rejected; the defect and whom it would hit are named; inconclusive is no pass."""
    desk.build()
    key = add_defect(desk, 1, fixed_in="1.1.0")
    desk.replays.verdicts[key] = verdict
    row = desk.submit()

    assert row.state == "rejected"
    assert key in row.reason
    assert "kupets" in row.reason
    with pytest.raises(RefusedError, match="its gate failed"):
        desk.approve("boris")


def test_an_open_defect_is_shown_and_does_not_block(desk: Any) -> None:
    """What the stores have today need not be mended by every release; what is fixed later neither."""
    desk.build()
    for number, fixed_in in ((1, None), (2, "1.3.0")):
        desk.replays.verdicts[add_defect(desk, number, fixed_in=fixed_in)] = "reproduced"
    row = desk.submit()

    assert row.gate["state"] == "passed"
    assert [result["weight"] for result in row.gate["results"]] == ["known", "known"]


def test_a_claimed_fix_must_be_one(desk: Any) -> None:
    """A release that says that it fixes a defect is blocked while the defect shows."""
    key = add_defect(desk, 1, fixed_in=None)
    desk.build(fixed_defects=[key])
    desk.replays.verdicts[key] = "reproduced"

    assert "is not fixed although the release says so" in desk.submit().reason


def test_the_gate_plays_exactly_the_commit_that_was_packed(desk: Any) -> None:
    """A tag may be moved; the commit cannot."""
    row, _ = desk.build()
    key = add_defect(desk, 1, fixed_in="1.1.0")
    desk.submit()

    assert desk.replays.played == [(key, row.commit)]


def test_a_rejected_release_may_be_submitted_again(desk: Any) -> None:
    """A bench that was out of order is not the release's fault: the next gate is a new run."""
    desk.build()
    key = add_defect(desk, 1, fixed_in="1.1.0")
    desk.replays.verdicts[key] = "inconclusive"
    assert desk.submit().state == "rejected"
    desk.replays.verdicts.clear()

    assert desk.submit().gate["state"] == "passed"


def test_a_recalled_release_stays_recalled(desk: Any) -> None:
    """It is not valid, cannot be recalled twice, and is never built again."""
    desk.build()
    desk.submit()
    desk.approve("boris")
    desk.approve("clara")
    with desk.app.unit("person:anna") as unit:
        service.recall(unit, "1.2.0", "receipts are lost")

    assert not desk.verify().ok
    with pytest.raises(RefusedError, match="was recalled"):
        desk.build(notes={"en": "again"})
    with pytest.raises(RefusedError, match="was recalled"), desk.app.unit("person:anna") as unit:
        service.recall(unit, "1.2.0", "again")


def test_what_was_played_before_a_kill_is_not_played_again(desk: Any) -> None:
    """A gate that goes on plays only the bundles whose answer is not known yet."""
    row, _ = desk.build()
    first, second = (add_defect(desk, number, fixed_in="1.1.0") for number in (1, 2))
    with desk.app.database.transaction() as session:
        session.add(
            GatePlayRow(
                gate=f"release.gate:1.2.0:{row.manifest_digest[7:23]}:1",
                defect_id=first,
                verdict="not-reproduced",
                reason="20 clean runs",
                seconds=1.0,
                played_at=desk.app.clock(),
            )
        )
    done = desk.submit()

    assert [name for name, _ in desk.replays.played] == [second]
    assert [one["defect"] for one in done.gate["results"]] == [first, second]
    assert done.gate["state"] == "passed"


def waive(desk: Any, defect: str, principal: str = "boris", reason: str = "tried by hand") -> None:
    with desk.app.unit("person:boris") as unit:
        verdicts.waive(unit, "1.2.0", defect, principal=principal, reason=reason)


def test_what_gave_no_answer_may_be_waived_by_name(desk: Any) -> None:
    """Not by the author, not without a reason; the waiver is kept; the release can then be approved."""
    desk.build()
    key = add_defect(desk, 1, fixed_in="1.1.0")
    desk.replays.verdicts[key] = "cannot-run"
    desk.submit()
    with pytest.raises(RefusedError, match="another person"):
        waive(desk, key, "anna")
    with pytest.raises(RefusedError, match="--reason"):
        waive(desk, key, reason=" ")
    waive(desk, key)

    (result,) = desk.row().gate["results"]
    assert (result["waived"]["by"], result["waived"]["reason"]) == ("boris", "tried by hand")
    assert desk.row().gate["state"] == "passed"
    assert desk.approve("clara").state == "submitted"


def test_a_defect_that_shows_is_never_waived(desk: Any) -> None:
    """Of two that block, the one without an answer is waived and the other one still blocks."""
    desk.build()
    shows, silent = (add_defect(desk, number, fixed_in="1.1.0") for number in (1, 2))
    desk.replays.verdicts |= {shows: "reproduced", silent: "inconclusive"}
    desk.submit()
    with pytest.raises(RefusedError, match="never waived"):
        waive(desk, shows)
    waive(desk, silent)

    assert desk.row().state == "rejected"
    assert shows in desk.row().reason
    assert silent not in desk.row().reason
