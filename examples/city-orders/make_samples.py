#!/usr/bin/env python3
"""Makes orders.ndjson and what must come out of it, expected/. Run by hand; its output is committed.

    python3 examples/city-orders/make_samples.py

Two parts that know nothing of each other:

- `sample_lines` makes the 1,000 lines, always the same. All people, streets and goods are invented.
- `Model` reads lines as the pipeline would and says what must come out. It is written from the documents (the
  schema, route.toml, the rule of topic names, the write mode `once`), not from the host's code. It reads strict
  JSON, for what is written in a record is written so again in messages and mail: `4711.0` stays `4711.0`.

What the model relies on: records of one order id have one key, so they lie in one partition and keep their order;
records of different ids do not touch each other. So the expected files are sorted, and no order is expected.
"""

import hashlib
import json
import random
import re
from datetime import date
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
RECORDS = 1_000
NUL_IN_TEXT = "Null\0byte"

# --- the samples -----------------------------------------------------------------------------------------------

CITIES = ["New York", "Chennai", "Köln", "São Paulo", "Aix-en-Provence", "Lagos", "Quito", "Osaka", "Salt Lake City"]
STATES = ["Northmark", "Easterly", "Lowland", "Upper Vale", "Coast", "Ridge"]
GOODS = ["Lamp", "Kettle", "Oak table", "Wool blanket", "Flour, 5 kg", "Millstone", "Bicycle bell", "Notebook A5",
         "Garden hose 20 m", "Tea, loose", "Screws 4×40", "Radio \"Aurora\""]
SYLLABLES = ["ba", "de", "fi", "go", "lu", "ma", "ne", "ri", "so", "ta", "vel", "zon", "quin", "thar", "wes", "yol"]
HASH_OF_NEW_YORK = hashlib.sha256(b"New_York").hexdigest()[:16]

# Each of these must get a topic of its own, with a legal name.
ODD_CITIES = [
    "New_York", "New.York", "New  York", " New York", "New York ", "NEW YORK", "New-York", "New\u00a0York",
    f"New_York__{HASH_OF_NEW_YORK}", ".", "..", "_", "-", " ", "Ko\u0308ln", "K ln", "K_ln", "北京", "東京", "A/B",
    "../../etc/passwd", "{}", "product orders", "product_orders", "product.orders", "product orders dlq",
    "product_orders.dlq", "__consumer_offsets", "x" * 180, "x" * 250, "x" * 300, "x" * 299 + "y",
]


class Maker:
    """Makes good orders, and lines out of them."""

    def __init__(self):
        self.random = random.Random("city-orders")
        self.next_id = 10_000

    def name(self, syllables):
        return "".join(self.random.choice(SYLLABLES) for _ in range(syllables)).capitalize()

    def order(self, **changes):
        """A good order; `changes` are by the last part of their place: `city="Rome"`."""
        self.next_id += self.random.randint(1, 40)
        first, last = self.name(2), self.name(self.random.randint(2, 3))
        order = {
            "order_id": self.next_id,
            "customer": {
                "name": f"{first} {last}",
                "email": f"{first}.{last}@mail{self.random.randint(1, 9)}.example".lower(),
                "address": {
                    "street": f"{self.random.randint(1, 250)} {self.name(2)} Street",
                    "city": self.random.choice(CITIES),
                    "state": self.random.choice(STATES),
                    "postal_code": f"{self.random.randint(0, 99999):05}",
                },
            },
            "product_name": self.random.choice(GOODS),
            "quantity": self.random.randint(1, 40),
            "order_date": date.fromordinal(date(2024, 1, 1).toordinal() + self.random.randrange(1000)).isoformat(),
            "priority": self.random.choice(["high", "medium", "medium", "low", "low"]),
        }
        for name, value in changes.items():
            place(order, name)[name] = value
        return order

    def without(self, name):
        order = self.order()
        del place(order, name)[name]
        return order


def place(order, name):
    """The object that holds this property."""
    return next(part for part in (order, order["customer"], order["customer"]["address"]) if name in part)


def line(order, **options):
    return json.dumps(order, ensure_ascii=False, **options)


