"""Runs a module on a batch without a sandbox, and shows what each record causes."""

import base64
import json
from datetime import date, datetime, timedelta
from itertools import accumulate
from uuid import UUID

from wit_world.imports.types import Batch, Blobs, Header

EPOCH = datetime(1970, 1, 1)


def batch_of(records):
    """A batch of dicts with `key`, `value` or `text` or `base64`, `headers`, `timestamp_ms`."""
    values = [value_of(record) for record in records]
    return Batch(
        topic="test",
        partition=0,
        offsets=list(range(len(records))),
        timestamps_ms=[record.get("timestamp_ms", 0) for record in records],
        keys=blobs([record.get("key", "").encode() for record in records]),
        no_key=[index for index, record in enumerate(records) if "key" not in record],
        values=blobs([value or b"" for value in values]),
        no_value=[index for index, value in enumerate(values) if value is None],
        headers=[
            Header(index, name, None if value is None else value.encode())
            for index, record in enumerate(records) for name, value in record.get("headers", {}).items()
        ],
    )


def value_of(record):
    if "base64" in record:
        return base64.b64decode(record["base64"])
    if "value" in record:
        return json.dumps(record["value"], ensure_ascii=False, separators=(",", ":")).encode()
    return record["text"].encode() if "text" in record else None


def blobs(values):
    return Blobs(b"".join(values), list(accumulate(map(len, values))))


def nth(packed, index):
    data = packed.data.encode() if isinstance(packed.data, str) else packed.data
    return data[packed.ends[index - 1] if index else 0:packed.ends[index]]


def by_record(effects, count):
    """What each of so many records causes."""
    caused = [{} for _ in range(count)]

    def push(input, kind, one):
        caused[input].setdefault(kind, []).append(one)

    for rows in effects.rows:
        for row, input in enumerate(rows.inputs):
            columns = {
                column.name: None if row in column.nulls else cell(column.values, row) for column in rows.columns
            }
            push(input, "rows", {"table": rows.table, "columns": columns})
    for messages in effects.messages:
        for index, input in enumerate(messages.inputs):
            push(input, "messages", message(messages, index))
    for mail in effects.mails:
        shown = {"to": mail.to, "subject": mail.subject, "text": mail.text, "html": mail.html}
        push(mail.input, "mails", {name: part for name, part in shown.items() if part is not None})
    for failure in effects.failures:
        shown = {
            "retry": failure.verdict.name == "RETRY" or None, "code": failure.code, "pointer": failure.pointer,
            "reason": failure.reason,
        }
        push(failure.input, "failures", {name: part for name, part in shown.items() if part is not None})
    return caused


def cell(values, row):
    kind = type(values).__name__.removeprefix("ColumnValues_")
    if kind in ("Text", "Decimal"):
        return nth(values.value.value, row).decode()
    if kind == "Json":
        return json.loads(nth(values.value.value, row))
    if kind == "Bytes":
        return nth(values.value, row).hex()
    if kind == "Fixed":
        width = values.value.width
        data = values.value.data[row * width:(row + 1) * width]
        return str(UUID(bytes=data)) if width == 16 else data.hex()
    if kind == "Date":
        return str(date(1970, 1, 1) + timedelta(days=values.value[row]))
    if kind == "Timestamp":
        return (EPOCH + timedelta(microseconds=values.value[row])).isoformat() + "Z"
    return values.value[row]


def message(messages, index):
    shown = {"output": messages.output}
    if messages.topics is not None:
        shown["topic"] = nth(messages.topics.value, index).decode()
    if messages.keys is not None and index not in messages.no_key:
        shown["key"] = nth(messages.keys, index).decode()
    if type(messages.values).__name__ == "MessageValues_Same":
        shown["value"] = "same"
    elif index in messages.no_value:
        shown["value"] = "none"
    else:
        shown["value"] = {"text": nth(messages.values.value, index).decode()}
    headers = {header.name: (header.value or b"").decode() for header in messages.headers if header.index == index}
    return {**shown, "headers": headers} if headers else shown
