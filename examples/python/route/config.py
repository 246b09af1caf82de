"""Parts of the configuration, checked. Its numbers are Digits."""

import json as standard
import re

from gristmill_sdk import ConfigError
from route.place import Digits

INTEGER = re.compile(r"-?[0-9]{1,20}")


def table(value, at, known):
    """The parts of a table, by name; other names than the known are refused. An optional part may be null."""
    if not isinstance(value, dict):
        raise ConfigError(at, "a table is needed here")
    for name in value:
        if name not in known:
            raise ConfigError(f"{at}/{name}", f"unknown field `{name}`, known are {', '.join(known)}")
    return {name: part for name, part in value.items() if part is not None}


def items(value, at):
    if not isinstance(value, list):
        raise ConfigError(at, "a list is needed here")
    return value


def text(value, at):
    if type(value) is not str:
        raise ConfigError(at, "a text is missing" if value is None else "a text is needed here")
    return value


def boolean(value, at):
    if type(value) is not bool:
        raise ConfigError(at, "true or false is needed here")
    return value


def number(digits):
    """The digits of a number: integers of 64 bits as they are, all others as floating point has them."""
    if INTEGER.fullmatch(digits) and digits != "-0" and -(2**63) <= int(digits) < 2**64:
        return str(digits)
    return float_digits(float(digits))


def float_digits(value):
    """The shortest digits of a float, always with a point or an exponent, so that it stays one."""
    if value == 0:
        return str(value)
    # 17 digits tell any two floats apart; `repr` finds the fewest that do.
    mantissa, _, exponent = f"{value!r}".partition("e")
    sign = "-" if value < 0 else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if point > 16 or point <= -5:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{point - 1}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return f"{sign}{digits.ljust(point, '0')}.0"
    return f"{sign}{digits[:point]}.{digits[point:]}"


def quoted(value):
    return standard.dumps(value, ensure_ascii=False)


def json(value):
    """The compact JSON of a part."""
    if type(value) is Digits:
        return number(value)
    if isinstance(value, list):
        return f"[{','.join(map(json, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{quoted(name)}:{json(part)}' for name, part in value.items())}}}"
    return quoted(value)
