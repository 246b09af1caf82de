"""Places of a record that a rule reads, and what a record has there.

A record is parsed by Python's own parser, the fast way, with numbers kept as their digits. Where the spelling of a
document matters it is looked for in the text by a scan.
"""

import json
import re

from gristmill_json import Wanted, explain
from gristmill_sdk import ConfigError, Refusal

# A place that is not there; None is JSON's null.
MISSING = object()
INDEX = re.compile(r"0|[1-9][0-9]*")
HALF_PAIR = re.compile("[\ud800-\udfff]")


class Digits(str):
    """A number as it is spelled."""

    __slots__ = ()


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


DECODER = json.JSONDecoder(parse_int=Digits, parse_float=Digits, parse_constant=no_constant)


class Field:
    """A place that is wanted, resolved when the rule was read."""

    __slots__ = ("in_item", "pointer", "place")

    def __init__(self, in_item, pointer, place):
        self.in_item = in_item
        self.pointer = pointer
        self.place = place


class Places:
    """What a configuration wants of the record and, in a rule with `each`, of its items."""

    def __init__(self):
        self.root = Wanted()
        # None outside of a rule with `each`.
        self.item = None

    def field(self, text, at):
        in_item = text.startswith("@")
        pointer = text[1:] if in_item else text
        if in_item and self.item is None:
            raise ConfigError(at, f"`{text}` needs an item: the rule has no `each`")
        tokens = tokens_of(pointer)
        if tokens is None:
            raise ConfigError(at, f"`{text}` is not a JSON pointer")
        return Field(in_item, pointer, (self.item if in_item else self.root).place(tokens))


def is_pointer(text):
    """Whether a text of the configuration is meant as a pointer."""
    return text.startswith("/") or text == "@" or text.startswith("@/")


def tokens_of(pointer):
    if not pointer:
        return []
    if not pointer.startswith("/") or re.search(r"~(?![01])", pointer):
        return None
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


class Document:
    """A record's value, or an item of it: parsed, and as its text."""

    __slots__ = ("cut", "own_text", "wanted", "found", "may_be_half", "deep", "values")

    def __init__(self, value, text, wanted, may_be_half, deep=False):
        """`text` may be a function: an item's text is cut out only where it is needed."""
        self.own_text = None if callable(text) else text
        self.cut = text
        self.wanted = wanted
        self.found = None
        # Only an escape can make half a surrogate pair.
        self.may_be_half = may_be_half
        self.deep = deep
        # What is at each place, by its number: MISSING if nothing is. Rules read most places, and some often.
        if deep:
            self.values = [MISSING if raw is None else shallow(raw) for raw in wanted.find(text)]
        else:
            self.values = [MISSING] * wanted.places
            pick(wanted.root, value, self.values)

    @staticmethod
    def parse(text, wanted):
        may_be_half = "\\u" in text
        try:
            return Document(DECODER.decode(text), text, wanted, may_be_half)
        except RecursionError:
            reason = explain(text)
            if reason is None:
                return Document(None, text, wanted, may_be_half, deep=True)
        except ValueError as error:
            reason = explain(text) or str(error)
        raise Refusal("invalid-json", f"the value is not JSON: {reason}")

    @property
    def text(self):
        if self.own_text is None:
            self.own_text = self.cut()
        return self.own_text

    def raw(self, field):
        """The part of the text that is there."""
        if self.found is None:
            self.found = self.wanted.find(self.text)
        return self.found[field.place]

    def is_unicode(self, text):
        return not self.may_be_half or text.isascii() or HALF_PAIR.search(text) is None


def pick(node, value, values):
    if node.place is not None:
        values[node.place] = value
    if not node.below:
        return
    if type(value) is dict:
        for token, below in node.below.items():
            found = value.get(token, MISSING)
            if found is MISSING:
                continue
            if below.below:
                pick(below, found, values)
            else:
                values[below.place] = found
    elif type(value) is list:
        for token, below in node.below.items():
            if INDEX.fullmatch(token) and len(token) < 10 and int(token) < len(value):
                pick(below, value[int(token)], values)


def shallow(raw):
    """A part of a text that nests too deep for the parser: of lists and objects only what they are."""
    try:
        return DECODER.decode(raw)
    except RecursionError:
        return [] if raw.startswith("[") else {}


class Item:
    """The item that a rule with `each` is at."""

    __slots__ = ("index", "array", "document")

    def __init__(self, index, array, document):
        self.index = index
        self.array = array
        self.document = document


class Facts:
    """What is known while a rule is followed."""

    __slots__ = ("record", "root", "out", "item")

    def __init__(self, record, root, out, item=None):
        self.record = record
        self.root = root
        self.out = out
        self.item = item

    def document(self, field):
        """None for an item's place where there is no item."""
        if not field.in_item:
            return self.root
        return self.item.document if self.item else None

    def some(self, field):
        """What the record has at a place, MISSING if that is nothing or null."""
        if field.in_item:
            value = self.item.document.values[field.place] if self.item else None
        else:
            value = self.root.values[field.place]
        return MISSING if value is None else value

    def pointer(self, field):
        """Where a field is in the record's value."""
        if field.in_item and self.item:
            return f"{self.item.array.pointer}/{self.item.index}{field.pointer}"
        return field.pointer

    def needed(self, field):
        """What the record must have there; MISSING, and the fault is noted, if it has not."""
        document = self.document(field)
        value = document.values[field.place] if document else MISSING
        if value is not None and value is not MISSING:
            return value
        reason = "this field is null" if value is None else "this field is missing"
        self.out.reject("missing-field", reason, self.pointer(field))
        return MISSING
