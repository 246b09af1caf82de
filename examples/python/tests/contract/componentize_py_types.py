"""Stands in for what componentize-py puts into a component, so that tests need no tools."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Err(Exception):
    value: object
