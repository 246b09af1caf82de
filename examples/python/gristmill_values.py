"""Texts read as what columns hold, without a clock or a time zone database. Each gives None for what is none."""

import base64
import binascii
import re

DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
UUID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")

# The most digits that an exponent may spell out: `1e999999999` is no amount of anything.
EXPONENT_MAX = 100


def parse_date(text):
    """Days since 1970-01-01 of `YYYY-MM-DD`."""
    match = DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day = map(int, match.groups())
    if not 1 <= month <= 12 or not 1 <= day <= days_in_month(year, month):
        return None
    return days_from_civil(year, month, day)


def days_in_month(year, month):
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def days_from_civil(year, month, day):
    """Counts in eras of 400 years that begin in March, so that leap days come last. (Python's dates begin with the
    year 1, the contract's do not.)"""
    if month <= 2:
        year -= 1
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def parse_timestamp(text):
    """Microseconds since 1970 of RFC 3339. Further digits are cut off; a leap second is the next second."""
    match = INSTANT.fullmatch(text)
    days = parse_date(match[1]) if match else None
    if days is None:
        return None
    hour, minute, second = int(match[2]), int(match[3]), int(match[4])
    offset_hours, offset_minutes = int(match[7] or 0), int(match[8] or 0)
    if hour > 23 or minute > 59 or second > 60 or offset_hours > 23 or offset_minutes > 59:
        return None
    offset = (offset_hours * 60 + offset_minutes) * (-1 if match[6] == "-" else 1)
    micros = int((match[5] or "")[:6].ljust(6, "0"))
    return days * 86_400_000_000 + ((hour * 60 + minute - offset) * 60 + second) * 1_000_000 + micros


def parse_decimal(text):
    """The text of an exact decimal number, exponents spelled out."""
    match = DECIMAL.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, exponent = match.groups()
    if exponent is None:
        return text
    # Python refuses to read integers of thousands of digits.
    magnitude = exponent.lstrip("+-").lstrip("0") or "0"
    if len(magnitude) > 3 or int(magnitude) > EXPONENT_MAX:
        return None
    shift = -int(magnitude) if exponent.startswith("-") else int(magnitude)
    digits = whole + (fraction or "")
    point = len(whole) + shift
    if point >= len(digits):
        return sign + digits.ljust(point, "0")
    if point > 0:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    return f"{sign}0.{'0' * -point}{digits}"


def parse_uuid(text):
    """16 bytes of a uuid in either case, with or without hyphens."""
    return bytes.fromhex(text.replace("-", "")) if UUID.fullmatch(text) else None


def parse_base64(text):
    """The bytes of base64, the standard alphabet, padded or not."""
    digits = text.rstrip("=")
    padding = len(text) - len(digits)
    if not BASE64.fullmatch(text) or len(digits) % 4 == 1 or (padding and len(text) % 4):
        return None
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4))
    except binascii.Error:
        return None
