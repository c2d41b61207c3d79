"""The jobs that touch hosts: ``rollout.slice`` changes those of a slice, ``rollout.probe`` looks at some."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from pipeline.engine.dispatch import JobFunction, RunningJob
from pipeline.errors import GarantError
from pipeline.fleet import service as fleet
from pipeline.fleet.tables import HostRow
from pipeline.releases import service as releases
from pipeline.rollouts import folding
from pipeline.rollouts.findings import Answer, judge_probe, judge_result
from pipeline.rollouts.policy import Policy
from pipeline.rollouts.rules import still_allowed
from pipeline.rollouts.runner.port import Action, HostAnswer, RunHost, Runner, RunOrder
from pipeline.rollouts.states import HostState
from pipeline.rollouts.tables import HostUpdateRow, RolloutRow, StoreUpdateRow
from pipeline.rollouts.transitions import lock_store, move_host
from pipeline.rollouts.views import load_store

if TYPE_CHECKING:
    from pipeline.application import Garant

#: Seconds of a run beyond the host's own health timeout: transfer, unpacking, stop, start, rollback.
RUN_SECONDS = 600.0
PROBE_SECONDS = 60.0


def jobs(app: Garant, runner: Runner | None = None) -> dict[str, JobFunction]:
    """By kind of job; ``runner`` is Ansible unless another one is given."""
    if runner is None:
        from pipeline.rollouts.runner.ansible import AnsibleRunner

        runner = AnsibleRunner(identity=app.settings.ssh_identity, python=app.settings.host_python)
    return {
        "rollout.slice": SliceJob(app, runner),
        "rollout.probe": ProbeJob(app, runner),
    }


class _HostsJob:
    """What both jobs share: the order for the runner, made from the rows."""

    def __init__(self, app: Garant, runner: Runner) -> None:
        self.app = app
        self.runner = runner

    def order(self, job: RunningJob, action: Action, ids: Sequence[str]) -> RunOrder:
        """What the runner is to do with the hosts of these rows."""
        with self.app.database.reading() as session:
            rows = [session.get_one(HostUpdateRow, key) for key in ids]
            rollout = session.get_one(RolloutRow, job.args["rollout"])
            policy = Policy.from_json(rollout.policy)
            targets = [session.get_one(HostRow, row.host_id) for row in rows]
            extra = policy.health_timeout.total_seconds() * 2
            ident = f"{job.effect_id.replace('/', '-').replace(':', '-')}-{action.value}"
            return RunOrder(
                ident=ident,
                action=action,
                hosts=tuple(_run_host(session, row, host) for row, host in zip(rows, targets, strict=True)),
                folder=self.app.settings.folder("rollouts") / rollout.id / ident,
                release=releases.folder(session, rollout.release_id),
                digest=rollout.digest,
                version=rollout.target,
                known_hosts=fleet.ssh_known_hosts(session, targets),
                health_timeout_s=policy.health_timeout.total_seconds(),
                seconds=RUN_SECONDS + extra if action is Action.UPDATE else PROBE_SECONDS,
            )

    def probe(self, job: RunningJob, ids: Sequence[str]) -> dict[str, str]:
        """Look at the hosts and write what is seen; returns host to state."""
        order = self.order(job, Action.PROBE, ids)
        end = self.runner.run(order, _Deaf(), job.cancelled)
        for key in ids:
            self._fold_probe(job, key, end.answers[_host_of(key)])
        return self.states(ids)

    def _fold_probe(self, job: RunningJob, key: str, answer: HostAnswer) -> None:
        with self.app.unit(f"host:{answer.host}") as unit:
            folding.fence(unit, job)
            row = folding.locked_host(unit, key)
            rollout = unit.session.get_one(RolloutRow, row.rollout_id)
            before = HostState(row.state)
            row.run_id = row.wants = None
            if before in (HostState.PLANNED, HostState.VERIFYING, HostState.UNKNOWN):
                target = folding.target_of(rollout, row)
                finding = judge_probe(before, answer.answer, answer.result, target)
                folding.take(
                    unit,
                    row,
                    finding,
                    Policy.from_json(rollout.policy),
                    probed=True,
                    evidence=answer.result or {"detail": answer.detail},
                )
            unit.wake("store_update", row.store_update_id)

    def states(self, ids: Sequence[str]) -> dict[str, str]:
        """Host to state, as the rows are now."""
        with self.app.database.reading() as session:
            return {_host_of(key): session.get_one(HostUpdateRow, key).state for key in ids}

    def lose_all(self, job: RunningJob, reason: str, keys: Sequence[str]) -> None:
        """The hosts of the job are no longer in anybody's hands."""
        for key in keys:
            with self.app.unit("worker:rollout") as unit:
                folding.fence(unit, job)
                row = folding.locked_host(unit, key)
                if row.run_id == job.effect_id:
                    folding.lose(unit, row, reason)


