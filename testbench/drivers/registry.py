"""Finds a driver by the name that product.yaml gives; imports it only then."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from testbench.drivers.port import Driver
from testbench.errors import TestbenchError, UsageError

#: Name in product.yaml -> module with a function ``driver()``.
DRIVERS = {"command": "testbench.drivers.command", "set": "testbench.drivers.set10"}


def driver(name: str) -> Driver[Any]:
    """The driver called ``name``.

    Raises:
        UsageError: there is no driver of that name.
        TestbenchError: the driver is known but not installed here.
    """
    if name not in DRIVERS:
        raise UsageError(f"driver {name!r} is not known; product.yaml may name one of: {', '.join(DRIVERS)}")
    try:
        make: Callable[[], Driver[Any]] = importlib.import_module(DRIVERS[name]).driver
    except (ImportError, AttributeError) as problem:
        raise TestbenchError(
            f"driver {name!r} ({DRIVERS[name]}) cannot be loaded: {problem}; install the package again"
        ) from problem
    return make()
