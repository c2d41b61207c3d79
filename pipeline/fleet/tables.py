"""Clients, stores and hosts as rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pipeline.database import Base
from pipeline.database.base import StatefulMixin


class ClientRow(StatefulMixin, Base):
    """A retail chain. State: active | former."""

    __tablename__ = "clients"

    #: Short name, used in commands and group names (``kupets``).
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    #: Of its notices: ru | en.
    language: Mapped[str] = mapped_column(String(2))
    #: Of the contract (IANA name): the tariff's calendar days are counted in it.
    zone: Mapped[str] = mapped_column(String(64))
    #: Why the tariff's terms apply: standard (from 100 registers) | contract (agreed, whatever the size).
    tariff: Mapped[str] = mapped_column(String(16))
    #: The agreement behind ``tariff: contract``, for people (number, date).
    contract: Mapped[str | None] = mapped_column(String(200))
    #: Whom notices reach, in order: [{"name", "channel": "email", "address", "role"}].
    contacts: Mapped[list[dict[str, Any]]]
    #: The vendor's person for this client (an e-mail address); internal warnings go there.
    service_manager: Mapped[str | None] = mapped_column(String(254))


class StoreRow(StatefulMixin, Base):
    """A store: one SET server and its registers, in one zone. State: active | retired."""

    __tablename__ = "stores"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("clients.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    #: IANA name; windows and trading hours are local times in it.
    zone: Mapped[str] = mapped_column(String(64))
    #: When updates may touch it: [{"days": ["mon", ...], "from": "23:00", "to": "05:00"}]; ``to`` at or
    #: before ``from`` is on the next day, and ``days`` names the day that the window begins on.
    windows: Mapped[list[dict[str, Any]]]
    #: When it sells, in the same form; empty: not known, taken as always.
    trading_hours: Mapped[list[dict[str, Any]]]
    tags: Mapped[list[str]]


class HostRow(Base):
    """The SET server or one register of a store.

    State: in-service | down | unknown | retired. ``version`` is the product's version on the host, as
    last verified; the row's own compare-and-set number is therefore called ``row_version`` here.
    """

    __tablename__ = "hosts"
    __table_args__ = (Index(None, "store_id", "role", "register"),)

    #: The host's name; the same name in Ansible's inventory.
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"))
    #: server | register
    role: Mapped[str] = mapped_column(String(16))
    #: The register's number in its store; None for the server.
    register: Mapped[int | None]
    address: Mapped[str] = mapped_column(String(255))
    port: Mapped[int]
    user: Mapped[str] = mapped_column(String(64))
    #: The pinned key, ``ssh-ed25519 BASE64``: nothing else is accepted from this host.
    host_key: Mapped[str] = mapped_column(Text)
    #: How the store's other hosts reach it.
    lan_address: Mapped[str | None] = mapped_column(String(255))
    #: The host of the fleet through which it is reached, when it cannot be reached directly.
    jump: Mapped[str | None] = mapped_column(String(128))
    version: Mapped[str | None] = mapped_column(String(64))
    #: When the version was last seen on the host itself.
    verified_at: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(String(32), index=True)
    row_version: Mapped[int] = mapped_column(Integer, nullable=False)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __mapper_args__ = {"version_id_col": row_version}  # noqa: RUF012 - SQLAlchemy declares it per instance