def shuffled(value):
    """The same with its properties the other way round."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(value)}
    return value


def good_lines(make):
    """Orders that become rows, for every edge of what is allowed."""
    for city in ODD_CITIES:
        yield line(make.order(city=city))
    for changes in [
        {"order_id": 1}, {"order_id": 9223372036854775807, "priority": "high"}, {"quantity": 1},
        {"quantity": 1_000_000},
        {"order_date": "0001-01-01"}, {"order_date": "1969-12-31"}, {"order_date": "1970-01-01"},
        {"order_date": "2000-02-29"}, {"order_date": "2024-02-29"}, {"order_date": "9999-12-31"},
        {"name": "Y"}, {"name": "ö" * 255, "priority": "high"}, {"name": "🌾" * 255}, {"postal_code": "X" * 10},
        {"street": "s" * 255}, {"state": "t" * 255}, {"product_name": "p" * 255}, {"city": "ö" * 1000},
        {"name": "Ada \"Quote\" O'Backslash \\ {/order_id} }{", "priority": "high"},
        {"name": "<b>Bold</b> & Sons; DROP TABLE orders; --", "priority": "high"},
        {"name": "Two\r\nLines: and a colon", "priority": "low"},
        {"name": "Tab\tBell\u0007Escape\u001b", "priority": "low"},
        {"name": "مطحنة الحبوب", "priority": "high"}, {"street": "Straße\u2028der Trennung\u00a07"},
        {"email": "first.last+tag@mail-3.sub.example", "priority": "high"}, {"email": "n" * 64 + "@mail.example"},
        {"email": "O'Hara_{odd}%x@mail.example", "priority": "high"}, {"city": "Köln", "priority": "high"},
    ]:
        yield line(make.order(**changes))
    # The same kinds of JSON, written otherwise.
    yield line(make.order(), indent=None, separators=(",", ":"))
    yield " \t " + line(make.order(priority="high"), separators=(" ,\t", " : ")) + "  "
    yield json.dumps(make.order(city="Köln", name="Zoë 🌾 Quinthar", priority="high"))
    yield line(shuffled(make.order(priority="high")))
    yield line(make.order()).replace("/", "\\/")
    yield line(make.order(order_id=4711)).replace("4711,", "4711.0,")
    yield line(make.order(quantity=987)).replace("987,", "1e1,")
    yield line(make.order(priority="high", quantity=988)).replace("988,", "3.0,")
    yield line(make.order(quantity=2)).replace('"quantity": 2,', '"quantity": "two", "quantity": 2,')
    yield line(make.order() | {"coupon": None, "gift": {"wrapped": True, "cards": [1, 2.5, "three"]}})
    yield line(make.order() | {"nested": 0}).replace('"nested": 0', '"nested": ' + "[" * 100 + "]" * 100)


def faulty_lines(make):
    """One fault each, of every kind that the schema knows."""
    for name in ["order_id", "customer", "product_name", "quantity", "order_date", "priority",
                 "name", "email", "address", "street", "city", "state", "postal_code"]:
        yield line(make.without(name))
    for name, values in {
        # Not of the right type.
        "order_id": ["12x", None, True, [1], 12.5, 0, -7, 9223372036854775808, 1e30],
        "customer": ["somebody", None], "address": [[]], "name": [5], "email": [None], "street": [{}], "city": [7],
        "state": [False], "postal_code": [10115], "product_name": [None],
        "quantity": ["2", 1.5, 0, -1, 1_000_001], "order_date": [20240101],
    }.items():
        for value in values:
            yield line(make.order(**{name: value}))
    for name, length_max in [("name", 255), ("street", 255), ("city", 1000), ("state", 255), ("postal_code", 10),
                             ("product_name", 255)]:
        yield line(make.order(**{name: ""}))
        yield line(make.order(**{name: "é" * (length_max + 1)}))
        # The databases refuse this character; the schema does before them.
        yield line(make.order(**{name: NUL_IN_TEXT[:10]}))
    yield line(make.order(name="n" * 100_000))
    for email in ["", "nobody", "@mail.example", "ada@", "ada@@mail.example", "ada lovely@mail.example",
                  "ada@-mail.example", "josé@mail.example"]:
        yield line(make.order(email=email, priority="high"))
    for day in ["2023-02-29", "2023-02-30", "2024-13-01", "2024-00-10", "2024-1-1", "01.02.2024", "",
                "2024-01-01T00:00:00Z", "tomorrow"]:
        yield line(make.order(order_date=day))
    for priority in ["urgent", "High", "", None, 1]:
        yield line(make.order(priority=priority))
    # JSON Schema knows a year 0, and the databases do not: the store refuses these.
    for priority in ["high", "low"]:
        yield line(make.order(order_date="0000-02-29", priority=priority))


def several_faults_lines(make):
    """The order of the properties is the schema's, so that which fault comes first is no question."""
    yield "{}"
    yield line({"customer": {}})
    yield line(make.order() | {"customer": {"name": "", "address": {}}})
    yield line(make.order(order_id=-1.5))
    yield line(make.order(order_id=0, email="nobody", order_date="2023-02-30"))
    yield line(make.order(city=NUL_IN_TEXT * 200, quantity="many", priority="urgent"))
    yield line(make.order(order_id="1", name=None, email=1, street=2, city=3, state=4, postal_code=5, product_name=6,
                          quantity="7", order_date=8, priority=9))