class ProbeJob(_HostsJob):
    """Looks at hosts; changes nothing, so it may run any number of times."""

    def __call__(self, job: RunningJob) -> dict[str, Any]:
        """The states after the look."""
        return {"states": self.probe(job, job.args["hosts"])}


class SliceJob(_HostsJob):
    """Changes the hosts of one slice, once.

    A second attempt means that the first one died somewhere: it does not act again. Its hosts are unknown,
    and the rules decide after they have been probed (DESIGN section 3).
    """

    def __call__(self, job: RunningJob) -> dict[str, Any]:
        """The states of the slice's hosts after the run."""
        keys: list[str] = job.args["hosts"]
        if job.attempt > 1:
            return self._recover(job, keys)
        wrong = self._wrong_release(job)
        going = [] if wrong else self._begin(job, keys)
        if wrong:
            self._stop_rollout(job, wrong)
            self.lose_all(job, wrong, keys)
        if going:
            self._apply(job, going)
            self._verify(job, going)
        return {"states": self.states(keys), **({"refused": wrong} if wrong else {})}

    def _recover(self, job: RunningJob, keys: Sequence[str]) -> dict[str, Any]:
        ident = self.order(job, Action.UPDATE, keys)
        self.runner.stop_leftover(ident.folder)
        self.lose_all(job, "the run that had it was cut off; it is looked at before anything else", keys)
        return {"recovered": self.states(keys)}

    def _wrong_release(self, job: RunningJob) -> str:
        """Why nothing of the release may be applied: approvals and content are checked before every slice."""
        with self.app.database.reading() as session:
            release_id = session.get_one(RolloutRow, job.args["rollout"]).release_id
            try:
                releases.demand_valid(session, self.app.settings, release_id)
            except GarantError as error:
                return str(error)
        return ""

    def _stop_rollout(self, job: RunningJob, reason: str) -> None:
        """What is not what was approved goes to nobody until a person has looked at it."""
        from pipeline.rollouts import service

        with self.app.unit("worker:rollout") as unit:
            folding.fence(unit, job)
            service.halt(unit, job.args["rollout"], reason)

    def _begin(self, job: RunningJob, keys: Sequence[str]) -> list[str]:
        """The last look at the rows before hosts are touched: who may go on, who goes back."""
        going: list[str] = []
        with self.app.unit("worker:rollout") as unit:
            folding.fence(unit, job)
            by_store: dict[tuple[str, str], list[str]] = {}
            for key in keys:
                row = unit.session.get_one(HostUpdateRow, key)
                by_store.setdefault((row.store_id, row.store_update_id), []).append(key)
            for (store_id, store_update_id), members in sorted(by_store.items()):
                lock_store(unit, store_id)
                update = unit.get(StoreUpdateRow, store_update_id, called="store update")
                unit.session.flush()
                unit.session.expire_all()  # what was read before the lock may be old
                loaded = load_store(unit.session, update, unit.now, lock=True)
                mine = {_host_of(key): key for key in members}
                allowed = still_allowed(loaded.view, list(mine), loaded.policy, unit.now)
                for name, key in mine.items():
                    row = loaded.hosts[name]
                    if row.run_id != job.effect_id or HostState(row.state) is not HostState.LEASED:
                        continue
                    if allowed[name]:
                        folding.give_back(unit, row, allowed[name])
                    else:
                        move_host(unit, row, HostState.PRE_OK)
                        going.append(key)
        return going

    def _apply(self, job: RunningJob, keys: Sequence[str]) -> None:
        order = self.order(job, Action.UPDATE, keys)
        listener = _Folder(self, job, {_host_of(key): key for key in keys})
        job.report(f"changing {len(keys)} host(s)", done=0, total=len(keys))
        try:
            end = self.runner.run(order, listener, job.cancelled)
        except GarantError as error:
            # The run was never begun: no host was touched.
            self._not_begun(job, keys, str(error))
            return
        for answer in end.answers.values():
            listener.answered(answer)

    def _not_begun(self, job: RunningJob, keys: Sequence[str], reason: str) -> None:
        for key in keys:
            with self.app.unit("worker:rollout") as unit:
                folding.fence(unit, job)
                row = folding.locked_host(unit, key)
                if HostState(row.state) is HostState.PRE_OK:
                    rollout = unit.session.get_one(RolloutRow, row.rollout_id)
                    row.not_before = unit.now + Policy.from_json(rollout.policy).refusal_retry
                    folding.give_back(unit, row, reason)

    def _verify(self, job: RunningJob, keys: Sequence[str]) -> None:
        """What says that it is done is looked at from outside before it counts."""
        states = self.states(keys)
        verifying = [key for key in keys if states[_host_of(key)] == HostState.VERIFYING.value]
        if verifying:
            job.report(f"looking at {len(verifying)} host(s)")
            self.probe(job, verifying)


