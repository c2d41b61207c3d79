"""What can be wrong with a scenario or with the evidence that it is made from."""

from testbench.errors import TestbenchError, UsageError


class ScenarioError(UsageError):
    """A scenario cannot be read; the message names the file, the field and what is allowed there."""


class EvidenceError(TestbenchError):
    """An evidence folder as a whole cannot be used; single bad files are only noted in the scenario."""
