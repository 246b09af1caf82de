"""The types of wit/types.wit, as far as the SDK makes them or reads them."""

from dataclasses import make_dataclass
from enum import Enum


def record(name, fields):
    return make_dataclass(name, fields.split())


Blobs = record("Blobs", "data ends")
PackedTexts = record("PackedTexts", "data ends")
Texts_Packed = record("Texts_Packed", "value")
Header = record("Header", "index name value")
Batch = record("Batch", "topic partition offsets timestamps_ms keys no_key values no_value headers")
FixedValues = record("FixedValues", "width data")
ColumnValues_Text = record("ColumnValues_Text", "value")
ColumnValues_Int = record("ColumnValues_Int", "value")
ColumnValues_Float = record("ColumnValues_Float", "value")
ColumnValues_Boolean = record("ColumnValues_Boolean", "value")
ColumnValues_Bytes = record("ColumnValues_Bytes", "value")
ColumnValues_Fixed = record("ColumnValues_Fixed", "value")
ColumnValues_Timestamp = record("ColumnValues_Timestamp", "value")
ColumnValues_Date = record("ColumnValues_Date", "value")
ColumnValues_Decimal = record("ColumnValues_Decimal", "value")
ColumnValues_Json = record("ColumnValues_Json", "value")
Column = record("Column", "name values nulls")
Rows = record("Rows", "table inputs columns")
MessageValues_Same = record("MessageValues_Same", "")
MessageValues_Each = record("MessageValues_Each", "value")
Messages = record("Messages", "output inputs topics keys no_key values no_value headers")
Mail = record("Mail", "input to subject text html")
Failure = record("Failure", "input verdict code pointer reason")
Effects = record("Effects", "rows messages mails failures")
Verdict = Enum("Verdict", "REJECT RETRY", start=0)