class _Deaf:
    """Listens to nothing: a look is folded when the run is over."""

    def begun(self, host: str) -> None:
        """Not of interest."""

    def answered(self, answer: HostAnswer) -> None:
        """Not of interest."""


class _Folder:
    """Writes what hosts say into their rows while the run goes on; the same answer twice is one."""

    def __init__(self, parent: SliceJob, job: RunningJob, keys: Mapping[str, str]) -> None:
        self._app, self._job, self._keys = parent.app, job, keys
        self._answered: set[str] = set()

    def begun(self, host: str) -> None:
        """The change begins on the host."""
        with self._app.unit(f"host:{host}") as unit:
            folding.fence(unit, self._job)
            row = folding.locked_host(unit, self._keys[host])
            if HostState(row.state) is HostState.PRE_OK:
                move_host(unit, row, HostState.APPLYING)

    def answered(self, answer: HostAnswer) -> None:
        """The host has answered, or the run is over without its answer."""
        if answer.host in self._answered:
            return
        with self._app.unit(f"host:{answer.host}") as unit:
            folding.fence(unit, self._job)
            row = folding.locked_host(unit, self._keys[answer.host])
            rollout = unit.session.get_one(RolloutRow, row.rollout_id)
            finding = judge_result(
                answer.answer,
                answer.result,
                folding.target_of(rollout, row),
                detail=answer.detail,
                finishing=row.finish,
            )
            result = answer.result or {"detail": answer.detail}
            row.out_of_service_s += float(result.get("out_of_service_seconds") or 0.0)
            row.version_before = result.get("version_before") or row.version_before
            if finding.state is not HostState.VERIFYING:
                row.run_id = None
            folding.take(unit, row, finding, Policy.from_json(rollout.policy), probed=False, evidence=result)
        if answer.answer is not Answer.SILENT:
            self._answered.add(answer.host)
            self._job.report(f"{answer.host}: {finding.state.value}", done=len(self._answered))


def _run_host(session: Session, row: HostUpdateRow, host: HostRow) -> RunHost:
    server_lan = None
    if row.role == "register":
        servers = [h for h in fleet.hosts_of_store(session, host.store_id) if h.role == "server"]
        server_lan = servers[0].lan_address or servers[0].address if servers else None
    jump = session.get(HostRow, host.jump) if host.jump else None
    return RunHost(
        name=host.id,
        role=row.role,
        address=host.address,
        port=host.port,
        user=host.user,
        effect_id=folding.effect_id(row),
        server_lan=server_lan,
        jump=f"{jump.user}@{jump.address}:{jump.port}" if jump is not None else None,
    )


def _host_of(key: str) -> str:
    return key.partition("/")[2]
