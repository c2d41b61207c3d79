"""A worker in a process of its own, to be killed: ``filing_worker.py HOME``.

It is the service's worker, but for a short lease, so that what it leaves is taken over in seconds.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

from pipeline.application import Garant
from pipeline.engine.dispatch import Dispatcher
from pipeline.engine.worker import Worker
from pipeline.settings import load_settings
from pipeline.wiring import job_functions, tick_functions

LEASE = timedelta(seconds=2)
GRACE = timedelta(seconds=1)


def main() -> None:
    app = Garant(load_settings(Path(sys.argv[1])))
    dispatcher = Dispatcher(
        app.unit,
        app.clock,
        worker=f"w{time.time_ns()}",
        ticks=tick_functions(app),
        jobs=job_functions(app),
        lease=LEASE,
    )
    queues = {"ticks": 2, "tracker": 1}
    with Worker(app.engine, dispatcher, app.unit, queues=queues, grace=GRACE, reaper_interval_s=0.3):
        print("works", flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
