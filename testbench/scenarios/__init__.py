"""Scenarios: their schema and folders, how one is made from evidence, how one is told to people."""

from testbench.scenarios.description import describe
from testbench.scenarios.errors import EvidenceError, ScenarioError
from testbench.scenarios.evidence import from_evidence
from testbench.scenarios.folder import read, write
from testbench.scenarios.schema import Event, OracleSpec, Scenario, Stated

__all__ = [
    "Event",
    "EvidenceError",
    "OracleSpec",
    "Scenario",
    "ScenarioError",
    "Stated",
    "describe",
    "from_evidence",
    "read",
    "write",
]
