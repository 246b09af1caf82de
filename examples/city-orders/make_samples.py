#!/usr/bin/env python3
"""Makes the sample orders of this example and, independently of the host, what must come out of them.

Run by hand after a change of the pipeline; its output is committed. Everything is drawn from one seed, so that the
same files come out each time. Names, places and addresses are made up.
"""

import hashlib
import json
import random
import string
from pathlib import Path

HERE = Path(__file__).parent
RNG = random.Random(20260607)
RESERVED = {"product_orders", "product_orders.dlq"}
PLAIN = set(string.ascii_letters + string.digits + "- ")
COLUMNS = ["order_id", "name", "email", "street", "city", "state", "postal_code", "product_name", "quantity",
           "order_date", "priority"]

CITIES = ["Chennai", "New York", "Rome", "Lagos", "Porto", "Quito", "Oslo", "Hanoi", "Perth", "Graz"]
ODD_CITIES = ["New_York", "New.York", "New  York", " Rome", "Rome ", ".", "..", "Köln", "Kœln", "München", "São Paulo",
              "product orders", "product_orders", "東京", "St. Louis", "a/b", "x" * 300, "Llan" + "fair" * 74,
              "new york", "NEW YORK", "Rome\tNord", "__consumer_offsets"]
FIRST = ["Ada", "Ben", "Cleo", "Dara", "Emil", "Fay", "Gus", "Hana", "Ivo", "June"]
LAST = ["Miller", "Stone", "Brook", "Field", "Sand", "Marsh", "Hill", "Reed"]
PRODUCTS = ["Protein Powder", "Desk Lamp", "Kettle", "Road Map", "Tea \"Assam\"", "Müsli", "Bolt M8 <zinc>"]
MAIL = """Dear {name},

we have received your order {order_id} of {order_date} and treat it with priority:

  {quantity} x {product_name}

It goes to {street}, {postal_code} {city}, {state}.

Gristmill Orders
"""


def order(order_id, city=None, priority=None):
    name = f"{RNG.choice(FIRST)} {RNG.choice(LAST)}"
    return {
        "order_id": order_id,
        "customer": {
            "name": name,
            "email": f"{name.lower().replace(' ', '.')}.{order_id}@example.org",
            "address": {
                "street": f"{RNG.randint(1, 99)} Mill Lane",
                "city": city or RNG.choice(CITIES),
                "state": RNG.choice(["North", "South", "TN"]),
                "postal_code": f"{RNG.randint(0, 99999):05}",
            },
        },
        "product_name": RNG.choice(PRODUCTS),
        "quantity": RNG.randint(1, 20),
        "order_date": f"2026-{RNG.randint(1, 12):02}-{RNG.randint(1, 28):02}",
        "priority": priority or RNG.choice(["high", "medium", "low", "low"]),
    }


def changed(value, path, new):
    """A copy of an order with the value at a path replaced, or removed if `new` is None."""
    copy = json.loads(json.dumps(value))
    at = copy
    for part in path[:-1]:
        at = at[part]
    if new is None:
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return copy


def pointer(path):
    return "/" + "/".join(path)


PATHS = [["order_id"], ["customer"], ["customer", "name"], ["customer", "email"], ["customer", "address"],
         ["customer", "address", "street"], ["customer", "address", "city"], ["customer", "address", "state"],
         ["customer", "address", "postal_code"], ["product_name"], ["quantity"], ["order_date"], ["priority"]]
TEXTS = [["customer", "name"], ["customer", "address", "street"], ["customer", "address", "city"],
         ["customer", "address", "state"], ["customer", "address", "postal_code"], ["product_name"]]


def faulty(order_id):
    """Pairs of a record's text and the faults that it must be refused for."""
    def base():
        order_id[0] += 1
        return order(order_id[0])

    cases = []

    def add(value, *faults):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        cases.append((text, faults))

    for path in PATHS:
        add(changed(base(), path, None), ("schema-required", pointer(path)))
    for path in PATHS[:-1]:
        add(changed(base(), path, [1]), ("schema-type", pointer(path)))
    for path in TEXTS:
        add(changed(base(), path, ""), ("schema-min-length", pointer(path)))
        longest = {"city": 1000, "postal_code": 10}.get(path[-1], 255)
        add(changed(base(), path, "ö" * (longest + 1)), ("schema-max-length", pointer(path)))
        add(changed(base(), path, 7), ("schema-type", pointer(path)))
    for new, code in [(0, "schema-minimum"), (-5, "schema-minimum"), (1.5, "schema-type"), ("17", "schema-type"),
                      (True, "schema-type"), (9223372036854775808, "schema-maximum")]:
        add(changed(base(), ["order_id"], new), (code, "/order_id"))
    for new, code in [(0, "schema-minimum"), (1_000_001, "schema-maximum"), (2.5, "schema-type")]:
        add(changed(base(), ["quantity"], new), (code, "/quantity"))
    for new in ["nobody", "a@", "two words@example.org", "@example.org"]:
        add(changed(base(), ["customer", "email"], new), ("schema-format", "/customer/email"))
    for new in ["2023-02-30", "07.06.2026", "2026-1-1", "yesterday"]:
        add(changed(base(), ["order_date"], new), ("schema-format", "/order_date"))
    for new in ["urgent", "HIGH", "", 1]:
        add(changed(base(), ["priority"], new), ("schema-enum", "/priority"))
    several = changed(changed(changed(base(), ["quantity"], 0), ["priority"], "soon"), ["customer", "email"], None)
    add(several, ("schema-minimum", "/quantity"), ("schema-enum", "/priority"), ("schema-required", "/customer/email"))
    for text in ["[]", "42", "null", "\"an order\"", "true"]:
        add(text, ("schema-type", ""))
    for text in ["{", "not json", "{\"order_id\": 1,}", "{'order_id': 1}", "[" * 200, json.dumps(base()) + " trailing"]:
        add(text, ("invalid-json", None))
    # The database has no NUL characters; the schema lets them pass, and the store refuses the row.
    for path in TEXTS[:3]:
        add(changed(base(), path, "nul\0byte"), ("sqlstate-22021", None))
    return cases


