"""What is right: oracles over exported documents and visible behaviour (DESIGN section 7)."""

from testbench.oracles.documents import DocumentError
from testbench.oracles.findings import Finding
from testbench.oracles.judgement import Question, judge
from testbench.oracles.observations import Observations
from testbench.oracles.stated import Statement

__all__ = ["DocumentError", "Finding", "Observations", "Question", "Statement", "judge"]
