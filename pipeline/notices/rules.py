"""What an answer of a channel means for a notice: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

#: Waits after an answer that is not final: greylisting lasts minutes, a dead server hours (RFC 5321 4.5.4.1).
WAITS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 30, 60))
#: Tried this long in vain, a notice has failed and a person must act: the terms of the tariff are hours, so
#: the usual four to five days of mail servers would hide the failure.
GIVE_UP_AFTER = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A channel's answer.

    Attributes:
        accepted: the channel took over the responsibility (SMTP 250 after DATA, file in the Maildir).
        code: the SMTP reply code, 250 for a Maildir, 0 when there was no answer.
        text: what it said.
        permanent: asking again is useless (5xx).
    """

    accepted: bool
    code: int
    text: str
    permanent: bool = False


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The notice's next state; ``again_at`` when it is to be tried again."""

    state: str
    again_at: datetime | None = None


def after_attempt(delivery: Delivery, *, attempts: int, first_at: datetime, now: datetime) -> Decision:
    """What follows from one answer.

    Args:
        attempts: made so far, this one included.
        first_at: when the first one was made.
    """
    if delivery.accepted:
        return Decision(state="accepted")
    again_at = now + WAITS[min(max(attempts, 1), len(WAITS)) - 1]
    if delivery.permanent or again_at - first_at > GIVE_UP_AFTER:
        return Decision(state="failed")
    return Decision(state="sent", again_at=again_at)