def topic_of(city):
    if city and set(city) <= PLAIN and city.strip(" ") == city and "  " not in city and len(city) <= 249:
        name = city.replace(" ", "_")
        if name not in RESERVED:
            return name
    digest = hashlib.sha256(city.encode()).hexdigest()[:16]
    legal = "".join(c if c in PLAIN - {" "} else "_" for c in city)[:249 - 2 - 16]
    return f"{legal}__{digest}"


def row_of(value):
    flat = {**value, **value["customer"], **value["customer"]["address"]}
    return {column: flat[column] for column in COLUMNS}


def samples():
    """Texts of records, each with the faults that it must be refused for (none for a good order)."""
    records = []
    order_id = [0]

    def good(city=None, priority=None):
        order_id[0] += 1
        value = order(order_id[0], city, priority)
        records.append((json.dumps(value, ensure_ascii=RNG.random() < 0.5), ()))
        return value

    for city in ODD_CITIES:
        for priority in ["high", "low"]:
            good(city, priority)
    bad = faulty(order_id)
    values = [good() for _ in range(1000 - len(records) - len(bad) - 40)]
    # Largest legal values.
    values += [good("Rome") for _ in range(2)]
    records[-1] = (json.dumps(changed(values[-1], ["quantity"], 1_000_000)), ())
    records[-2] = (json.dumps(changed(values[-2], ["order_id"], 9223372036854775807)), ())
    RNG.shuffle(records)
    duplicates = []
    for value in RNG.sample(values[:-2], 38):
        kind = len(duplicates) % 4
        if kind == 0:  # the very same bytes
            text = next(text for text, _ in records if json.loads(text)["order_id"] == value["order_id"])
        elif kind == 1:  # the same content, written otherwise
            text = json.dumps(dict(reversed(list(value.items()))), indent=None, separators=(" ,", " : "))
        elif kind == 2:  # what the table does not hold does not count
            text = json.dumps({**value, "note": "sent again", "customer": {**value["customer"], "phone": "555"}})
        else:  # the same id, another order
            text = json.dumps(changed(value, ["quantity"], value["quantity"] + 1))
        duplicates.append((text, ()))
    for case in bad + duplicates:
        # Duplicates come after what they repeat.
        low = 0 if case[1] else next(
            i for i, (text, faults) in enumerate(records)
            if not faults and json.loads(text)["order_id"] == json.loads(case[0])["order_id"]) + 1
        records.insert(RNG.randint(low, len(records)), case)
    return records


def expected(records):
    """What must come out: rows, messages, mails, dead letters, duplicates."""
    rows, messages, mails, dead, duplicates = {}, [], [], [], 0
    for text, faults in records:
        if faults:
            dead.append((text, faults))
            continue
        value = json.loads(text)
        row = row_of(value)
        known = rows.get(row["order_id"])
        if known == row:
            duplicates += 1
            continue
        if known is not None:
            dead.append((text, (("key-conflict", None),)))
            continue
        rows[row["order_id"]] = row
        messages.append({"topic": topic_of(row["city"]), "key": str(row["order_id"]), "city": row["city"],
                         "value": text})
        if row["priority"] == "high":
            mails.append({"to": row["email"], "subject": f"Your order {row['order_id']} has priority",
                          "text": MAIL.format(**row).rstrip()})
    letters = [{"value": text, "codes": sorted({code for code, _ in faults}),
                "pointers": sorted({place for _, place in faults if place is not None})} for text, faults in dead]
    return rows, messages, mails, letters, duplicates


def write(name, items, key):
    lines = [json.dumps(item, ensure_ascii=False) for item in sorted(items, key=key)]
    (HERE / "expected" / name).write_text("".join(line + "\n" for line in lines))


def main():
    records = samples()
    assert len(records) == 1000, len(records)
    (HERE / "expected").mkdir(exist_ok=True)
    (HERE / "orders.ndjson").write_text("".join(text + "\n" for text, _ in records))
    rows, messages, mails, letters, duplicates = expected(records)
    write("rows.ndjson", rows.values(), lambda row: row["order_id"])
    write("topics.ndjson", messages, lambda message: (message["topic"], int(message["key"])))
    write("mails.ndjson", mails, lambda mail: (mail["to"], mail["subject"]))
    write("dead-letters.ndjson", letters, lambda letter: letter["value"])
    topics = {}
    for message in messages:
        topics[message["topic"]] = topics.get(message["topic"], 0) + 1
    summary = {"records": len(records), "rows": len(rows), "mails": len(mails), "duplicates": duplicates,
               "dead_letters": len(letters), "topics": dict(sorted(topics.items()))}
    (HERE / "expected" / "summary.json").write_text(json.dumps(summary, ensure_ascii=False, indent=2) + "\n")
    print(json.dumps({key: value for key, value in summary.items() if key != "topics"}))


main()
