"""Gristmill's SDK for Python: an author writes a function for one record, this makes it the contract of wit/.

    def configure(config, text):
        return Plan(transform, tables={"sales": {"id": "int", "note": "text?"}})

    def transform(record, out):
        sale = record.json()
        out.row("sales", {"id": sale["id"], "note": sale.get("note")})

    Transformer = module("Stores sales.", configure)

The README has the whole interface. Batches and effects cross the boundary as flat lists (gristmill_columns): one list
per column instead of one object per cell is the fast shape.
"""

import json
from dataclasses import dataclass, field

from componentize_py_types import Err
from wit_world.exports.transformer import ColumnPlan, Description, Kind, OutputPlan, TablePlan
from wit_world.exports.transformer import Plan as ContractPlan
from wit_world.imports.types import Effects, Failure, Mail, Verdict

from gristmill_columns import Messages, Table, columns_of
from gristmill_json import explain

# More faults than these help nobody.
FAULTS_MAX = 50


class ConfigError(Exception):
    """What is wrong in a configuration, and where: a JSON pointer, or None if in no one place."""

    def __init__(self, pointer, what):
        super().__init__(what if pointer is None else f"{pointer}: {what}")


class Refusal(Exception):
    """Why a record is refused, raised from any depth; `out.reject` says the same without ending the function."""

    def __init__(self, code, reason, pointer=None, verdict="reject"):
        super().__init__(reason)
        self.fault = (verdict, code, pointer, reason)


@dataclass
class Plan:
    """The most that a module may do under its configuration, and the function that does it."""

    transform: object
    # Columns by table, kinds by column.
    tables: dict = field(default_factory=dict)
    # By name: `fixed`, or `dynamic` if messages complete the topic's name.
    outputs: dict = field(default_factory=dict)
    lookups: list = field(default_factory=list)
    mails: bool = False


def module(about, configure, config_schema=None):
    """The class that `app.py` must hold under the name `Transformer`; `configure(config, text)` gives a `Plan`."""

    class Transformer:
        # Of the class: each call is made on an instance of its own.
        configured = None

        def describe(self):
            return Description(about, config_schema)

        def configure(self, text):
            def work():
                Transformer.configured = Configured(configure(parse_config(text), text))
                return Transformer.configured.plan

            return told("configure", work)

        def apply(self, batch):
            return told("apply", lambda: Transformer.configured.apply(batch))

    return Transformer


def parse_config(text):
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError("", f"not JSON: {explain(text) or error}") from None


def told(what, work):
    """Only an `Err` that holds a text is an error of `apply`, and keeps the instance usable; any other exception is a
    bare trap, and the operator would see nothing of it."""
    try:
        return work()
    except ConfigError as error:
        raise Err(str(error)) from None
    except Exception as error:
        place = getattr(error, "place", what)
        raise Err(f"{place}: {type(error).__name__}: {error}{innermost(error)}") from None


def innermost(error):
    """The line where an exception arose."""
    frame = error.__traceback__
    if frame is None:
        return ""
    while frame.tb_next is not None:
        frame = frame.tb_next
    code = frame.tb_frame.f_code
    return f" (at {code.co_name} in {code.co_filename}:{frame.tb_lineno})"


class Configured:
    """A module under its configuration."""

    def __init__(self, plan):
        self.transform = plan.transform
        self.mails = plan.mails
        self.tables = [(name, columns_of(name, columns)) for name, columns in plan.tables.items()]
        self.outputs = [(name, is_dynamic(name, kind)) for name, kind in plan.outputs.items()]
        self.plan = ContractPlan(
            tables=[TablePlan(name, [column_plan(*column) for column in columns], None, None) for name, columns in self.tables],
            outputs=[OutputPlan(name, dynamic) for name, dynamic in self.outputs],
            lookups=list(plan.lookups),
            mails=plan.mails,
        )

    def apply(self, batch):
        out = Out(self, batch)
        no_key, no_value = frozenset(batch.no_key), frozenset(batch.no_value)
        transform = self.transform
        for index in range(len(batch.offsets)):
            record = Record(batch, index, index in no_key, index in no_value)
            out.input = index
            try:
                transform(record, out)
            except Refusal as refusal:
                out.refuse(refusal.fault)
            except Exception as error:
                error.place = f"record at offset {batch.offsets[index]}"
                raise
            if out.faults:
                out.take_back()
        return out.effects()


def column_plan(name, kind, nullable):
    return ColumnPlan(name, Kind[kind.tag.upper()], nullable)


def is_dynamic(name, kind):
    if kind not in ("fixed", "dynamic"):
        raise ValueError(f"output `{name}` is fixed or dynamic, not {kind}")
    return kind == "dynamic"