def no_order_lines(make):
    """JSON that is no order, and no JSON at all."""
    whole = line(make.order())
    yield from ["null", "[]", '"text"', "42", "true", f"[{whole}]"]
    yield whole[:-1]
    yield whole[:40]
    yield whole + "}"
    yield whole + whole
    yield whole[:-1] + ",}"
    yield whole.replace('"order_id"', "order_id")
    yield str(make.order(city="Lagos"))
    yield "__import__('os').system('echo this is what eval does')"
    yield "<order><id>1</id></order>"
    yield "hello"
    yield "\ufeff" + whole
    yield line(make.order(name="a tab")).replace("a tab", "a\ttab")
    yield line(make.order(name="surrogate")).replace("surrogate", "half a pair: \\ud83c")
    yield line(make.order(quantity=777)).replace("777", "NaN")
    yield line(make.order(quantity=777)).replace("777", "1e400")
    yield line(make.order(quantity=777)).replace("777", "007")
    yield "[" * 200 + "]" * 200
    yield line(make.order() | {"nested": 0}).replace('"nested": 0', '"nested": ' + "[" * 130 + "]" * 130)


def sequences(make):
    """Lines of one order id each, whose order matters: what is there already decides about what comes."""

    def pair(change, **changes):
        order = make.order(**changes)
        return [line(order), change(order)]

    for _ in range(8):
        yield pair(line)  # byte for byte
    yield [line(make.order(priority="high"))] * 4
    for priority in ["high", "low"]:
        yield pair(lambda order: line(shuffled(order)), priority=priority)
        yield pair(lambda order: line(order, separators=(",", ":")), priority=priority)
        yield pair(lambda order: line(order | {"source": "resent", "attempt": 2}), priority=priority)
        yield pair(lambda order: json.dumps(order), priority=priority, city="Köln", name="Zoë Ämtler")
    # The same id, other content: whatever differs.
    for name, value in [("name", "Somebody Else"), ("email", "else@mail.example"), ("city", "Elsewhere"), ("quantity", 41),
                        ("order_date", "2023-12-31"), ("priority", "high"), ("product_name", "lamp")]:
        order = make.order(**({"priority": "low"} if name == "priority" else {"product_name": "Lamp"}))
        other = json.loads(line(order))
        place(other, name)[name] = value
        yield [line(order), line(other)]
    # A conflict, then the first content again, then the conflict again.
    first = make.order(quantity=5, priority="high")
    other = first | {"quantity": 6}
    yield [line(first), line(other), line(first), line(other)]
    # A refused order takes no key: it may come again, corrected.
    bad = make.order(order_date="2024-02-29", priority="high")
    yield [line(bad | {"order_date": "2023-02-29"}), line(bad), line(bad)]


def sample_lines():
    make = Maker()
    parts = (good_lines, faulty_lines, several_faults_lines, no_order_lines)
    groups = [[text] for part in parts for text in part(make)]
    groups += sequences(make)
    groups += [[line(make.order())] for _ in range(RECORDS - sum(map(len, groups)))]
    # Everything somewhere, each group's lines in their order.
    placed = []
    for group in groups:
        placed += zip(sorted(make.random.random() for _ in group), group)
    return [text for _, text in sorted(placed, key=lambda pair: pair[0])]


