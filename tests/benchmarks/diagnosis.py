"""Many hosts at once: what a collection costs the controller, set against plain ssh for the same bytes.

python -m tests.benchmarks.diagnosis                  20 hosts
python -m tests.benchmarks.diagnosis --hosts 100      as many as the issue asks for

Prints figures; asserts nothing. Plain ssh runs OpenSSH's client with the same remote `tar | zstd -3`, as many
at a time, and throws the bytes away; "unpacked" is the same into `zstd -d | sha256sum`, the least that
a collection must do with them: Garant also takes the archive apart and checks each file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import secrets
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.diagnosis.collector import How, collect
from pipeline.diagnosis.recipe import Item, Recipe
from pipeline.fleet.tables import HostRow
from testbench.stores import StorePlan, Stores

LOG, DOCUMENTS = "var/log/set/set.log", "srv"
ITEMS = (
    Item(what="log", source=f"/{LOG}", target="set.log", tail=True),
    Item(what="documents", source=f"/{DOCUMENTS}/*.xml", target="documents/", cut="files"),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Bring hosts up, collect from all of them both ways, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--at-once", type=int, default=10, help="hosts that are asked at the same time")
    parser.add_argument("--megabytes", type=float, default=4.9, help="of each host, before compression")
    parser.add_argument("--share", type=float, default=1.0, help="of a host's processor (1: unlimited)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if os.geteuid() != 0:
        raise SystemExit("local stores with systemd need root")
    registers = min(options.hosts - 1, 24)
    plans = [
        StorePlan(name=f"s{number}", registers=registers, disk_mb=32)
        for number in range(-(-options.hosts // (registers + 1)))
    ]
    with tempfile.TemporaryDirectory(prefix="garant-bench-") as folder:
        stores = Stores.up(plans, Path(folder) / "state")
        try:
            figures = measured(stores, options)
        finally:
            stores.down()
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures)


def measured(stores: Stores, options: argparse.Namespace) -> dict[str, Any]:
    """Both ways, three times each; the best of each."""
    hosts = rows(stores)[: options.hosts]
    size = sum(fill(stores, host.id, options.megabytes) for host in hosts)
    how = How(
        since_s=3600,
        recipe=Recipe(name="bench", server=ITEMS, register=ITEMS),
        share=options.share,
        at_once=options.at_once,
    )
    identity = Path(stores.describe()["ssh"]["identity"])

    def ours() -> None:
        for found in collect(hosts, how, identity=identity):
            if found.missing:
                raise SystemExit(f"{found.host}: {found.missing}")

    config = stores.describe()["ssh"]["config"]

    def plain(then: str) -> None:
        def one(host: HostRow) -> None:
            remote = f"tar -c -f - /{LOG} /{DOCUMENTS} 2>/dev/null | zstd -3 -q -c"
            command = f"ssh -F {shlex.quote(config)} {host.id} {shlex.quote(remote)} {then}"
            subprocess.run(["sh", "-c", f"{command} >/dev/null"], check=True)

        with ThreadPoolExecutor(options.at_once) as pool:
            list(pool.map(one, hosts))

    count = len(hosts)
    result: dict[str, Any] = {
        "hosts": count,
        "at_once": options.at_once,
        "megabytes": round(size / 1e6, 1),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    ways: dict[str, Callable[[], None]] = {
        "garant": ours,
        "ssh": lambda: plain(""),
        "unpacked": lambda: plain("| zstd -d -q -c | sha256sum"),
    }
    for name, way in ways.items():
        seconds, cpu = min(cost(way) for _ in range(3))
        result[name] = {"seconds": round(seconds, 2), "cpu_ms_per_host": round(1000 * cpu / count, 1)}
    for other in ("ssh", "unpacked"):
        result[f"garant/{other}"] = {
            key: round(result["garant"][key] / result[other][key], 2)
            for key in ("seconds", "cpu_ms_per_host")
        }
    return result


def rows(stores: Stores) -> list[HostRow]:
    """The hosts as the fleet would have them."""
    return [
        HostRow(
            id=host["name"], store_id=store["name"], role=host["role"], register=host["register"],
            address=host["address"], port=host["port"], user="root", host_key=host["host_key"],
            state="in-service",
        )
        for store in stores.describe()["stores"]
        for host in store["hosts"]
    ]  # fmt: skip


def fill(stores: Stores, host: str, megabytes: float) -> int:
    """A log and some documents that compress to about half; returns their bytes."""
    root, size = stores.host_root(host), int(megabytes * 1e6)
    lines = max(size * 9 // 10 // 201, 1)
    log = "".join(f"{secrets.token_hex(100)}\n" for _ in range(lines))
    (root / LOG).write_text(log)
    for number in range(10):
        (root / DOCUMENTS / f"d{number}.xml").write_text(f"<a>{secrets.token_hex(size // 200)}</a>")
    return len(log) + 10 * (size // 200 * 2 + 7)


def cost(way: Callable[[], None]) -> tuple[float, float]:
    """Seconds that passed, and of the controller's processor: ours and of the programs that we ran."""

    def used() -> float:
        whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, whose))

    before, began = used(), time.monotonic()
    way()
    return time.monotonic() - began, used() - before


def show(figures: dict[str, Any]) -> None:
    """For people."""
    print(
        f"{figures['hosts']} hosts, {figures['at_once']} at once, {figures['megabytes']} MB together, "
        f"{figures['cores']} cores, Python {figures['python']}; best of three"
    )
    for name in ("garant", "ssh", "unpacked", "garant/ssh", "garant/unpacked"):
        unit = "times" if "/" in name else "s"
        cpu = "times" if "/" in name else "ms of the controller's processor a host"
        print(f"  {name:15} {figures[name]['seconds']:8} {unit:6} {figures[name]['cpu_ms_per_host']:8} {cpu}")


if __name__ == "__main__":
    main(sys.argv[1:])
