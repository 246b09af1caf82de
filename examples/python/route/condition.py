"""When a rule applies."""

import re

from gristmill_sdk import ConfigError
from route import config
from route.place import Digits, HALF_PAIR, MISSING

INTEGER = re.compile(r"-?[0-9]{1,39}")


def compile_condition(declared, places, at):
    """A function of the facts: whether the condition holds."""
    parts = config.table(declared, at, ("all", "any", "not", "pointer", *TESTS))

    def several(name):
        listed = config.items(parts[name], f"{at}/{name}")
        return [compile_condition(one, places, f"{at}/{name}/{index}") for index, one in enumerate(listed)]

    conditions = several("all") if "all" in parts else []
    if "any" in parts:
        some = several("any")
        conditions.append(lambda facts: any(holds(facts) for holds in some))
    if "not" in parts:
        none = compile_condition(parts["not"], places, f"{at}/not")
        conditions.append(lambda facts: not none(facts))
    conditions.extend(compile_tests(parts, places, at))
    if not conditions:
        raise ConfigError(at, "a condition needs `all`, `any`, `not`, or a `pointer` and a test")
    return conditions[0] if len(conditions) == 1 else lambda facts: all(holds(facts) for holds in conditions)


def compile_tests(parts, places, at):
    names = [name for name in TESTS if name in parts]
    if "pointer" not in parts:
        if names:
            raise ConfigError(at, "what should be tested? `pointer` is missing")
        return []
    field = places.field(config.text(parts["pointer"], f"{at}/pointer"), f"{at}/pointer")
    if not names:
        raise ConfigError(at, "`pointer` without a test: equals, one_of, exists, prefix, greater, …")
    tests = [TESTS[name](parts[name], f"{at}/{name}") for name in names]
    return [lambda facts, test=test: test(facts.some(field)) for test in tests]


def literal_of(value, at):
    """A scalar of the configuration: what a value compares to."""
    if type(value) in (str, bool):
        return value
    if type(value) is Digits:
        return Digits(config.number(value))
    raise ConfigError(at, "only a text, a number or a boolean can be compared")


def compare(leaf, literal):
    """How a place compares to a literal: below, above or at 0; None if they are not of one kind."""
    if type(leaf) is not type(literal):
        return None
    if type(literal) is Digits:
        return compare_numbers(leaf, literal)
    # Half a surrogate pair is no text.
    if type(leaf) is str and not leaf.isascii() and HALF_PAIR.search(leaf):
        return None
    return (leaf > literal) - (leaf < literal)


def compare_numbers(left, right):
    """Integers exactly, everything else as floating point."""
    if is_int128(left) and is_int128(right):
        left, right = int(left), int(right)
    else:
        left, right = float(left), float(right)
    return (left > right) - (left < right)


def is_int128(text):
    return INTEGER.fullmatch(text) is not None and -(2**127) <= int(text) < 2**127


def one_of(literals):
    return lambda leaf: any(compare(leaf, literal) == 0 for literal in literals)


def not_equals(value, at):
    same = one_of([literal_of(value, at)])
    return lambda leaf: not same(leaf)


def listed(values, at):
    return one_of([literal_of(value, f"{at}/{index}") for index, value in enumerate(config.items(values, at))])


def exists(value, at):
    wanted = config.boolean(value, at)
    return lambda leaf: (leaf is not MISSING) == wanted


def prefixed(value, at):
    prefix = config.text(value, at)
    return lambda leaf: type(leaf) is str and leaf.startswith(prefix) and HALF_PAIR.search(leaf) is None


def compared(fits):
    def compile_test(value, at):
        literal = literal_of(value, at)

        def test(leaf):
            order = compare(leaf, literal)
            return order is not None and fits(order)

        return test

    return compile_test


TESTS = {
    "equals": lambda value, at: one_of([literal_of(value, at)]),
    "not_equals": not_equals,
    "one_of": listed,
    "exists": exists,
    "prefix": prefixed,
    "greater": compared(lambda order: order > 0),
    "less": compared(lambda order: order < 0),
    "at_least": compared(lambda order: order >= 0),
    "at_most": compared(lambda order: order <= 0),
}
