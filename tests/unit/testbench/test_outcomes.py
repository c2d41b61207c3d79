"""Outcomes: what counts as what."""

import pytest

from testbench.outcomes import Kind, Outcome


@pytest.mark.parametrize(
    ("outcome", "wanted", "kind"),
    [
        (Outcome.bad("a"), "a", Kind.BAD),
        (Outcome.bad("a"), "b", Kind.DIFFERENT_FAILURE),
        (Outcome.different_failure("b"), "b", Kind.BAD),
        (Outcome.bad("a"), None, Kind.BAD),
        (Outcome.good(), "a", Kind.GOOD),
        (Outcome.untestable("build"), "a", Kind.UNTESTABLE),
        (Outcome.infra("build"), "a", Kind.INFRA),
    ],
)
def test_looking_for_judges_failures_only(outcome, wanted, kind):
    """Another failure than the one looked for is different-failure; what is no failure stays what it is."""
    assert outcome.looking_for(wanted).kind is kind


def test_infra_and_untestable_tell_nothing():
    """Only good, bad and different-failure say something about the product."""
    told = [o.tells for o in (Outcome.good(), Outcome.bad("x"), Outcome.infra("x"), Outcome.untestable("x"))]

    assert told == [True, True, False, False]


def test_json_is_read_back():
    """as_json and from_json are inverse; an unknown kind is refused."""
    outcome = Outcome.bad("sig", "text", expected="1", seen="2", seconds=0.5, events=3)

    assert Outcome.from_json(outcome.as_json()) == outcome
    with pytest.raises(ValueError, match="so-so"):
        Outcome.from_json({"kind": "so-so"})
