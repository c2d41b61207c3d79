"""The exception tree of Garant.

``GarantError`` is the root: the command line turns it into exit code 1 with its message on stderr,
the web into a page or a problem document. Every message names the thing, its state and the next action.
"""


class GarantError(Exception):
    """Something Garant refuses or cannot do."""


class NotFoundError(GarantError):
    """What was named does not exist; the message says where to look."""


class RefusedError(GarantError):
    """The thing exists, but its state or a rule forbids the request; nothing was changed."""


class ConflictError(GarantError):
    """Another worker or person changed the row first; read it again and decide again."""


class UnavailableError(GarantError):
    """The world outside did not answer (host, tracker, mail server); nothing was changed, try again later."""
