"""The fleet as people write it: the model of the YAML file; a CSV row becomes the same."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from pipeline.fleet.keys import normalised
from pipeline.fleet.rules import WEEKLY_PATTERN, weekly_times

_LABEL = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"no time zone {name!r}: an IANA name such as Europe/Moscow is expected") from None
    return name


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise ValueError(f"{text!r} is neither an IP address nor a host name")
    return text


def _weekly(text: str) -> str:
    weekly_times(text)
    return text


#: No underscore: in Ansible's group names a hyphen becomes one, and no two ids may meet there.
Id = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$")]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,126}[a-z0-9])?$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Zone = Annotated[str, AfterValidator(_zone), Field(description="IANA name, such as Europe/Moscow")]
Address = Annotated[str, AfterValidator(_address), Field(description="IP address or host name")]
Port = Annotated[int, Field(ge=1, le=65535)]
Mail = Annotated[str, Field(pattern=r"^[^\s@<>\"]+@[^\s@<>\"]+$", max_length=254)]
Weekly = Annotated[
    str,
    AfterValidator(_weekly),
    WithJsonSchema({"type": "string", "pattern": WEEKLY_PATTERN}),
    Field(description="`mon-fri 23:00-05:00`, `daily 23:00-05:00`; an end at or before the begin: next day"),
]
HostKey = Annotated[
    str,
    AfterValidator(normalised),
    Field(description="The host's public key line: `ssh-ed25519 BASE64`; pinned, nothing else is accepted"),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Contact(_Part):
    """Whom a client's notices reach."""

    name: Text
    channel: Literal["email"] = "email"
    address: Mail
    role: Text = "support"


class Host(_Part):
    """The SET server, or one register."""

    name: HostName
    role: Literal["server", "register"]
    register_: int | None = Field(
        None, alias="register", ge=1, le=9999, description="The register's number; none for the server"
    )
    address: Address
    port: Port = 22
    user: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")] = "root"
    host_key: HostKey
    lan_address: Address | None = Field(None, description="How the store's other hosts reach it")
    jump: HostName | None = Field(None, description="The host of the fleet through which it is reached")


class Store(_Part):
    """One SET server and its registers."""

    id: Id
    name: Text
    zone: Zone | None = Field(None, description="The client's zone when it is not given")
    windows: list[Weekly] = Field(
        default_factory=list, description="When updates may touch it, in the store's zone"
    )
    trading_hours: list[Weekly] = Field(default_factory=list, description="When it sells, in its zone")
    tags: list[Text] = Field(default_factory=list)
    hosts: list[Host] = Field(min_length=1)


class Client(_Part):
    """A retail chain."""

    id: Id
    name: Text
    language: Literal["ru", "en"] = "ru"
    zone: Zone = "Europe/Moscow"
    tariff: Literal["standard", "contract"] = Field(
        "standard",
        description="standard: the tariff's terms from 100 registers; contract: agreed, whatever the size",
    )
    contract: Text | None = Field(None, description="The agreement behind `tariff: contract`")
    service_manager: Mail | None = None
    contacts: list[Contact] = Field(default_factory=list)
    stores: list[Store] = Field(default_factory=list)


class Fleet(_Part):
    """A fleet file."""

    clients: list[Client] = Field(min_length=1)


def json_schema() -> dict[str, Any]:
    """The JSON schema of the YAML file, as kept in inventory/fleet.schema.json."""
    schema = Fleet.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Garant fleet", **schema}
