"""The steps of the story, in order, with about how long each takes on two cores."""

from __future__ import annotations

from functools import partial

from pipeline.demo import repair, trouble
from pipeline.demo.stage import Stage
from pipeline.demo.steps import Step


def story(stage: Stage) -> list[Step]:
    """What is played."""
    told = (
        ("stores", "Stores come up: real hosts with SSH, each running SET", 15, Stage.bring_up_stores),
        ("fleet", "Garant opens: database, worker, fleet with pinned host keys", 4, Stage.open_garant),
        ("trade", "The stores trade; in one of them receipts do not add up", 12, Stage.trade),
        ("case", "The client writes: a case with its clocks", 3, trouble.open_case),
        ("diagnosis", "Evidence is collected over SSH, masked", 3, trouble.diagnose),
        (
            "reproduction",
            "Played again on the bench: verdict, minimal, culprit, bundle",
            60,
            trouble.reproduce,
        ),
        ("tracker", "Filed to development, with the bundle attached", 4, repair.file_defect),
        ("promise", "The client is told when it will be fixed", 4, repair.promise_date),
        ("fix", "A fix appears; the bundle is played on it", 10, repair.fix),
        ("release", "The update is built, tested, signed by two, verified", 8, repair.release),
        ("rollout", "Rolled out: canary, waves, a failing register, an offline store", 70, repair.roll_out),
        ("closing", "Notices; the case closes with its last store", 5, repair.close_case),
    )
    return [
        Step(name=name, title=title, expected_seconds=seconds, play=partial(play, stage))
        for name, title, seconds, play in told
    ]
