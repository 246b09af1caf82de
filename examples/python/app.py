"""What componentize-py looks for: the class `Transformer`, which implements the world's export."""

from gristmill_sdk import module
from route.rules import ABOUT, configure

Transformer = module(ABOUT, configure)
