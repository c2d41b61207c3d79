"""The exceptions of a change on one host.

``HostError`` is the root. ``RefusedError`` means that nothing was touched; ``ChangeError`` that a step after
the service was stopped did not succeed, so the change must be undone.
"""


class HostError(Exception):
    """Something on this host is not as it must be; the message names it, its state, the next action."""


class RefusedError(HostError):
    """The host may not be touched now, or what was offered is not acceptable; everything is as before."""


class ChangeError(HostError):
    """A step of the change failed after the service was stopped; the caller undoes it."""


class BusyError(HostError):
    """Another change holds the host."""
