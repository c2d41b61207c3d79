"""Rollouts as tables on a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

#: Never colour alone: each state has a sign too.
_SIGNS = {
    "done": ("green", "+"),
    "superseded": ("green", "+"),
    "verified": ("green", "+"),
    "passed": ("green", "+"),
    "completed": ("green", "+"),
    "failed": ("red", "!"),
    "rolled-back": ("red", "!"),
    "needs-human": ("bold red", "!"),
    "held": ("bold red", "!"),
    "unknown": ("magenta", "?"),
    "paused": ("yellow", "|"),
    "applying": ("cyan", ">"),
    "verifying": ("cyan", ">"),
    "server": ("cyan", ">"),
    "registers": ("cyan", ">"),
}


def _state(word: str) -> Text:
    style, sign = _SIGNS.get(word, ("", " "))
    return Text(f"{sign} {word}", style=style)


def plan_table(record: dict[str, Any]) -> RenderableType:
    """What a plan would do."""
    table = Table("wave", "store", "client", "registers", "at once", "window (store's time)", "remark")
    for wave in record["waves"]:
        for store in wave["stores"]:
            table.add_row(
                str(wave["number"]),
                store["store"],
                store["client"],
                str(store["registers"]),
                str(store["registers_at_once"]),
                _window(store),
                store.get("remark", ""),
            )
    for store in record["left_out"]:
        why = Text(f"! does not fit: {store['why_not']}", style="red")
        table.add_row("-", store["store"], store["client"], str(store["registers"]), "-", "-", why)
    head = Text(f"{record['id']} ({record['state']}): release {record['release']}, {record['digest']}")
    return Group(head, table, Text(f"next: garant rollout start {record['id']}"))


def _window(store: dict[str, Any]) -> str:
    zone = ZoneInfo(store["zone"])
    opens, ends = (
        datetime.fromisoformat(store[key]).astimezone(zone) for key in ("window_opens_at", "window_ends_at")
    )
    return f"{opens:%Y-%m-%d %H:%M} - {ends:%m-%d %H:%M} {opens:%Z}"


def list_table(rows: list[dict[str, Any]]) -> RenderableType:
    """All rollouts."""
    table = Table("id", "state", "release", "reason")
    for row in rows:
        table.add_row(row["id"], _state(row["state"]), row["release"], row["reason"] or "")
    return table


def status_table(record: dict[str, Any]) -> RenderableType:
    """One rollout: a line a store, and one for every host that is neither untouched nor done."""
    head = Text(f"{record['id']} {record['version']} ", style="bold")
    head.append_text(_state(record["state"]))
    head.append(f"  {record['hosts_done']} of {record['hosts_total']} hosts done")
    head.append(f", {record['failures']} failures", style="red" if record["failures"] else "")
    head.append(f", at most {record['max_registers_down_per_store']} registers of a store out at once")
    if record["reason"]:
        head.append(f"\n{record['reason']}", style="yellow")
    table = Table("wave", "store / host", "state", "waits for", "out/budget", "why")
    for wave in record["waves"]:
        for store in wave["stores"]:
            done = sum(host["state"] in ("done", "superseded") for host in store["hosts"])
            table.add_row(
                f"{wave['number']} {wave['state']}",
                f"{store['store']} ({done}/{len(store['hosts'])})",
                _state(store["state"]),
                store["waiting"] or "",
                f"{store['registers_out_now']}/{store['budget']}",
                store["detail"],
            )
            for host in store["hosts"]:
                if host["state"] not in ("planned", "done", "skipped"):
                    table.add_row("", f"  {host['host']}", _state(host["state"]), "", "", host["reason"])
    return Group(head, table)
