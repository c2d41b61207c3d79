"""`testbench bisect` on real repositories."""

import pytest

OPTIONS = ("scenario", "--product", "product.yaml", "--json")


def long_history(desk, *, defect, broken=()):
    """30 commits, a tag on every tenth, the defect from the 17th on."""
    ids = []
    for number in range(30):
        behaviour = f"{defect} {number}" if number >= 17 else f"{number}"
        tag = f"v1.{number // 10}" if number % 10 == 0 else ("v1.9" if number == 29 else None)
        ids.append(desk.history.commit(behaviour, broken=number in broken, tag=tag))
    return ids


def test_culprit_among_commits_that_do_not_build(desk):
    """The first bad commit is named although commits around it do not build; nothing is left."""
    ids = long_history(desk, defect="drops", broken=(14, 18, 19, 23))
    answer = desk.run("bisect", *OPTIONS, "--good", "v1.0", "--bad", "v1.9")

    assert (answer["first_bad"], answer["parent"]) == (ids[17], ids[16])
    assert (answer["release"], answer["range"], answer["confirmed"]) == ("v1.2", [], True)
    assert set(answer["skipped"]) <= {ids[n] for n in (14, 18, 19, 23)}
    assert answer["signature"] == "exit 1: wrong total"
    assert not list((desk.folder / "home" / "runs").iterdir())


def test_range_where_the_culprit_does_not_build(desk):
    """Skips never stop the search: what cannot be told apart is the answer."""
    ids = long_history(desk, defect="drops", broken=(16, 17))
    answer = desk.run("bisect", *OPTIONS, "--good", "v1.0", "--bad", "v1.9")

    assert answer["first_bad"] is None
    assert answer["range"] == [ids[16], ids[17], ids[18]]
    assert (answer["parent"], answer["confirmed"]) == (ids[15], False)


def test_flaky_defect_is_followed_to_its_commit(desk):
    """A defect that shows in 6 of 10 runs is traced to the right commit or honestly to a range with it."""
    ids = long_history(desk, defect="sometimes")
    answer = desk.run("bisect", *OPTIONS, "--good", "v1.0", "--bad", "v1.9")

    assert ids[17] in (answer["range"] or [answer["first_bad"]])
    assert answer["rate"] < 1


def test_first_fixed(desk):
    """--find fixed names the commit that took the defect away."""
    desk.history.commit("drops", tag="v1")
    desk.history.commit("drops again")
    fixed = desk.history.commit("")
    desk.history.commit("more", tag="v2")
    answer = desk.run("bisect", *OPTIONS, "--find", "fixed", "--bad", "v1", "--good", "v2")

    assert (answer["first_fixed"], answer["release"]) == (fixed, "v2")


def test_commit_inside_a_merged_branch(desk):
    """A merge is opened: the branch's commit is named, not the merge."""
    desk.history.commit("", tag="v1")
    desk.history.git("checkout", "-q", "-b", "side")
    desk.history.commit("a")
    culprit = desk.history.commit("drops")
    desk.history.git("checkout", "-q", "main")
    desk.history.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    desk.history.git("tag", "v2")
    answer = desk.run("bisect", *OPTIONS, "--good", "v1", "--bad", "v2")

    assert (answer["first_bad"], answer["release"]) == (culprit, "v2")


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("v2", "v1", "v1 is not bad: v2 failed in"),
        ("v2", "v3", "v2 is not good: v2 failed in"),
        ("v1", "v0", "v0 is not bad"),
        ("alone", "v2", "no common history: alone failed in 0 of"),
    ],
)
def test_wrong_range_is_refused_after_it_was_tested(desk, good, bad, said):
    """Good is bad, bad is good, unrelated: refused, with what was seen."""
    desk.history.commit("0", tag="v0")
    desk.history.commit("1", tag="v1")
    desk.history.commit("drops", tag="v2")
    desk.history.commit("drops more", tag="v3")
    desk.history.git("checkout", "-q", "--orphan", "other")
    desk.history.commit("alone", tag="alone")

    assert said in desk.run("bisect", *OPTIONS, "--good", good, "--bad", bad, code=1)


def test_good_release_is_looked_for(desk):
    """Without --good older releases are played, further and further back."""
    for number in range(6):
        desk.history.commit(f"drops {number}" if number >= 2 else f"{number}", tag=f"v{number}")
    answer = desk.run("bisect", *OPTIONS, "--bad", "v5")

    assert answer["release"] == "v2"


def test_unknown_version_and_repository_are_named(desk):
    """What does not exist is said, with what there is."""
    desk.history.commit("", tag="v1")

    assert "no tag or commit 'v7'" in desk.run("bisect", *OPTIONS, "--good", "v1", "--bad", "v7", code=1)
    desk.write(source={"git": "nowhere"})
    assert "does not exist" in desk.run("bisect", *OPTIONS, "--good", "v1", "--bad", "v7", code=1)
