"""How often the sequential test is right, and what it costs: DESIGN section 7 by simulation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

from testbench import statistics
from testbench.outcomes import Outcome
from testbench.verdicts.judge import judge
from testbench.verdicts.rules import Word
from tests.benchmarks.report import Options, Report, Tell

RATES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.0)
#: Verdicts for each rate and seed asked for; an error of .01 needs hundreds to be seen.
VERDICTS_PER_SEED = 20


def run(options: Options, tell: Tell) -> Iterator[Report]:
    """True rate against verdicts and runs."""
    yield _constants()
    count = options.seeds * (5 if options.quick else VERDICTS_PER_SEED)
    words = [Word.REPRODUCED, Word.FLAKY, Word.INCONCLUSIVE, Word.NOT_REPRODUCED]
    report = Report(
        title=f"verdicts: true failure rate against what is said, {count} verdicts each",
        columns=["rate", *(word.value for word in words), "mean runs", "interval holds the rate"],
        notes=["goal: .01 (healthy) is shown, and .2 (a defect) is rejected, in 1 % each or less"],
    )
    for rate in RATES:
        tell(f"verdicts: rate {rate}")
        said: Counter[Word] = Counter()
        runs = inside = 0
        for seed in range(count):
            dice = random.Random(f"{rate} {seed}")
            verdict = judge(
                lambda _, dice=dice, rate=rate: (  # type: ignore[misc]
                    Outcome.bad("x") if dice.random() < rate else Outcome.good()
                )
            )
            said[verdict.word] += 1
            runs += verdict.runs
            assert verdict.interval
            inside += verdict.interval[0] <= rate <= verdict.interval[1]
        shares = [f"{said[word] / count:.1%}" for word in words]
        report.add(rate, *shares, round(runs / count, 1), f"{inside / count:.0%}")
    yield report


def _constants() -> Report:
    report = Report(title="verdicts: the sequential test", columns=["what", "runs", "DESIGN section 7"])
    certain = next(n for n in range(1, 99) if statistics.sequential_test(n, 0) is statistics.Decision.SHOWN)
    clean = next(n for n in range(1, 99) if statistics.sequential_test(0, n) is statistics.Decision.REJECTED)
    report.add("failures in a row that show a defect", certain, 2)
    report.add("good runs in a row that reject it", clean, 22)
    report.add("most runs", statistics.CAP, 60)
    report.add("runs that a stored rate rests on", statistics.RUNS_FOR_RATE, 20)
    return report
