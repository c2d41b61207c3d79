"""A plausible notice of every kind: what ``garant notices preview`` shows."""

from __future__ import annotations

from typing import Any

_STORES = [
    {"name": "Тверская, 12", "zone": "Europe/Moscow"},
    {"name": "Ленинская, 3", "zone": "Asia/Kamchatka"},
]
_WINDOWS = [
    {"start": "2026-03-24T20:00:00Z", "end": "2026-03-25T02:00:00Z"},
    {"start": "2026-03-24T13:00:00Z", "end": "2026-03-24T17:00:00Z"},
]
_DONE = ["2026-03-24T21:40:00Z", "2026-03-24T15:05:00Z"]
_DEFECT: dict[str, Any] = {"defect": "D-000007", "cases": ["G-000123", "G-000130"]}
_PROMISE = {"defect": "D-000007", "title": "receipt does not add up", "client_name": "Купец"}
_CASE = {"case": "G-000123", "subject": "Чек не сходится после скидки"}


def _stores(*, at: bool = False, window: bool = False) -> list[dict[str, Any]]:
    return [
        {**store, **(_WINDOWS[n] if window else {}), **({"at": _DONE[n]} if at else {})}
        for n, store in enumerate(_STORES)
    ]


SAMPLES: dict[str, dict[str, Any]] = {
    "case_registered": {
        **_CASE,
        "received_at": "2026-03-12T06:00:00Z",
        "registered_at": "2026-03-12T06:04:00Z",
    },
    "case_classified": {
        **_CASE,
        "classes": ["register_typical_ops"],
        "due": "2026-03-12T10:04:00Z",
        "software_defect": True,
    },
    "defect_recorded": {**_DEFECT, "subject": _CASE["subject"], "due": "2026-03-15T07:00:00Z"},
    "eta": {**_DEFECT, "eta": "2026-03-24"},
    "eta_changed": {
        **_DEFECT,
        "eta": "2026-03-27",
        "previous": "2026-03-24",
        "reason": "Нужна ещё одна проверка возвратов.",
    },
    "holding": {**_DEFECT, "due": "2026-03-15T07:00:00Z"},
    "fix_released": {**_DEFECT, "version": "10.4.3"},
    "update_scheduled": {
        "version": "10.4.3",
        "stores": _stores(window=True),
        "changes": ["Скидка на весь чек считается верно."],
    },
    "update_started": {"version": "10.4.3", "stores": _stores(at=True)},
    "update_done": {"version": "10.4.3", "stores": _stores(at=True)},
    "update_postponed": {
        "version": "10.4.3",
        "stores": [*_stores(window=True)[:1], *_stores()[1:]],
        "reason": "Нет связи с магазином.",
    },
    "update_failed": {
        "version": "10.4.3",
        "stores": _stores(at=True)[:1],
        "reason": "Одна из касс не прошла проверку.",
        "restored_version": "10.4.2",
    },
    "fixed_in_your_stores": {**_DEFECT, "version": "10.4.3", "stores": 2},
    "case_closed": {**_CASE, "reason": "Вопрос решён."},
    "clock_warning": {
        "case": "G-000123",
        "client_name": "Купец",
        "clock": "restore",
        "percent": 75,
        "due": "2026-03-12T10:04:00Z",
    },
    "clock_breach": {
        "case": "G-000123",
        "client_name": "Купец",
        "clock": "restore",
        "breached_at": "2026-03-12T10:04:00Z",
    },
    "promise_warning": {**_PROMISE, "percent": 90, "due": "2026-03-15T07:00:00Z"},
    "promise_breach": {**_PROMISE, "breached_at": "2026-03-15T07:00:00Z"},
    "product_trouble": {
        "product": "set10",
        "trouble": "moved",
        "detail": "v10.4.8.0 named 0f3a9c1d5b6e, now it names 77aa01c2d3e4",
    },
    "notice_failed": {
        "notice": "0f3a9c1d",
        "kind": "eta",
        "client_name": "Купец",
        "address": "it@kupets.invalid",
        "reason": "550 5.1.1 no such user",
    },
}
