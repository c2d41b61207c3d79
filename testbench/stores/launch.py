"""Starts the hosts: the one program that makes namespaces. Standard library only, run by its path.

It is a program of its own, not a function, because it forks: a demo or a test run has threads, and forking a
threaded Python is unsafe (and a warning since 3.12). One process serves a whole fleet, in about 3 ms a host.

Read from stdin, as one JSON object:

* ``lock``: the descriptor of the fleet's lock, held until this program ends, not handed on to the hosts;
* ``namespaces``: [{"path", "forward"}] makes a network namespace, kept alive by a bind mount at ``path``;
* ``hosts``: [{"name", "root", "netns", "cgroup", "cgroup_mount", "init", "environment", "console",
  "pid_file"}] starts PID 1 of each host on the prepared tmpfs at ``root``.

Written to stdout: one line ``up NAME`` per host, so that the caller can show progress. Exit code 1 with the
reason on stderr when a host could not be started; the hosts before it keep running (the caller cleans up).
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from typing import Any

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
PR_CAPBSET_DROP = 24
AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = -100, 0x8000, 1
SYS_PIVOT_ROOT, SYS_MOUNT_SETATTR = {
    "x86_64": (155, 442),
    "aarch64": (41, 442),
    "riscv64": (41, 442),
}.get(os.uname().machine, (-1, -1))

# What a host's root must not do to the machine under it: load modules, raw I/O, set the one clock that all
# hosts share, make device nodes, audit and security-module control, read the kernel log, keep it awake.
DROPPED_CAPABILITIES = (16, 17, 25, 27, 30, 32, 33, 34, 35, 36, 37)
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2); raises OSError naming source and target."""
    result = libc.mount(
        source.encode(),
        target.encode(),
        kind.encode(),
        ctypes.c_ulong(flags),
        data.encode() if data else None,
    )
    _check(result, f"mount {source} on {target}")


def unmount(target: str) -> None:
    """umount2(2) with MNT_DETACH: gone from this namespace now, freed when the last user is gone."""
    _check(libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def unshare(flags: int) -> None:
    """unshare(2) (Python has it from 3.12 on only)."""
    _check(libc.unshare(flags), f"unshare {flags:#x}")


def _make_read_only(path: str) -> None:
    # mount_setattr, not a remount: it is recursive, and keeps the flags that a user namespace may not clear.
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
    result = libc.syscall(
        SYS_MOUNT_SETATTR,
        AT_FDCWD,
        path.encode(),
        AT_RECURSIVE,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )
    _check(result, f"make {path} read-only")


def make_namespace(path: str, forward: bool) -> None:
    """Make a network namespace and bind it to the file ``path``; this process stays inside it."""
    with open(path, "x"):
        pass
    unshare(CLONE_NEWNET)
    if forward:
        with open("/proc/sys/net/ipv4/ip_forward", "w") as setting:
            setting.write("1")
    mount("/proc/self/ns/net", path, flags=MS_BIND)


def _devices(root: str, console: str) -> None:
    dev = f"{root}/dev"
    mount("tmpfs", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k")
    for name, source in [*((name, f"/dev/{name}") for name in DEVICES), ("console", console)]:
        with open(f"{dev}/{name}", "x"):
            pass
        mount(source, f"{dev}/{name}", flags=MS_BIND)
    for name in ("pts", "shm"):
        os.mkdir(f"{dev}/{name}")
    mount("devpts", f"{dev}/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=16m")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd"}
    links |= {name: f"/proc/self/fd/{number}" for number, name in enumerate(("stdin", "stdout", "stderr"))}
    for name, target in links.items():
        os.symlink(target, f"{dev}/{name}")


def _file_systems(root: str, cgroup_mount: bool) -> None:
    mount("/usr", f"{root}/usr", flags=MS_BIND | MS_REC)
    _make_read_only(f"{root}/usr")
    mount(f"{root}/var/usrlocal", f"{root}/usr/local", flags=MS_BIND)
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    # Many settings under /proc/sys are the machine's, not the host's.
    for name in ("sys", "sysrq-trigger"):
        path = f"{root}/proc/{name}"
        if os.path.exists(path):
            mount(path, path, flags=MS_BIND)
            _make_read_only(path)
    mount("sysfs", f"{root}/sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    if cgroup_mount:
        mount("cgroup2", f"{root}/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("tmpfs", f"{root}/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m")
    for name in ("lock", "sshd"):
        os.mkdir(f"{root}/run/{name}", 0o755)


def _enter_root(root: str) -> None:
    os.chdir(root)
    _check(libc.syscall(SYS_PIVOT_ROOT, b".", b"."), f"pivot_root {root}")
    unmount(".")  # the old root lies on top of the new one; under it nothing of the machine stays visible
    os.chdir("/")


def _become_init(host: dict[str, Any]) -> None:
    """In the new PID namespace: build the root, give up what must not be had, exec PID 1."""
    # Here and not in the process between: pivot_root moves the root of every process of the mount namespace,
    # and that one still has to look into the machine's /proc and write beside it.
    unshare(CLONE_NEWNS)
    os.setsid()
    console = os.open(host["console"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    null = os.open("/dev/null", os.O_RDONLY)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    _devices(host["root"], host["console"])
    _file_systems(host["root"], bool(host["cgroup_mount"]))
    _enter_root(host["root"])
    socket.sethostname(host["name"])
    os.umask(0o022)
    for capability in DROPPED_CAPABILITIES:
        libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)
    os.dup2(null, 0)
    os.dup2(console, 1)
    os.dup2(console, 2)
    os.execve(host["init"][0], host["init"], host["environment"])  # noqa: S606 - becoming it is the point


def _start_time(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[19]


def _between(host: dict[str, Any], error: int) -> None:
    """The process between launcher and PID 1: enters the namespaces, forks PID 1, notes its number."""
    if host["cgroup"]:
        # Before the cgroup namespace is made: the cgroup of this moment becomes its root.
        with open(f"{host['cgroup']}/cgroup.procs", "w") as members:
            members.write("0")
    netns = os.open(host["netns"], os.O_RDONLY)
    _check(libc.setns(netns, CLONE_NEWNET), f"enter {host['netns']}")
    os.close(netns)
    own_cgroup = CLONE_NEWCGROUP if host["cgroup_mount"] else 0
    unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | own_cgroup)
    pid = os.fork()
    if pid == 0:
        try:
            _become_init(host)
        except BaseException as fault:
            os.write(error, f"{fault}".encode())
        os._exit(1)
    with open(host["pid_file"], "w") as record:
        record.write(f"{pid} {_start_time(pid)}\n")


def start_host(host: dict[str, Any]) -> None:
    """Start one host; returns when its PID 1 has been executed. Raises RuntimeError with the reason."""
    reading, error = os.pipe()  # both close on exec: end of file means that PID 1 runs
    child = os.fork()
    if child == 0:
        try:
            _between(host, error)
        except BaseException as fault:
            os.write(error, f"{fault}".encode())
            os._exit(1)
        os._exit(0)
    os.close(error)
    with os.fdopen(reading, "rb") as answers:
        reason = answers.read().decode()
    os.waitpid(child, 0)
    if reason:
        raise RuntimeError(f"host {host['name']} did not start: {reason}")


def main() -> int:
    """Read the order from stdin and carry it out."""
    order = json.load(sys.stdin)
    os.set_inheritable(order["lock"], False)
    try:
        for namespace in order.get("namespaces", []):
            make_namespace(namespace["path"], bool(namespace["forward"]))
        for host in order.get("hosts", []):
            start_host(host)
            print(f"up {host['name']}", flush=True)
    except (OSError, RuntimeError) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
