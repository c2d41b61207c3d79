"""One command's runs: several at once, each finished one in the journal."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from testbench.drivers.port import PlayedScenario
from testbench.journal import Journal
from testbench.outcomes import Outcome
from testbench.slots.service import SlotsError
from testbench.watching import end_processes

#: One run: what is played, and on which version.
Question = tuple[PlayedScenario, str]
#: How often an ending session looks whether its runs have ended, in seconds.
LOOK = 0.1


class Session:
    """Plays questions, ``benches`` at a time.

    Args:
        play: one run; called from several threads.
        name: the question's name in the journal: equal ones ask the same.
        journal: outcomes that an earlier start has left.
        benches: how many runs go on at once.
        home: the folder that all runs and builds are in.
        stop: set when the command is broken off.
    """

    def __init__(
        self,
        play: Callable[[Question], Outcome],
        name: Callable[[Question], str],
        journal: Journal,
        benches: int,
        home: Path,
        stop: threading.Event,
    ) -> None:
        self._play, self._name, self._journal = play, name, journal
        self._benches, self._home, self._stop = benches, home, stop

    def one(self, question: Question) -> Outcome:
        """One run."""
        return self.all([question])[0]

    def all(self, questions: Sequence[Question]) -> list[Outcome]:
        """So many runs, at most ``benches`` at once; outcomes in the order of the questions.

        Raises:
            VersionError, SourceError: as for ``Bench.play``; the other runs have ended then.
        """
        names = [self._name(question) for question in questions]
        known = [self._journal.take(name) for name in names]
        missing = [place for place, outcome in enumerate(known) if outcome is None]
        if len(missing) == 1 or self._benches == 1:
            for place in missing:
                known[place] = self._finished(names[place], questions[place])
        elif missing:
            for place, outcome in self._together(names, questions, missing).items():
                known[place] = outcome
        return [outcome for outcome in known if outcome is not None]

    def _finished(self, name: str, question: Question) -> Outcome:
        try:
            outcome = self._play(question)
            self._journal.add(name, outcome)
        except SlotsError:
            self._journal.failed = True
            raise
        except OSError as problem:
            self._journal.failed = True
            return Outcome.infra("journal", f"the journal cannot be written: {problem}")
        return outcome

    def _together(
        self, names: Sequence[str], questions: Sequence[Question], places: Sequence[int]
    ) -> dict[int, Outcome]:
        pool = ThreadPoolExecutor(self._benches, thread_name_prefix="bench")
        futures = {pool.submit(self._finished, names[place], questions[place]): place for place in places}
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            return {place: future.result() for future, place in futures.items()}
        except Exception:
            raise
        except BaseException:
            # Ctrl-C or SIGTERM: runs of other threads hear nothing of it, so their processes are ended.
            self._stop.set()
            self._end(pool, futures)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _end(self, pool: ThreadPoolExecutor, futures: dict[Future[Outcome], int]) -> None:
        pool.shutdown(wait=False, cancel_futures=True)
        while wait(futures, timeout=LOOK).not_done:
            with contextlib.suppress(OSError):
                end_processes(self._home)
