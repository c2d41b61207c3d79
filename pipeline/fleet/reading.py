"""Reads fleet files, YAML and CSV, into one model; every fault is found, with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.fleet.document import Fleet
from pipeline.fleet.errors import Fault, FleetFileError

#: Bytes of a fleet file; 10,000 stores of 10 hosts are about 40 MB.
MAX_BYTES = 200 * 1024 * 1024
#: Values in a YAML file, each use of an alias counted: a few lines of aliases can name billions.
MAX_VALUES = 5_000_000

#: CSV: one row a host. What belongs to the client or the store is given once or repeated unchanged.
CSV_COLUMNS = {
    "client": "client id",
    "client_name": "its name",
    "language": "ru or en",
    "client_zone": "IANA zone of the contract",
    "tariff": "standard or contract",
    "contract": "the agreement behind `contract`",
    "service_manager": "e-mail address of the vendor's person",
    "contact_name": "whom notices reach",
    "contact_address": "that person's e-mail address",
    "store": "store id",
    "store_name": "its name",
    "store_zone": "IANA zone of the store",
    "windows": "`mon-fri 23:00-05:00; sat,sun 22:00-06:00`",
    "trading_hours": "in the same form",
    "tags": "separated by semicolons",
    "host": "host name",
    "role": "server or register",
    "register": "the register's number",
    "address": "IP address or host name",
    "port": "SSH port, 22 when empty",
    "user": "SSH user, root when empty",
    "host_key": "`ssh-ed25519 BASE64`",
    "lan_address": "address in the store's LAN",
    "jump": "host through which it is reached",
}
CSV_REQUIRED = ("client", "store", "host", "role", "address", "host_key")

_CLIENT_FIELDS = {
    "client_name": "name",
    "language": "language",
    "client_zone": "zone",
    "tariff": "tariff",
    "contract": "contract",
    "service_manager": "service_manager",
}
_STORE_FIELDS = {"store_name": "name", "store_zone": "zone"}
_STORE_LISTS = ("windows", "trading_hours", "tags")
_HOST_FIELDS = ("role", "register", "address", "port", "user", "host_key", "lan_address", "jump")

Path_ = tuple[str | int, ...]


class FleetFile:
    """A fleet file that was read: the model, and the line of each of its places."""

    def __init__(self, name: str, fleet: Fleet, lines: Mapping[Path_, int]) -> None:
        self.name = name
        self.fleet = fleet
        self._lines = lines

    def line(self, *place: str | int) -> int:
        """The line of a place (``"clients", 0, "stores", 2``), or of the nearest one around it."""
        return _nearest_line(self._lines, place)


def read_fleet(path: Path) -> FleetFile:
    """The fleet of a ``.yaml``/``.yml`` or ``.csv`` file.

    Raises:
        FleetFileError: it cannot be read or has faults; all of them are listed by line and field.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _whole(path, f"more than {MAX_BYTES} bytes: split it")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _whole(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _whole(path, f"is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    if path.suffix.lower() == ".csv":
        value, lines = _csv_value(path, text)
    elif path.suffix.lower() in (".yaml", ".yml"):
        value, lines = _yaml_value(path, text)
    else:
        raise _whole(path, "is neither .yaml nor .csv: name it so")
    try:
        fleet = Fleet.model_validate(value)
    except ValidationError as error:
        faults = [
            Fault(line=_nearest_line(lines, e["loc"]), field=_field(e["loc"]), reason=_reason(e))
            for e in error.errors(include_url=False)
        ]
        raise FleetFileError(path.name, sorted(faults, key=lambda f: f.line)) from error
    return FleetFile(path.name, fleet, lines)


def _whole(path: Path, reason: str) -> FleetFileError:
    return FleetFileError(path.name, [Fault(line=0, field="", reason=reason)])


def _field(loc: Path_) -> str:
    return ".".join(str(part) for part in loc)


def _reason(error: Any) -> str:
    reason = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return "no such field"
    given = error.get("input")
    shown = isinstance(given, str | int | float) and error["type"] != "value_error"
    return f"{reason} (given: {given!r})" if shown else reason


def _nearest_line(lines: Mapping[Path_, int], place: Path_) -> int:
    for length in range(len(place), -1, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return 0


def _yaml_value(path: Path, text: str) -> tuple[Any, dict[Path_, int]]:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise FleetFileError(
            path.name, [Fault(line=line, field="", reason=f"no YAML: {error.problem}")]
        ) from error
    except yaml.YAMLError as error:
        raise _whole(path, f"no YAML: {error}") from error
    if node is None:
        raise _whole(path, 'is empty: a mapping with "clients" is expected')
    reader = _YamlReader()
    value = reader.value(node, (), ())
    if reader.faults:
        raise FleetFileError(path.name, reader.faults)
    return value, reader.lines


class _YamlReader:
    """Nodes to values, remembering lines; safe scalars only, keys once, aliases within bounds."""

    def __init__(self) -> None:
        self.lines: dict[Path_, int] = {}
        self.faults: list[Fault] = []
        self._count = 0
        self._scalars = yaml.SafeLoader("")

    def value(self, node: yaml.Node, place: Path_, around: tuple[int, ...]) -> Any:
        line = node.start_mark.line + 1
        self._count += 1
        if self._count > MAX_VALUES or id(node) in around or len(around) > 50:
            if not self.faults:
                self._fault(line, place, "too many values: aliases that name each other?")
            return None
        self.lines[place] = line
        around = (*around, id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, around)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*place, index), around) for index, child in enumerate(node.value)]
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self._fault(line, place, str(getattr(error, "problem", None) or error))
            return None

    def _mapping(self, node: yaml.MappingNode, place: Path_, around: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, child in node.value:
            key = str(key_node.value)
            if key in found:
                self._fault(key_node.start_mark.line + 1, (*place, key), "is given twice")
            found[key] = self.value(child, (*place, key), around)
            self.lines[(*place, key)] = key_node.start_mark.line + 1
        return found

    def _fault(self, line: int, place: Path_, reason: str) -> None:
        self.faults.append(Fault(line=line, field=_field(place), reason=reason))


def _csv_value(path: Path, text: str) -> tuple[Any, dict[Path_, int]]:
    first = text.split("\n", 1)[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in rows.fieldnames or []]
    except csv.Error as error:
        raise FleetFileError(path.name, [Fault(line=1, field="", reason=str(error))]) from error
    faults = [
        Fault(line=1, field=name, reason=f"no such column; there are {', '.join(CSV_COLUMNS)}")
        for name in header
        if name not in CSV_COLUMNS
    ]
    faults += [Fault(line=1, field=n, reason="column is missing") for n in CSV_REQUIRED if n not in header]
    faults += [
        Fault(line=1, field=n, reason="column is given twice") for n in set(header) if header.count(n) > 1
    ]
    if faults:
        raise FleetFileError(path.name, faults)
    rows.fieldnames = header
    sheet = _Sheet()
    for line, row in _csv_rows(rows, sheet.fault):
        sheet.add(line, row)
    if sheet.faults:
        raise FleetFileError(path.name, sheet.faults)
    return {"clients": sheet.clients}, sheet.lines


def _csv_rows(
    rows: csv.DictReader[str], fault: Callable[[int, str, str], None]
) -> Iterator[tuple[int, dict[str, str]]]:
    before = rows.line_num
    try:
        for row in rows:
            line, before = before + 1, rows.line_num  # a quoted cell may span lines: name the first one
            if None in row or None in row.values():
                fault(line, "", f"{len(rows.fieldnames or [])} cells are expected, as in the header")
                continue
            yield line, {name: cell.strip() for name, cell in row.items() if cell.strip()}
    except csv.Error as error:
        fault(rows.line_num, "", str(error))


class _Sheet:
    """Folds rows into clients with stores with hosts."""

    def __init__(self) -> None:
        self.clients: list[dict[str, Any]] = []
        self.lines: dict[Path_, int] = {}
        self.faults: list[Fault] = []
        self._clients: dict[str, int] = {}
        self._stores: dict[str, tuple[int, int]] = {}

    def fault(self, line: int, field: str, reason: str) -> None:
        self.faults.append(Fault(line=line, field=field, reason=reason))

    def add(self, line: int, row: dict[str, str]) -> None:
        """One host, with what its row says of its store and client."""
        missing = [name for name in CSV_REQUIRED if name not in row]
        for name in missing:
            self.fault(line, name, "is empty")
        if missing:
            return
        number = self._client(line, row)
        store = self._store(line, row, number)
        if store is None:
            return
        place: Path_ = ("clients", number, "stores", store, "hosts")
        hosts = self.clients[number]["stores"][store]["hosts"]
        self.lines[(*place, len(hosts))] = line
        host: dict[str, Any] = {name: row[name] for name in _HOST_FIELDS if name in row}
        hosts.append({"name": row["host"], **host})

    def _client(self, line: int, row: dict[str, str]) -> int:
        number = self._clients.get(row["client"])
        if number is None:
            number = self._clients[row["client"]] = len(self.clients)
            self.clients.append({"id": row["client"], "name": row["client"], "stores": []})
            self.lines[("clients", number)] = line
        values = {field: row[column] for column, field in _CLIENT_FIELDS.items() if column in row}
        if "contact_address" in row:
            name = row.get("contact_name", row["contact_address"])
            values["contacts"] = [{"name": name, "address": row["contact_address"]}]  # type: ignore[assignment]
        self._merge(line, self.clients[number], values, ("clients", number))
        return number

    def _store(self, line: int, row: dict[str, str], number: int) -> int | None:
        known = self._stores.get(row["store"])
        if known is not None and known[0] != number:
            self.fault(line, "store", f"{row['store']} belongs to another client further up")
            return None
        stores = self.clients[number]["stores"]
        if known is None:
            known = self._stores[row["store"]] = (number, len(stores))
            stores.append({"id": row["store"], "name": row["store"], "hosts": []})
            self.lines[("clients", number, "stores", known[1])] = line
        values: dict[str, Any] = {field: row[c] for c, field in _STORE_FIELDS.items() if c in row}
        for name in _STORE_LISTS:
            if name in row:
                values[name] = [part.strip() for part in row[name].split(";") if part.strip()]
        self._merge(line, stores[known[1]], values, ("clients", number, "stores", known[1]))
        return known[1]

    def _merge(self, line: int, into: dict[str, Any], values: Mapping[str, Any], place: Path_) -> None:
        for field, value in values.items():
            if (*place, field) in self.lines and into[field] != value:
                said = self.lines[(*place, field)]
                self.fault(line, field, f"{value!r} here, but {into[field]!r} in line {said}")
                continue
            into[field] = value
            self.lines.setdefault((*place, field), line)