class Record:
    """One record of the batch."""

    __slots__ = ("batch", "index", "keyless", "valueless")

    def __init__(self, batch, index, keyless, valueless):
        self.batch = batch
        self.index = index
        self.keyless = keyless
        self.valueless = valueless

    @property
    def topic(self):
        return self.batch.topic

    @property
    def partition(self):
        return self.batch.partition

    @property
    def offset(self):
        """Its place in its partition."""
        return self.batch.offsets[self.index]

    @property
    def timestamp_ms(self):
        """When it was made, milliseconds since 1970-01-01 UTC. A module has no other clock."""
        return self.batch.timestamps_ms[self.index]

    @property
    def key(self):
        """Bytes, or None."""
        return None if self.keyless else cut(self.batch.keys, self.index)

    @property
    def value(self):
        """Bytes, or None: a tombstone has none."""
        return None if self.valueless else cut(self.batch.values, self.index)

    @property
    def headers(self):
        """Pairs of name and value, in order; a value is bytes, or None."""
        return [(header.name, header.value) for header in self.batch.headers if header.index == self.index]

    def text(self):
        """The value as text; a record whose value is none is refused (`no-value`, `invalid-utf8`)."""
        if self.valueless:
            raise Refusal("no-value", "the record has no value")
        try:
            return cut(self.batch.values, self.index).decode()
        except UnicodeDecodeError as error:
            raise Refusal("invalid-utf8", f"the value is not UTF-8 from byte {error.start}") from None

    def json(self, **options):
        """The value as JSON; a record whose value is none is refused (`invalid-json`, with line and column). Options
        are those of `json.loads`: `parse_float=decimal.Decimal` keeps the digits of numbers."""
        text = self.text()
        try:
            return json.loads(text, **options)
        except ValueError as error:
            raise Refusal("invalid-json", f"the value is not JSON: {explain(text) or error}") from None


def cut(blobs, index):
    ends = blobs.ends
    return blobs.data[ends[index - 1] if index else 0:ends[index]]


class Out:
    """What the records of a batch cause. If a record is refused, nothing of it happens."""

    def __init__(self, configured, batch):
        self.batch = batch
        self.input = 0
        self.tables = {name: Table(name, columns) for name, columns in configured.tables}
        self.outputs = {name: Messages(name, dynamic) for name, dynamic in configured.outputs}
        self.mailing = configured.mails
        self.mails = []
        self.failures = []
        self.faults = []

    def row(self, table, cells):
        """A row: a dict of cells by column, or a list of them in the plan's order."""
        rows = self.tables.get(table)
        if rows is None:
            raise KeyError(f"the plan has no table `{table}`")
        rows.add(self.input, cells)

    def message(self, output, *, topic=None, key=None, headers=(), **value):
        """A message; without `value=` it carries the record's, which then does not cross the boundary. `value=None`
        is a tombstone."""
        messages = self.outputs.get(output)
        if messages is None:
            raise KeyError(f"the plan has no output `{output}`")
        messages.add(self.input, topic, key, headers, value, self.value_at)

    def next(self, **message):
        """The record goes on to the next stage, as it is or changed."""
        self.message("next", **message)

    def mail(self, to, subject, text, html=None):
        if not self.mailing:
            raise KeyError("the plan has no mails")
        self.mails.append(Mail(self.input, [to] if isinstance(to, str) else list(to), subject, text, html))

    def reject(self, code, reason, pointer=None):
        """The record can never succeed: it becomes a dead letter. May be said several times, once for each fault."""
        self.refuse(("reject", code, pointer, reason))

    def retry(self, code, reason, pointer=None):
        """Not yet: the record is parked and comes back."""
        self.refuse(("retry", code, pointer, reason))

    @property
    def is_full(self):
        """Whether no more faults are kept: the rest of the record need not be looked at."""
        return len(self.faults) >= FAULTS_MAX

    def refuse(self, fault):
        if not self.is_full and fault not in self.faults:
            self.faults.append(fault)

    def value_at(self, index):
        return None if index in self.batch.no_value else cut(self.batch.values, index)

    def take_back(self):
        for effects in (*self.tables.values(), *self.outputs.values()):
            effects.take_back(self.input)
        while self.mails and self.mails[-1].input == self.input:
            self.mails.pop()
        for verdict, code, pointer, reason in self.faults:
            self.failures.append(Failure(self.input, Verdict[verdict.upper()], code, pointer, reason))
        self.faults = []

    def effects(self):
        return Effects(
            rows=[table.finish() for table in self.tables.values() if table.inputs],
            messages=[messages.finish() for messages in self.outputs.values() if messages.inputs],
            mails=self.mails,
            failures=self.failures,
        )