# --- the model -------------------------------------------------------------------------------------------------

RESERVED_TOPICS = ["product_orders", "product_orders.dlq"]
COLUMNS = {
    "order_id": "/order_id", "name": "/customer/name", "email": "/customer/email",
    "street": "/customer/address/street", "city": "/customer/address/city", "state": "/customer/address/state",
    "postal_code": "/customer/address/postal_code", "product_name": "/product_name", "quantity": "/quantity",
    "order_date": "/order_date", "priority": "/priority",
}
MAIL_TEXT = """\
Dear {/customer/name},

we have received your order {/order_id} of {/order_date} and treat it with priority:

  {/quantity} x {/product_name}

It goes to {/customer/address/street}, {/customer/address/postal_code} {/customer/address/city}, \
{/customer/address/state}.

Gristmill Orders
"""


class Integer(int):
    """Remembers how it is written."""


class Float(float):
    """Remembers how it is written."""


def written(kind):
    def read(text):
        number = kind(text)
        number.text = text
        if number in (float("inf"), float("-inf")):
            raise ValueError("a number out of range")
        return number

    return read


def refuse_constant(text):
    raise ValueError(f"{text} is not JSON")


def read_json(text):
    """Strict JSON: no NaN, no half surrogate pairs, no infinite numbers, not deeper than 127."""
    value = json.loads(text, parse_int=written(Integer), parse_float=written(Float), parse_constant=refuse_constant)
    json.dumps(value, ensure_ascii=False).encode()
    if depth(value) > 127:
        raise ValueError("too deep")
    return value


def depth(value):
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if below is None else 1 + max(map(depth, below), default=0)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


TYPES = {
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: is_number(value) and value == int(value),
}


def is_email(text):
    local, at, domain = text.rpartition("@")
    atoms = re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", local)
    label = "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
    return bool(at and atoms and len(local) <= 64 and re.fullmatch(rf"{label}(\.{label})*", domain))


def is_date(text):
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        return False
    # Python begins with the year 1, the calendar of RFC 3339 with 0, a leap year.
    year = "2000" if text.startswith("0000") else text[:4]
    try:
        return date.fromisoformat(year + text[4:]) is not None
    except ValueError:
        return False


FORMATS = {"email": is_email, "date": is_date}


def faults(schema, value, pointer=""):
    """What JSON Schema finds, as (code, pointer), in the order in which `validate` reports it: type, values, lengths,
    what is missing, patterns and formats, and then each property."""
    text, number = isinstance(value, str), is_number(value)
    for keyword, broken in [
        ("type", lambda name: not TYPES[name](value)),
        ("enum", lambda values: value not in values),
        ("minimum", lambda least: number and value < least),
        ("maximum", lambda most: number and value > most),
        ("minLength", lambda least: text and len(value) < least),
        ("maxLength", lambda most: text and len(value) > most),
        ("pattern", lambda pattern: text and not re.search(pattern.replace("$", r"\Z"), value)),
        ("format", lambda name: text and not FORMATS[name](value)),
    ]:
        if keyword in schema and broken(schema[keyword]):
            yield "schema-" + re.sub("[A-Z]", lambda upper: "-" + upper[0].lower(), keyword), pointer
    if isinstance(value, dict):
        for name in schema.get("required", []):
            if name not in value:
                yield "schema-required", f"{pointer}/{name}"
        for name, below in schema.get("properties", {}).items():
            if name in value:
                yield from faults(below, value[name], f"{pointer}/{name}")


def topic_of(city):
    """The rule of host/src/topic_name.rs, without prefix and suffix."""
    if len(city) <= 249 and re.fullmatch("[A-Za-z0-9-]+( [A-Za-z0-9-]+)*", city):
        name = city.replace(" ", "_")
        # Kafka takes `.` and `_` for the same.
        if name not in [reserved.replace(".", "_") for reserved in RESERVED_TOPICS]:
            return name
    digest = hashlib.sha256(city.encode()).hexdigest()[:16]
    return re.sub("[^A-Za-z0-9-]", "_", city)[: 249 - 2 - 16] + "__" + digest


