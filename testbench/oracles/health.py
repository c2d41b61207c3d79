"""Oracle alive: nothing crashed, hung, answered with HTTP 500 or failed to exchange."""

from __future__ import annotations

from collections.abc import Iterator

from testbench.oracles.findings import Finding
from testbench.oracles.observations import Observations

NAME = "alive"
_EXPECTED = {
    "crash": "the process goes on",
    "http-500": "an answer, or a refusal with its reason",
    "hang": "an answer in time",
    "exchange-failed": "the register exchanges with the server",
}


def check(seen: Observations) -> Iterator[Finding]:
    """One finding per trouble; the rule names its kind, the role and the error's type, never data."""
    for trouble in seen.troubles:
        # A whole store may run in one process: which of its parts crashed is then not to be seen.
        role = "" if trouble.kind == "crash" else trouble.where.split(" ")[0]
        rule = ":".join(part for part in (trouble.kind, role, trouble.what) if part)
        seen_text = trouble.detail.strip().splitlines()[-1][:300] if trouble.detail.strip() else trouble.what
        yield Finding(NAME, rule, trouble.where, _EXPECTED.get(trouble.kind, "health"), seen_text)
