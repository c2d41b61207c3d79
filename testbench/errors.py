"""The exception tree of the test bench.

``TestbenchError`` is the root: the command line turns it into exit code 1 with its message on stderr.
"""


class TestbenchError(Exception):
    """Something the bench refuses or cannot do; the message names thing, state and next action."""

    __test__ = False  # pytest collects classes named Test*


class UsageError(TestbenchError):
    """The call itself is wrong (exit code 2): an unknown option value, a file that is not what it must be."""
