"""What masking refuses."""

from testbench.errors import TestbenchError


class MaskingError(TestbenchError):
    """A file cannot be masked safely, so it must not be stored: too large, or XML with its own entities."""
