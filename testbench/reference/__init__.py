"""The reference SET: a small, honest model of one store, with a history of releases, defects and fixes.

``build_history`` makes its git repository; ``testbench.reference.trading`` makes goods and a shift's work.
"""

from testbench.reference.errors import HistoryError, SeriesError, TargetError
from testbench.reference.history import HistoryReport, build_history
from testbench.reference.series import Release, Series, load_series

__all__ = [
    "HistoryError",
    "HistoryReport",
    "Release",
    "Series",
    "SeriesError",
    "TargetError",
    "build_history",
    "load_series",
]
