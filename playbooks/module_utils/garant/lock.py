"""One change at a time on a host: flock, which the kernel gives back when its holder dies."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .errors import BusyError
from .layout import HostLayout, read_json

POLL = 0.1  # seconds
#: Seconds: who takes the lock writes its name just after, so a name read earlier may be of the holder before.
NAMED_AFTER = 1.0


def holder(layout: HostLayout) -> tuple[bool, str | None]:
    """Return whether the host is locked, and by which effect."""
    try:
        handle = os.open(layout.lock, os.O_RDONLY)
    except OSError:
        return False, None
    try:
        # A shared lock asks without keeping another asker out; a change waits longer than this takes.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True, (read_json(layout.lock) or {}).get("effect_id")
    finally:
        os.close(handle)
    return False, None


@contextmanager
def locked(
    layout: HostLayout,
    effect_id: str,
    *,
    wait: float,
    wait_for_same: float,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[int]:
    """Hold the host's lock and yield its handle; closing ours leaves it to those who share it (worker, stop).

    ``wait``: seconds to wait for another effect; ``wait_for_same``: seconds for the same effect,
    whose outcome is the outcome of this call too.

    Raises:
        BusyError: still held after that.
    """
    layout.work.mkdir(parents=True, exist_ok=True)
    handle = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        began = monotonic()
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                by = (read_json(layout.lock) or {}).get("effect_id")
                if monotonic() - began >= max(NAMED_AFTER, wait_for_same if by == effect_id else wait):
                    raise BusyError(
                        f"effect {by} holds this host: probe it, and ask again when it is over"
                    ) from None
            sleep(POLL)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"effect_id": effect_id, "pid": os.getpid()}).encode(), 0)
        yield handle
    finally:
        # Not LOCK_UN: that would take the lock from the worker too, it shares it.
        os.close(handle)
