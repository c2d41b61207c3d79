"""The runner's contract, for real hosts by Ansible and for the fleet in memory: the same answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.fleet.tables import HostRow
from pipeline.releases import service as releases
from pipeline.rollouts.findings import Answer
from pipeline.rollouts.runner.ansible import AnsibleRunner
from pipeline.rollouts.runner.fake import FakeHost, FakeRunner
from pipeline.rollouts.runner.port import Action, HostAnswer, RunEnd, RunHost, Runner, RunOrder

pytestmark = [
    pytest.mark.stores,
    pytest.mark.parametrize("site", [("east",)], indirect=True),
]

NEW = "10.4.6.0"
HOSTS = ("east-server", "east-r1")


class Ear:
    """Remembers what it is told; may ask for an end when a change begins."""

    def __init__(self, on_begun: Callable[[], None] = lambda: None) -> None:
        self.begun_on: list[str] = []
        self.answers: dict[str, HostAnswer] = {}
        self._on_begun = on_begun

    def begun(self, host: str) -> None:
        self.begun_on.append(host)
        self._on_begun()

    def answered(self, answer: HostAnswer) -> None:
        self.answers[answer.host] = answer


def runners(site: Any) -> list[tuple[str, Runner, Callable[[str], None]]]:
    """Each runner with a way to cut a host off from it."""
    fakes = {name: FakeHost(version="10.4.5.0") for name in HOSTS}
    real = AnsibleRunner(identity=site.app.settings.ssh_identity)

    def cut_fake(name: str) -> None:
        fakes[name].online = False

    return [("fake", FakeRunner(fakes), cut_fake), ("ansible", real, site.stores.unplug)]


def order(site: Any, folder: Path, action: Action, attempt: int = 1, **more: Any) -> RunOrder:
    from pipeline.fleet import service as fleet

    with site.app.database.reading() as session:
        rows = [session.get_one(HostRow, name) for name in HOSTS]
        release = releases.release(session, NEW)
        values: dict[str, Any] = {
            "ident": folder.name,
            "action": action,
            "hosts": tuple(
                RunHost(
                    name=row.id,
                    role=row.role,
                    address=row.address,
                    port=row.port,
                    user=row.user,
                    effect_id=f"R-1.{row.id}.{attempt}",
                    server_lan=rows[0].lan_address if row.role == "register" else None,
                )
                for row in rows
            ),
            "folder": folder,
            "release": Path(release.folder),
            "digest": release.digest,
            "version": NEW,
            "known_hosts": fleet.ssh_known_hosts(session, rows),
            "health_timeout_s": 8,
            "seconds": 120.0,
        }
    return RunOrder(**{**values, **more})


def carry_out(runner: Runner, asked: RunOrder) -> tuple[RunEnd, Ear]:
    ear = Ear()
    return runner.run(asked, ear, threading.Event()), ear


def test_the_contract(site: Any, tmp_path: Path) -> None:
    """Look, change, change again by the same effect, look at one that is cut off."""
    site.release()
    for name, runner, cut in runners(site):
        at = tmp_path / name
        end, ear = carry_out(runner, order(site, at / "look", Action.PROBE))
        assert end.complete, end.detail
        assert {h: a.answer for h, a in end.answers.items()} == dict.fromkeys(HOSTS, Answer.REPORTED)
        seen = {h: (a.result or {})["probe"] for h, a in end.answers.items()}
        assert {probe["version"] for probe in seen.values()} == {"10.4.5.0"}
        assert all(probe["healthy"] and probe["receipt"] is None for probe in seen.values())

        end, ear = carry_out(runner, order(site, at / "change", Action.UPDATE))
        assert {(a.result or {})["state"] for a in end.answers.values()} == {"done"}, end
        assert sorted(set(ear.begun_on)) == sorted(HOSTS)
        assert ear.answers == end.answers

        end, _ = carry_out(runner, order(site, at / "again", Action.UPDATE))
        assert {(a.result or {})["state"] for a in end.answers.values()} == {"done"}
        assert not any((a.result or {})["changed"] for a in end.answers.values())

        cut("east-r1")
        end, _ = carry_out(runner, order(site, at / "cut", Action.PROBE))
        assert end.answers["east-r1"].answer is Answer.UNREACHABLE
        assert end.answers["east-server"].answer is Answer.REPORTED


def test_a_wrong_host_key_is_refused(site: Any, tmp_path: Path) -> None:
    """A host that shows another key than the pinned one is not spoken to, so nothing is done to it."""
    site.release()
    wrong = order(site, tmp_path / "run", Action.UPDATE)
    lines = wrong.known_hosts.splitlines()
    keys = [line.split(" ", 1)[1] for line in lines]
    swapped = "\n".join(
        f"{line.split(' ', 1)[0]} {key}" for line, key in zip(lines, reversed(keys), strict=True)
    )
    asked = order(site, tmp_path / "run", Action.UPDATE, known_hosts=swapped + "\n")
    end, ear = carry_out(AnsibleRunner(identity=site.app.settings.ssh_identity), asked)

    assert {answer.answer for answer in end.answers.values()} <= {Answer.UNREACHABLE, Answer.SILENT}
    assert not any(answer.answer is Answer.REPORTED for answer in ear.answers.values())
    assert set(site.versions().values()) == {"10.4.5.0"}


def test_a_cancelled_run_ends_and_leaves_no_process(site: Any, tmp_path: Path) -> None:
    """Told to end in mid-change: not complete, hosts without an answer are silent, nothing runs on here;
    the host itself comes to an end that its receipt names."""
    site.release()
    cancelled = threading.Event()
    ear = Ear(on_begun=cancelled.set)
    asked = order(site, tmp_path / "run", Action.UPDATE)
    end = AnsibleRunner(identity=site.app.settings.ssh_identity).run(asked, ear, cancelled)

    assert not end.complete
    assert end.answers["east-r1"].answer in (Answer.SILENT, Answer.UNREACHABLE)
    left = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    assert not [p.info for p in left if "ansible" in " ".join(p.info["cmdline"])]

    def settled() -> bool:
        receipts = site.stores.run("east-server", "cat /var/lib/garant/receipts/*.json").stdout
        return not receipts or '"final": true' in receipts or '"final":true' in receipts

    site.until(settled, "the host's own end")
    assert site.versions()["east-server"] in ("10.4.5.0", NEW)
