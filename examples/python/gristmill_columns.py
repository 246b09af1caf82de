"""Effects as the contract has them: per table one list for each column, per output one for keys, values, topics."""

import re
from itertools import accumulate

from wit_world.imports.types import (
    Blobs, Column, ColumnValues_Boolean, ColumnValues_Bytes, ColumnValues_Date, ColumnValues_Decimal,
    ColumnValues_Fixed, ColumnValues_Float, ColumnValues_Int, ColumnValues_Json, ColumnValues_Text,
    ColumnValues_Timestamp, FixedValues, Header, MessageValues_Each, MessageValues_Same, PackedTexts, Rows,
    Texts_Packed,
)
from wit_world.imports.types import Messages as ContractMessages

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


class KindOfColumn:
    """What a cell must be, what stands in place of NULL, and the list that cells become."""

    def __init__(self, tag, needs, zero, takes, finish):
        self.tag = tag
        self.needs = needs
        self.zero = zero
        self.takes = takes
        self.finish = finish


def pack_texts(texts):
    """Texts end to end, with the ends that count UTF-8 bytes."""
    data = "".join(texts)
    if data.isascii():
        return PackedTexts(data, list(accumulate(map(len, texts))))
    try:
        return PackedTexts(data, list(accumulate(len(text.encode()) for text in texts)))
    except UnicodeEncodeError:
        # Half a surrogate pair has no UTF-8: it becomes U+FFFD.
        return pack_texts([text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in texts])


def pack_blobs(cells):
    """Byte strings end to end; cells are texts or bytes."""
    blobs = [cell if isinstance(cell, bytes) else cell.encode() for cell in cells]
    return Blobs(b"".join(blobs), list(accumulate(map(len, blobs))))


def textual(tag, values, needs):
    return KindOfColumn(tag, needs, "", lambda cell: isinstance(cell, str),
                        lambda cells: values(Texts_Packed(pack_texts(cells))))


def integer(tag, values, needs, least, most):
    # True is an int to Python, and no integer to anybody else.
    return KindOfColumn(tag, needs, 0, lambda cell: type(cell) is int and least <= cell <= most, values)


KINDS = {
    "text": textual("text", ColumnValues_Text, "a str"),
    "decimal": textual("decimal", ColumnValues_Decimal, "the text of a number"),
    "json": textual("json", ColumnValues_Json, "a JSON text"),
    "int": integer("int", ColumnValues_Int, "an int of 64 bits", INT64_MIN, INT64_MAX),
    "timestamp": integer("timestamp", ColumnValues_Timestamp, "microseconds since 1970, an int", INT64_MIN, INT64_MAX),
    "date": integer("date", ColumnValues_Date, "days since 1970, an int", INT32_MIN, INT32_MAX),
    "float": KindOfColumn("float", "a float", 0.0, lambda cell: type(cell) in (float, int),
                          lambda cells: ColumnValues_Float([float(cell) for cell in cells])),
    "boolean": KindOfColumn("boolean", "True or False", False, lambda cell: isinstance(cell, bool),
                            ColumnValues_Boolean),
    "bytes": KindOfColumn("bytes", "bytes", b"", lambda cell: isinstance(cell, bytes),
                          lambda cells: ColumnValues_Bytes(pack_blobs(cells))),
}


def fixed(width):
    return KindOfColumn("fixed", f"{width} bytes", bytes(width),
                        lambda cell: isinstance(cell, bytes) and len(cell) == width,
                        lambda cells: ColumnValues_Fixed(FixedValues(width, b"".join(cells))))


def kind_of(text):
    """`int`, `text?` (may be NULL), `uuid`, `fixed:20`."""
    match = re.fullmatch(r"([a-z]+)(?::([1-9][0-9]*))?\??", text)
    name, width = match.groups() if match else (None, None)
    if name == "uuid" and width is None:
        return fixed(16)
    if name == "fixed" and width is not None:
        return fixed(int(width))
    return KINDS.get(name) if width is None else None


def columns_of(table, declared):
    """Triples of name, kind and whether it is nullable."""
    columns = []
    for name, text in declared.items():
        kind = kind_of(text)
        if kind is None:
            raise ValueError(f"table `{table}` column `{name}`: there is no kind `{text}`")
        columns.append((name, kind, text.endswith("?")))
    return columns


