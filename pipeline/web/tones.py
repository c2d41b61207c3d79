"""How a state looks: a tone for the colour and a sign beside the word, so that colour never speaks alone."""

from __future__ import annotations

_TONES = {
    "good": {
        "met", "restored", "fixed", "accepted", "approved", "passed", "verified", "done", "completed",
        "collected", "in-service", "valid", "active", "not-reproduced", "superseded",
    },
    "busy": {
        "running", "registered", "classified", "collecting", "sent", "open", "soaking", "server", "registers",
        "leased", "pre-ok", "applying", "verifying", "checking", "scheduled", "submitted", "filed", "staged",
    },
    "wait": {
        "paused", "waiting", "partial", "awaiting-approval", "recorded", "inconclusive", "flaky", "unknown",
        "completed-with-exceptions",
    },
    "later": {"queued", "draft", "pending", "planned", "skipped"},
    "bad": {
        "breached", "failed", "bounced", "rejected", "reopened", "rolled-back", "rolling-back", "needs-human",
        "held", "down", "aborted", "recalled", "void", "cannot-run", "not-fixed",
    },
    "over": {"closed", "cancelled", "absent", "retired", "former"},
}  # fmt: skip
_SIGNS = {
    "good": "\u2713",
    "busy": "\u25b6",
    "wait": "\u2026",
    "later": "\u25cb",
    "bad": "\u2717",
    "over": "\u2013",
}


def tone(state: str) -> str:
    """good | busy | wait | later | bad | over; a state that is not known here waits for a person."""
    return next((name for name, states in _TONES.items() if state in states), "wait")


def sign(state: str) -> str:
    """The sign of its tone."""
    return _SIGNS[tone(state)]
