"""The driver of SET 10 (product driver `set`)."""

from testbench.drivers.set10.driver import SetDriver


def driver() -> SetDriver:
    """The driver, for ``testbench.drivers.registry``."""
    return SetDriver()


__all__ = ["SetDriver", "driver"]
