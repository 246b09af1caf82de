"""Texts with places in them: `Order {/order_id} for {/customer/name}`."""

import re

from gristmill_sdk import ConfigError, Refusal
from route.leaf import Leaf
from route.place import Digits, Field, MISSING, is_pointer

PIECES = re.compile(r"\{\{|\}\}|\{([^}]*)\}|[^{}]+|[{}]", re.DOTALL)
MARKUP = re.compile("[&<>\"'\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}
# `{@index}`: the item's place in its array.
INDEX = object()


class Template:
    """A text that is filled in from a record. Parts are texts, fields, or INDEX."""

    def __init__(self, parts):
        self.parts = parts

    @staticmethod
    def expression(text, places, at):
        """A pointer, or a text with pointers in braces."""
        return Template([places.field(text, at)]) if is_pointer(text) else Template.parse(text, places, at)

    @staticmethod
    def parse(text, places, at):
        """A text with pointers in braces; `{{` and `}}` are braces themselves."""
        parts = []
        for match in PIECES.finditer(text):
            piece = match[0]
            if match[1] is not None:
                parts.append(part_of(match[1], places, at))
                continue
            if piece in ("{", "}"):
                raise ConfigError(at, f"a brace that does not belong to a pair (write it twice) in `{text}`")
            literal = piece[0] if piece in ("{{", "}}") else piece
            if parts and isinstance(parts[-1], str):
                parts[-1] += literal
            else:
                parts.append(literal)
        return Template(parts)

    def fill(self, facts, escape=None):
        """The text for a record; None, and its faults are noted, if a place is not there."""
        if len(self.parts) == 1:
            return text_of(self.parts[0], facts, escape)
        texts = [text_of(part, facts, escape) for part in self.parts]
        return None if None in texts else "".join(texts)

    def pointer(self, facts):
        """Where in the record the text comes from, if it comes from one place."""
        return facts.pointer(self.parts[0]) if len(self.parts) == 1 and type(self.parts[0]) is Field else None


def part_of(text, places, at):
    if text == "@index" and places.item is not None:
        return INDEX
    if not is_pointer(text):
        raise ConfigError(at, f"`{{{text}}}` is not a pointer: it begins with / or @")
    return places.field(text, at)


def text_of(part, facts, escape):
    if type(part) is str:
        return part
    if part is INDEX:
        return str(facts.item.index)
    value = facts.needed(part)
    if value is MISSING:
        return None
    # Most values are texts without escapes: no leaf is needed for them.
    if type(value) is Digits:
        value = str(value)
    elif type(value) is not str or not facts.document(part).is_unicode(value):
        value = noted(facts, part, Leaf.scalar, Leaf(value, False, facts.document(part), part))
        if value is None:
            return None
    return escape(value) if escape else value


def noted(facts, field, read, leaf):
    """What is read of a leaf; None, and the fault is noted at the field, if that raises a refusal."""
    try:
        return read(leaf)
    except Refusal as refusal:
        _, code, _, reason = refusal.fault
        facts.out.reject(code, reason, facts.pointer(field))
        return None


def as_html(text):
    """A record's text must not become markup."""
    return MARKUP.sub(lambda match: ENTITIES.get(match[0], "\ufffd"), text)
