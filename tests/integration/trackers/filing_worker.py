"""Workers in processes of their own, to be killed: ``filing_worker.py HOME``.

For each line on its input it forks one worker and writes its pid: what a worker needs is imported once, so
one that was killed is there again at once. It is the service's worker but for a short lease.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

from pipeline.application import Garant
from pipeline.engine.dispatch import Dispatcher
from pipeline.engine.worker import Worker
from pipeline.settings import load_settings
from pipeline.wiring import job_functions, tick_functions

LEASE = timedelta(seconds=3)
GRACE = timedelta(seconds=1)


def work(home: Path) -> None:
    app = Garant(load_settings(home))
    dispatcher = Dispatcher(
        app.unit,
        app.clock,
        worker=f"w{os.getpid()}",
        ticks=tick_functions(app),
        jobs=job_functions(app),
        lease=LEASE,
    )
    queues = {"ticks": 2, "tracker": 1}
    with Worker(app.engine, dispatcher, app.unit, queues=queues, grace=GRACE, reaper_interval_s=0.3):
        while True:
            time.sleep(60)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                work(Path(sys.argv[1]))
            finally:  # a child never goes on with its parent's loop
                os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