def kept_of(inputs, input):
    """How many rows or messages are kept if the last input's are taken back."""
    kept = len(inputs)
    while kept and inputs[kept - 1] == input:
        kept -= 1
    return kept


def shorten(indices, kept):
    while indices and indices[-1] >= kept:
        indices.pop()


class Table:
    """The rows of one table."""

    def __init__(self, name, columns):
        self.name = name
        self.inputs = []
        # Name, kind, nullable, cells, nulls; and what each row needs of them, at hand.
        self.columns = [(*column, [], []) for column in columns]
        self.names = [column[0] for column in columns]
        self.known = frozenset(self.names)

    def add(self, input, cells):
        if not isinstance(cells, list):
            if not cells.keys() <= self.known:
                raise TypeError(f"table `{self.name}` has no column {min(cells.keys() - self.known)}")
            cells = [cells.get(name) for name in self.names]
        elif len(cells) != len(self.columns):
            raise TypeError(f"a row of table `{self.name}` has {len(self.columns)} cells, not {len(cells)}")
        for (name, kind, nullable, column, nulls), cell in zip(self.columns, cells):
            if cell is None:
                if not nullable:
                    raise TypeError(f"table `{self.name}` column `{name}` is not nullable (its kind has no `?`)")
                nulls.append(len(self.inputs))
                column.append(kind.zero)
            elif kind.takes(cell):
                column.append(cell)
            else:
                raise TypeError(f"table `{self.name}` column `{name}` needs {kind.needs}, not {cell!r:.60}")
        self.inputs.append(input)

    def take_back(self, input):
        kept = kept_of(self.inputs, input)
        del self.inputs[kept:]
        for _, _, _, cells, nulls in self.columns:
            del cells[kept:]
            shorten(nulls, kept)

    def finish(self):
        columns = [Column(name, kind.finish(cells), nulls) for name, kind, _, cells, nulls in self.columns]
        return Rows(self.name, self.inputs, columns)


class Messages:
    """The messages to one output."""

    def __init__(self, output, dynamic):
        self.output = output
        self.dynamic = dynamic
        self.inputs = []
        self.topics = []
        self.keys = []
        self.no_key = []
        # None as long as every message carries its record's value.
        self.values = None
        self.no_value = []
        self.headers = []

    def add(self, input, topic, key, headers, value, value_at):
        if (topic is not None) != self.dynamic:
            needs = "dynamic: its messages need a" if self.dynamic else "fixed: its messages have no"
            raise TypeError(f"output `{self.output}` is declared {needs} topic")
        index = len(self.inputs)
        if self.dynamic:
            self.topics.append(topic)
        if key is None:
            self.no_key.append(index)
        self.keys.append(b"" if key is None else as_bytes(key, "key"))
        if value and self.values is None:
            self.values = []
            for at, before in enumerate(self.inputs):
                self.add_value(value_at(before), at)
        if self.values is not None:
            self.add_value(value["value"] if value else value_at(input), index)
        for name, own in headers.items() if isinstance(headers, dict) else headers:
            self.headers.append(Header(index, name, None if own is None else as_bytes(own, "header")))
        self.inputs.append(input)

    def add_value(self, value, index):
        if value is None:
            self.no_value.append(index)
        self.values.append(b"" if value is None else as_bytes(value, "value"))

    def take_back(self, input):
        kept = kept_of(self.inputs, input)
        for values in (self.inputs, self.topics, self.keys, self.values or []):
            del values[kept:]
        shorten(self.no_key, kept)
        shorten(self.no_value, kept)
        while self.headers and self.headers[-1].index >= kept:
            self.headers.pop()

    def finish(self):
        keyless = len(self.no_key) == len(self.inputs)
        return ContractMessages(
            output=self.output,
            inputs=self.inputs,
            topics=Texts_Packed(pack_texts(self.topics)) if self.dynamic else None,
            keys=None if keyless else pack_blobs(self.keys),
            no_key=[] if keyless else self.no_key,
            values=MessageValues_Same() if self.values is None else MessageValues_Each(pack_blobs(self.values)),
            no_value=self.no_value,
            headers=self.headers,
        )


def as_bytes(value, what):
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if what == "key" and type(value) is int:
        return str(value).encode()
    raise TypeError(f"a message's {what} is a str or bytes, not {value!r:.60}")
