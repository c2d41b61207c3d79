"""How fast a store's link may be used: a token bucket. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class TokenBucket:
    """Tokens are bytes; they come at ``rate`` a second, and ``burst`` of them can be saved up.

    It is asked after the bytes have come, so it may go into debt: the wait that it answers pays that off.
    Over any time t no more than ``burst + rate * t`` bytes pass, and one piece.
    """

    rate: float
    burst: float
    #: At the instant of the first ``take``.
    tokens: float = 0.0
    _at: float | None = None

    def take(self, size: int, now: float) -> float:
        """Take ``size`` bytes out at ``now`` (seconds of any clock); returns the seconds to wait."""
        if self._at is not None:
            self.tokens = min(self.burst, self.tokens + (now - self._at) * self.rate)
        self._at = now
        self.tokens -= size
        return max(-self.tokens / self.rate, 0.0)
