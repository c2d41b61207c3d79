"""Consistent pseudonymisation of personal data in what a store gives (DESIGN sections 1 and 5)."""

from testbench.masking.errors import MaskingError
from testbench.masking.masker import Masker

__all__ = ["Masker", "MaskingError"]
