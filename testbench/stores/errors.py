"""The exception tree of the local stores.

``StoresError`` and its kinds all become exit code 1 with the message on stderr; ``StoresUsageError`` 2.
"""

from __future__ import annotations

from testbench.errors import TestbenchError, UsageError


class StoresError(TestbenchError):
    """Local stores could not do what was asked; the message names thing, state and next action."""


class StoresUsageError(StoresError, UsageError):
    """The plan or the option itself is wrong: a bad store name, no such store, a rate that is no rate."""


class ModeUnavailableError(StoresError):
    """This machine cannot have stores of the wanted kind; the message gives every reason found."""


class StateError(StoresError):
    """The state directory is in the wrong state for the request (stores already up, not up, in use)."""


class StartError(StoresError):
    """A host did not start or did not answer in time; the message tells where its console is."""
