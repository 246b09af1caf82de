"""Rows from rules."""

from gristmill_sdk import ConfigError, Refusal
from route import config
from route.leaf import TYPES, Leaf
from route.place import HALF_PAIR, MISSING, is_pointer
from route.template import Template, noted

COLUMN_PARTS = ("pointer", "value", "template", "record", "type", "default", "nullable", "parse")
SOURCES = ("pointer", "value", "template", "record")
# A cell whose faults are noted. (None is NULL.)
REFUSED = object()


class RowRule:
    """One row of one table."""

    def __init__(self, declared, places, at):
        parts = config.table(declared, at, ("table", "columns"))
        self.at = at
        self.table = config.text(parts.get("table"), f"{at}/table")
        columns = parts.get("columns")
        if not isinstance(columns, dict) or not columns:
            raise ConfigError(f"{at}/columns", "a row needs columns")
        self.cells = [Cell(name, column, places, f"{at}/columns/{name}") for name, column in columns.items()]

    def write(self, facts):
        """Adds the row, or its faults."""
        row = [cell.read(facts) for cell in self.cells]
        # What is refused already is not kept in any case.
        if REFUSED not in row:
            facts.out.row(self.table, row)

    def fit(self, columns):
        """Brings the cells into the order of a table that an earlier row has declared."""
        own = {cell.name: cell for cell in self.cells}
        if {name: kind for name, (kind, _) in columns.items()} != {name: cell.kind for name, cell in own.items()}:
            raise ConfigError(self.at, f"table `{self.table}` has other columns or types in an earlier rule")
        self.cells = [own[name] for name in columns]
        for name, (kind, nullable) in columns.items():
            columns[name] = (kind, nullable or own[name].nullable)


class Cell:
    """How one cell is made: `read` gives its value, None for NULL, REFUSED after its faults are noted."""

    def __init__(self, name, declared, places, at):
        self.name = name
        if type(declared) is str and not is_pointer(declared):
            raise ConfigError(at, 'a pointer begins with / or @; a fixed text is { value = "…" }')
        column = {"pointer": declared} if type(declared) is str else config.table(declared, at, COLUMN_PARTS)
        self.nullable = config.boolean(column.get("nullable", False), at)
        type_name = config.text(column.get("type", "text"), at)
        if type_name not in TYPES:
            raise ConfigError(at, f"there is no type `{type_name}`")
        self.kind, read = TYPES[type_name]
        given = [source for source in SOURCES if source in column]
        if len(given) != 1 or (given == ["template"] and "type" in column):
            raise ConfigError(at, "give one of `pointer`, `value`, `template` (always a text) and `record`")
        if given == ["pointer"]:
            self.read = self.of_field(column, type_name, read, places, at)
        elif given == ["record"]:
            self.read = self.of_record(column, places, at)
        elif given == ["value"]:
            value = constant(column["value"], type_name, at)
            self.read = lambda facts: value
        else:
            template = Template.parse(config.text(column["template"], at), places, at)
            self.read = lambda facts: refused_if_none(template.fill(facts))

    def of_field(self, column, type_name, read_leaf, places, at):
        field = places.field(config.text(column["pointer"], at), at)
        parse = config.boolean(column.get("parse", False), at)
        instead = constant(column["default"], type_name, at) if "default" in column else None
        is_text, nullable = type_name == "text", self.nullable

        def read(facts):
            value = facts.some(field)
            if value is MISSING:
                if instead is None and not nullable:
                    facts.needed(field)
                    return REFUSED
                return instead
            # The usual case, without a leaf.
            if is_text and type(value) is str and facts.document(field).is_unicode(value):
                return value
            return refused_if_none(noted(facts, field, read_leaf, Leaf(value, parse, facts.document(field), field)))

        return read

    def of_record(self, column, places, at):
        part = column["record"]
        if part not in RECORD_PARTS:
            raise ConfigError(at, f"a record has no part `{part}`")
        own, read = RECORD_PARTS[part]
        type_name = column.get("type", own)
        if type_name != own and (part, type_name) != ("key", "bytes"):
            raise ConfigError(at, "only the key has a choice of type: text or bytes")
        if part == "index" and places.item is None:
            raise ConfigError(at, "`index` needs an item: the rule has no `each`")
        self.kind = TYPES[type_name][0]
        return read or (lambda facts: self.key(facts, type_name))

    def key(self, facts, type_name):
        key = facts.record.key
        if key is None:
            if self.nullable:
                return None
            facts.out.reject("missing-key", f"column `{self.name}` needs the record's key")
            return REFUSED
        if type_name == "bytes":
            return key
        try:
            return key.decode()
        except UnicodeDecodeError:
            facts.out.reject("bad-key", "the record's key is not UTF-8")
            return REFUSED


def refused_if_none(value):
    return REFUSED if value is None else value


def saturated(micros):
    return min(max(micros, -(2**63)), 2**63 - 1)


RECORD_PARTS = {
    "topic": ("text", lambda facts: facts.record.topic),
    "partition": ("int", lambda facts: facts.record.partition),
    "offset": ("int", lambda facts: facts.record.offset),
    "timestamp": ("timestamp", lambda facts: saturated(facts.record.timestamp_ms * 1_000)),
    "index": ("int", lambda facts: facts.item.index),
    "key": ("text", None),
}


class Constant:
    """Where a value of the configuration comes from."""

    def __init__(self, json):
        self.json = json

    def raw(self, field):
        return self.json

    def is_unicode(self, text):
        return HALF_PAIR.search(text) is None


def constant(value, type_name, at):
    """A value that stands in the configuration."""
    json = config.json(value)
    plain = type(value)(json) if type(value) is not str and isinstance(value, str) else value
    try:
        return TYPES[type_name][1](Leaf(plain, True, Constant(json)))
    except Refusal:
        raise ConfigError(at, f"{json} is not of the type {type_name}") from None


def declare_tables(rows):
    """Declares every table once, and brings its rows' cells into one order."""
    tables = {}
    for row in rows:
        if row.table in tables:
            row.fit(tables[row.table])
        else:
            tables[row.table] = {cell.name: (cell.kind, cell.nullable) for cell in row.cells}
    return {
        table: {name: kind + ("?" if nullable else "") for name, (kind, nullable) in columns.items()}
        for table, columns in tables.items()
    }
