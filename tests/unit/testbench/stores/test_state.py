"""What is remembered between commands."""

import json
import threading
from pathlib import Path

import pytest

from testbench.stores import state as states
from testbench.stores.errors import StateError
from testbench.stores.rules import StorePlan
from testbench.stores.state import Fleet, Register, StateDir, locked


@pytest.fixture
def register(tmp_path):
    """A register of its own, with a settings folder as under /proc/sys."""
    settings = tmp_path / "sys/fs/inotify"
    settings.mkdir(parents=True)
    (settings / "max_user_instances").write_text("128\n")
    return Register(tmp_path / "register", tmp_path / "sys", lambda index, network: None)


def test_a_fleet_is_read_back_as_it_was_written(tmp_path):
    """The intent survives the process that wrote it."""
    state = StateDir(tmp_path / "a")
    plan = StorePlan(name="a", product=Path("/builds/1"), config={"erp_url": None}, policy={"approvals": 2})
    fleet = Fleet(mode="systemd", index=4, plans=(plan,), cgroup="/sys/fs/cgroup/x", ports={})
    with state.lock():
        state.write(fleet)

    assert StateDir(tmp_path / "a").read() == fleet


def test_a_damaged_state_names_the_file_and_the_way_out(tmp_path):
    """Half a file (a full disk) is not taken for no fleet."""
    state = StateDir(tmp_path)
    state.fleet_file.write_text('{"mode": "sys')

    with pytest.raises(StateError, match=r"damaged.*stores down"):
        state.read()


def test_two_fleets_get_two_ranges(register, tmp_path):
    """Two state directories never share an index; a released one is given again."""
    first, second = register.take(tmp_path / "a"), register.take(tmp_path / "b")
    register.release(first)

    assert first != second
    assert register.take(tmp_path / "c") == first


def test_a_range_that_something_else_uses_is_passed_over(tmp_path):
    """A link or route that is not ours keeps its addresses."""
    register = Register(
        tmp_path / "register", tmp_path, lambda index, _: "route 198.18.0.0/16" if index < 2 else None
    )

    assert register.take(tmp_path / "a") == 2


def test_when_every_range_is_used_the_message_says_by_what(tmp_path):
    """The error names who has the ranges, and what to do."""
    register = Register(tmp_path / "register", tmp_path, lambda index, network: "link tun0")

    with pytest.raises(StateError, match=r"in use.*link tun0.*stores down"):
        register.take(tmp_path / "a")


def test_settings_are_restored_by_the_last_fleet_only(register, tmp_path):
    """While one fleet is up the raised setting stays; the last one puts the old value back."""
    setting = tmp_path / "sys/fs/inotify/max_user_instances"
    first, second = register.take(tmp_path / "a"), register.take(tmp_path / "b")
    register.raise_settings()
    register.raise_settings()
    register.release(first)

    assert int(setting.read_text()) == 8192
    register.release(second)
    assert int(setting.read_text()) == 128
    assert not (tmp_path / "register").exists()


def test_a_setting_changed_by_others_meanwhile_is_left(register, tmp_path):
    """Restoring must not undo an administrator's later decision."""
    setting = tmp_path / "sys/fs/inotify/max_user_instances"
    index = register.take(tmp_path / "a")
    register.raise_settings()
    setting.write_text("99999")
    register.release(index)

    assert int(setting.read_text()) == 99999


def test_a_register_left_by_a_killed_run_is_found(register, tmp_path):
    """The owner of an index is known from the register alone."""
    index = register.take(tmp_path / "a")

    assert json.loads((tmp_path / f"register/fleet-{index}.json").read_text())["state_dir"] == str(
        tmp_path / "a"
    )
    assert register.index_of(tmp_path / "a") == index
    assert register.index_of(tmp_path / "b") is None


def test_the_lock_is_exclusive_and_free_again_when_its_file_was_removed(tmp_path):
    """A waiter gets the lock only when the holder is done, also when the holder removed the file (down)."""
    path = tmp_path / "lock"
    order = []

    def wait():
        with locked(path, "it"):
            order.append("second")

    with locked(path, "it"):
        waiter = threading.Thread(target=wait)
        waiter.start()
        waiter.join(0.2)
        order.append("first")
        path.unlink()
    waiter.join()

    assert order == ["first", "second"]


def test_a_state_directory_keeps_what_is_not_ours(tmp_path):
    """down removes what up made, not what a person put beside it."""
    state = StateDir(tmp_path / "a")
    with state.lock():
        (state.path / "notes.txt").write_text("mine")
        state.ssh.mkdir()
        state.remove()

    assert [path.name for path in state.path.iterdir()] == ["notes.txt"]


def test_the_fixtures_setting_is_one_that_the_register_raises():
    """Guards the tests above: they would prove nothing about a setting that is not raised."""
    assert states.WANTED_SYSCTLS == {"fs/inotify/max_user_instances": 8192}