def at(order, pointer):
    for name in pointer.split("/")[1:]:
        order = order[name]
    return order


def as_text(value):
    return value if isinstance(value, str) else value.text


class Model:
    """What must be there after all lines."""

    def __init__(self, schema):
        self.schema = schema
        self.rows, self.messages, self.mails, self.dead_letters, self.first_codes = {}, [], [], [], []
        self.records = self.duplicates = 0

    def take(self, text):
        self.records += 1
        try:
            order = read_json(text)
        except ValueError:
            return self.bury(text, [("invalid-json", None)])
        found = list(faults(self.schema, order))
        if found:
            return self.bury(text, found)
        row = {name: at(order, pointer) for name, pointer in COLUMNS.items()}
        row |= {name: int(row[name]) for name in ("order_id", "quantity")}
        if row["order_date"] < "0001":
            return self.bury(text, [("sqlstate-22008", None)])
        known = self.rows.setdefault(row["order_id"], row)
        if known is not row:
            if known != row:
                return self.bury(text, [("key-conflict", None)])
            self.duplicates += 1
            return None
        city, key = row["city"], as_text(order["order_id"])
        self.messages.append({"topic": topic_of(city), "key": key, "city": city, "value": text})
        if order["priority"] == "high":
            fill = lambda place: as_text(at(order, place[1]))
            self.mails.append({
                "to": row["email"],
                "subject": f"Your order {key} has priority",
                "text": re.sub(r"\{(/[^}]*)\}", fill, MAIL_TEXT).rstrip(),
            })
        return None

    def bury(self, text, found):
        self.dead_letters.append({
            "value": text,
            "codes": sorted({code for code, _ in found}),
            "pointers": sorted({pointer for _, pointer in found if pointer is not None}),
        })
        self.first_codes.append(found[0][0])

    def summary(self):
        return {
            "records": self.records,
            "rows": len(self.rows),
            "mails": len(self.mails),
            "duplicates": self.duplicates,
            "dead_letters": count(self.first_codes),
            "topics": count(message["topic"] for message in self.messages),
        }


def count(names):
    counts = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


# --- the files -------------------------------------------------------------------------------------------------


def write_lines(name, values):
    path = FOLDER / name
    path.parent.mkdir(exist_ok=True)
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
    path.write_bytes("".join(text + "\n" for text in texts).encode())


def check_samples(lines, model):
    """What the samples promise, so that a change of this file cannot lose it silently."""
    assert len(lines) == RECORDS and all(text and "\n" not in text and not text.endswith("\r") for text in lines)
    topics, cities = {}, set()
    for message in model.messages:
        topic, city = message["topic"], message["city"]
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic) and topic not in (".", ".."), topic
        assert topics.setdefault(topic.replace(".", "_"), city) == city, f"{topic}: {city!r} and {topics[topic]!r}"
        cities.add(city)
    assert cities >= {*ODD_CITIES, *CITIES}
    assert {row["priority"] for row in model.rows.values()} == {"high", "medium", "low"}
    assert model.first_codes.count("key-conflict") == 9 and model.duplicates == 21


def main():
    lines = sample_lines()
    write_lines("orders.ndjson", lines)
    model = Model(json.loads((FOLDER / "order.schema.json").read_text())["schema"])
    for text in (FOLDER / "orders.ndjson").read_bytes().decode().removesuffix("\n").split("\n"):
        model.take(text)
    check_samples(lines, model)
    write_lines("expected/rows.ndjson", [model.rows[order_id] for order_id in sorted(model.rows)])
    write_lines("expected/topics.ndjson",
                sorted(model.messages, key=lambda message: (message["topic"], message["key"])))
    write_lines("expected/mails.ndjson", sorted(model.mails, key=lambda mail: (mail["to"], mail["subject"])))
    write_lines("expected/dead-letters.ndjson",
                sorted(model.dead_letters, key=lambda letter: (letter["value"], letter["codes"])))
    summary = json.dumps(model.summary(), ensure_ascii=False, indent=2)
    (FOLDER / "expected/summary.json").write_text(summary + "\n")
    print(summary)


if __name__ == "__main__":
    main()
