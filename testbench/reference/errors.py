"""Errors of the reference SET.

HistoryError (a TestbenchError)
  SeriesError      the series in this package is damaged, or the machine's git made other ids of it
  TargetError      the place to build in holds something else, or can't be written
"""

from testbench.errors import TestbenchError


class HistoryError(TestbenchError):
    """The history of the reference SET could not be built."""


class SeriesError(HistoryError):
    """The series of patches is damaged, or this machine's git made other commit ids of it."""


class TargetError(HistoryError):
    """The place to build in holds something else, or can't be written."""
