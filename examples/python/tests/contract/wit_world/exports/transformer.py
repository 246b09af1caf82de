"""The types of wit/transformer.wit."""

from dataclasses import make_dataclass
from enum import Enum

Kind = Enum("Kind", "TEXT INT FLOAT BOOLEAN BYTES FIXED TIMESTAMP DATE DECIMAL JSON", start=0)
ColumnPlan = make_dataclass("ColumnPlan", ["name", "kind", "nullable"])
TablePlan = make_dataclass("TablePlan", ["name", "columns", "recipe", "needs"])
OutputPlan = make_dataclass("OutputPlan", ["name", "dynamic"])
Description = make_dataclass("Description", ["about", "config_schema"])
Plan = make_dataclass("Plan", ["tables", "outputs", "lookups", "mails"])
