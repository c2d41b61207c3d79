"""The figures of a plan that a person may set; stored with the rollout. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from pipeline.rollouts.budgets import DEFAULT_CAP


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How careful a rollout is. None of it can loosen signatures, shift gates or windows."""

    #: Share of a store's registers that may be out of service at once.
    cap: float = DEFAULT_CAP
    #: How long a wave is watched after its last store before the next one opens.
    soak: timedelta = timedelta(minutes=30)
    #: Update plus rollback of one host must fit before the window's end.
    need: timedelta = timedelta(minutes=10)
    #: The rollout pauses when more hosts have failed than this, and more than this share of those tried.
    #: In the first wave the first failure pauses.
    max_failures: int = 1
    max_failure_share: float = 0.05
    #: A wave that has not met its success criterion after so long is inconclusive, and pauses.
    wave_deadline: timedelta = timedelta(days=7)
    #: A look at a host is good for so long; then it is looked at again before it is touched.
    probe_fresh: timedelta = timedelta(minutes=10)
    #: Waits: after a refusal (open shift), for a store that does not answer, for an unknown host.
    refusal_retry: timedelta = timedelta(minutes=2)
    offline_retry: timedelta = timedelta(minutes=5)
    unknown_retry: timedelta = timedelta(seconds=15)
    #: Hosts of one Ansible run (DESIGN section 9: each run costs a second, so many; a run is also what a
    #: crash makes unknown, so not too many).
    slice_size: int = 50
    #: Seconds that the host waits for its service to become healthy before it goes back by itself.
    health_timeout: timedelta = timedelta(seconds=60)

    def as_json(self) -> dict[str, Any]:
        """Durations as seconds."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {k: v.total_seconds() if isinstance(v, timedelta) else v for k, v in values.items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Policy:
        """Read what ``as_json`` wrote; what newer code added has its default."""
        durations = {field.name for field in fields(cls) if isinstance(field.default, timedelta)}
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {
            key: timedelta(seconds=value) if key in durations else value
            for key, value in record.items()
            if key in known
        }
        return cls(**values)
