"""One place of a record, read as what a column or a text needs."""

import math
import re

from gristmill_sdk import Refusal
from gristmill_values import parse_base64, parse_date, parse_decimal, parse_timestamp, parse_uuid
from route.place import Digits

INTEGER = re.compile(r"[+-]?[0-9]+")
FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
# Python refuses to read integers of thousands of digits; no 64 bits hold so many.
INTEGER_DIGITS_MAX = 100
CHARS_MAX = 100


def shape_of(value):
    shapes = {Digits: "a number", str: "a text", bool: "a boolean", list: "an array", dict: "an object"}
    return shapes.get(type(value), "null")


def wrong(wanted, value):
    return Refusal("wrong-type", f"{wanted} is needed here, not {shape_of(value)}")


def odd(code, text, reason):
    """A reason with the beginning of the offending text."""
    more = "…" if len(text) > CHARS_MAX else ""
    return Refusal(code, f'"{text[:CHARS_MAX]}{more}" {reason}')


def not_number(text):
    return odd("bad-number", text, "is not a number in decimal digits, or has too many")


class Leaf:
    """A value that is not null; with `parse` a text that holds a number or boolean will do."""

    __slots__ = ("value", "parse", "document", "field")

    def __init__(self, value, parse, document, field=None):
        self.value = value
        self.parse = parse
        # Where it comes from.
        self.document = document
        self.field = field

    def raw(self):
        return self.document.raw(self.field)

    def text(self, wanted):
        if type(self.value) is not str:
            raise wrong(wanted, self.value)
        if not self.document.is_unicode(self.value):
            raise Refusal("bad-text", "the text has half a surrogate pair")
        return self.value

    def digits(self, wanted):
        if type(self.value) is Digits:
            return str(self.value)
        if self.parse and type(self.value) is str:
            return self.text(wanted)
        raise wrong(wanted, self.value)

    def boolean(self):
        if type(self.value) is bool:
            return self.value
        if not self.parse or type(self.value) is not str:
            raise wrong("a boolean", self.value)
        text = self.text("a boolean")
        if text not in ("true", "false"):
            raise odd("bad-boolean", text, "is neither true nor false")
        return text == "true"

    def scalar(self):
        """A text, number or boolean as text, for keys and templates: numbers digit by digit."""
        if type(self.value) is Digits:
            return str(self.value)
        if type(self.value) is bool:
            return "true" if self.value else "false"
        return self.text("a text, a number or a boolean")


def int_of(text):
    """An integer; `1.0` and `1e3` are integers too, as JSON Schema has it."""
    if INTEGER.fullmatch(text) and len(text) <= INTEGER_DIGITS_MAX:
        integer = int(text)
        if INT64_MIN <= integer <= INT64_MAX:
            return integer
    spelled = parse_decimal(text)
    if spelled is None:
        raise not_number(text)
    whole, _, fraction = spelled.partition(".")
    if fraction.strip("0"):
        raise odd("wrong-type", text, "is not an integer")
    digits = whole.lstrip("-").lstrip("0") or "0"
    if len(digits) <= INTEGER_DIGITS_MAX:
        integer = -int(digits) if whole.startswith("-") else int(digits)
        if INT64_MIN <= integer <= INT64_MAX:
            return integer
    raise odd("out-of-range", text, "does not fit 64 bits")


def float_of(text):
    if not FLOAT.fullmatch(text):
        raise not_number(text)
    number = float(text)
    if math.isinf(number):
        raise odd("out-of-range", text, "is too large")
    return number


def decimal_of(text):
    spelled = parse_decimal(text)
    if spelled is None:
        raise not_number(text)
    return spelled


def instant_of(text, micros):
    instant = int_of(text) * micros
    if not INT64_MIN <= instant <= INT64_MAX:
        raise Refusal("out-of-range", "the instant is too far away")
    return instant


def parsed(parse, text, code, reason):
    value = parse(text)
    if value is None:
        raise odd(code, text, reason)
    return value


# A value of a column, by the name of its type: the column's kind, and how it is read.
TYPES = {
    "text": ("text", lambda leaf: leaf.text("a text")),
    "int": ("int", lambda leaf: int_of(leaf.digits("an integer"))),
    "float": ("float", lambda leaf: float_of(leaf.digits("a number"))),
    "decimal": ("decimal", lambda leaf: decimal_of(leaf.digits("a number"))),
    "boolean": ("boolean", lambda leaf: leaf.boolean()),
    "json": ("json", lambda leaf: leaf.raw()),
    "epoch_ms": ("timestamp", lambda leaf: instant_of(leaf.digits("an integer"), 1_000)),
    "epoch_s": ("timestamp", lambda leaf: instant_of(leaf.digits("an integer"), 1_000_000)),
    "timestamp": ("timestamp", lambda leaf: parsed(
        parse_timestamp, leaf.text("a timestamp as text"), "bad-timestamp",
        "is not a timestamp like 2026-11-21T10:00:00Z")),
    "date": ("date", lambda leaf: parsed(
        parse_date, leaf.text("a date as text"), "bad-date", "is not a day, YYYY-MM-DD")),
    "uuid": ("uuid", lambda leaf: parsed(parse_uuid, leaf.text("a uuid as text"), "bad-uuid", "is not a uuid")),
    "bytes": ("bytes", lambda leaf: parsed(
        parse_base64, leaf.text("base64 as text"), "bad-base64", "is not base64")),
}
