import unittest

from tests.effects import batch_of, by_record

from componentize_py_types import Err
from gristmill_columns import pack_texts
from gristmill_json import explain
from gristmill_sdk import ConfigError, Plan, module
from gristmill_values import parse_base64, parse_date, parse_decimal, parse_timestamp, parse_uuid


def run(transform, records, **plan):
    """What each record causes under a plan."""
    transformer = module("a test", lambda config, text: Plan(transform, **plan))
    transformer().configure("{}")
    return by_record(transformer().apply(batch_of(records)), len(records))


class Sdk(unittest.TestCase):
    def test_a_record_as_its_author_sees_it(self):
        seen = []

        def transform(record, out):
            seen.append((record.topic, record.partition, record.offset, record.timestamp_ms, record.key, record.value,
                         record.headers))

        run(transform, [{"key": "k", "text": "ab", "headers": {"h": "x", "none": None}, "timestamp_ms": 5}, {}])
        self.assertEqual(seen, [
            ("test", 0, 0, 5, b"k", b"ab", [("h", b"x"), ("none", None)]),
            ("test", 0, 1, 0, None, None, []),
        ])

    def test_every_kind_of_cell(self):
        kinds = {
            "a": "text", "b": "int", "c": "float", "d": "boolean", "e": "bytes", "f": "uuid", "g": "timestamp",
            "h": "date", "i": "decimal", "j": "json", "k": "fixed:2?", "l": "text?",
        }
        cells = {
            "a": "tä😀", "b": 2**60, "c": 1.5, "d": True, "e": b"\1\2", "f": parse_uuid("6ba7b8109dad11d180b400c04fd430c8"),
            "g": 1_500_000, "h": 0, "i": "1.10", "j": '{"x": [1]}', "k": None,
        }
        ((one,),) = [run(lambda record, out: out.row("t", cells), [{}], tables={"t": kinds})]
        self.assertEqual(one["rows"][0]["columns"], {
            "a": "tä😀", "b": 2**60, "c": 1.5, "d": True, "e": "0102", "f": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "g": "1970-01-01T00:00:01.500000Z", "h": "1970-01-01", "i": "1.10", "j": {"x": [1]}, "k": None, "l": None,
        })

    def test_a_refused_record_causes_nothing_else_and_its_neighbours_stay_whole(self):
        def transform(record, out):
            n = record.json()
            out.row("t", {"n": None if n == 2 else n})
            out.message("o", topic=f"t{n}", key="k" if n == 2 else None, headers={"n": str(n)})
            out.next(**({"value": None} if n == 2 else {"value": "own"} if n == 3 else {}))
            out.mail("a@b.example", "s", "t")
            if n == 2:
                out.reject("bad", "first", "/n")
                out.reject("bad", "first", "/n")
                out.retry("later", "second")

        def good(n, following):
            return {
                "rows": [{"table": "t", "columns": {"n": n}}],
                "messages": [{"output": "o", "topic": f"t{n}", "value": "same", "headers": {"n": str(n)}},
                             {"output": "next", "value": following}],
                "mails": [{"to": ["a@b.example"], "subject": "s", "text": "t"}],
            }

        records = [{"value": 1}, {"value": 2}, {"value": 3}, {"text": "{"}, {}, {"base64": "/w=="}]
        caused = run(transform, records, tables={"t": {"n": "int?"}}, outputs={"o": "dynamic", "next": "fixed"}, mails=True)
        not_json = "the value is not JSON: EOF while parsing an object at line 1 column 1"
        self.assertEqual(caused, [
            good(1, {"text": "1"}),
            {"failures": [{"code": "bad", "pointer": "/n", "reason": "first"},
                          {"retry": True, "code": "later", "reason": "second"}]},
            good(3, {"text": "own"}),
            {"failures": [{"code": "invalid-json", "reason": not_json}]},
            {"failures": [{"code": "no-value", "reason": "the record has no value"}]},
            {"failures": [{"code": "invalid-utf8", "reason": "the value is not UTF-8 from byte 0"}]},
        ])

    def test_errors_of_the_author_reach_the_operator_as_text_with_the_line(self):
        with self.assertRaises(Err) as raised:
            run(lambda record, out: record.json()["a"], [{"value": {}}])
        self.assertRegex(raised.exception.value,
                         r"^record at offset 0: KeyError: 'a' \(at <lambda> in .*test_sdk\.py:\d+\)$")

    def test_effects_that_the_plan_does_not_cover_end_the_batch(self):
        plan = {"tables": {"t": {"n": "int", "m": "date?"}}, "outputs": {"o": "dynamic", "p": "fixed"}}
        for transform, text in [
            (lambda record, out: out.row("u", {}), "no table `u`"),
            (lambda record, out: out.row("t", {}), "column `n` is not nullable"),
            (lambda record, out: out.row("t", {"n": 1.5}), "column `n` needs an int of 64 bits, not 1.5"),
            (lambda record, out: out.row("t", {"n": True}), "not True"),
            (lambda record, out: out.row("t", {"n": 2**63}), "not 9223372036854775808"),
            (lambda record, out: out.row("t", {"n": 1, "m": "2026-01-01"}), "column `m` needs days since 1970"),
            (lambda record, out: out.row("t", {"n": 1, "x": 1}), "has no column x"),
            (lambda record, out: out.row("t", [1]), "has 2 cells, not 1"),
            (lambda record, out: out.message("q"), "no output `q`"),
            (lambda record, out: out.message("o"), "need a topic"),
            (lambda record, out: out.message("p", topic="t"), "have no topic"),
            (lambda record, out: out.message("p", value={}), "value is a str or bytes"),
            (lambda record, out: out.mail("a@b", "", ""), "no mails"),
        ]:
            with self.subTest(text), self.assertRaises(Err) as raised:
                run(transform, [{"value": 1}], **plan)
            self.assertIn(text, raised.exception.value)

    def test_configurations(self):
        def configure(config, text):
            if "city" not in config:
                raise ConfigError("/city", "is missing")
            return Plan(lambda record, out: None, tables={"t": {"c": config["kind"]}})

        transformer = module("a test", configure)()
        for text, error in [
            ("{}", "/city: is missing"), ("{", ": not JSON: EOF"), ('{"city": 1, "kind": "number"}', "configure: ValueError"),
        ]:
            with self.subTest(text), self.assertRaises(Err) as refused:
                transformer.configure(text)
            self.assertTrue(refused.exception.value.startswith(error), refused.exception.value)
        plan = transformer.configure('{"city": 1, "kind": "uuid?"}')
        (column,) = plan.tables[0].columns
        self.assertEqual((column.name, column.kind.name, column.nullable), ("c", "FIXED", True))
        self.assertEqual(transformer.describe().about, "a test")

    def test_values(self):
        for text, days in [("1970-01-01", 0), ("1969-12-31", -1), ("2000-02-29", 11_016), ("0001-01-01", -719_162),
                           ("0000-03-01", -719_468)]:
            self.assertEqual(parse_date(text), days)
        for text in ["2026-02-29", "1900-02-29", "2026-13-01", "2026-1-01", "2026-01-01 ", "", "2026-00-10", "2026-01-01\n",
                     "２026-01-01"]:
            self.assertIsNone(parse_date(text), text)
        millennium = 946_684_800_000_000
        for text, micros in [
            ("2000-01-01T00:00:00Z", millennium), ("2000-01-01 01:30:00+01:30", millennium),
            ("1999-12-31T23:59:59.9999999Z", millennium - 1), ("1999-12-31t22:00:00.5-02:00", millennium + 500_000),
            ("1999-12-31T23:59:60Z", millennium), ("2000-01-01", None), ("2000-01-01T24:00:00Z", None),
            ("2000-01-01T00:00:00", None), ("2000-01-01T00:00:00.Z", None),
        ]:
            self.assertEqual(parse_timestamp(text), micros, text)
        for text, decimal in [
            ("-12.50", "-12.50"), ("1.25e3", "1250"), ("1.25E1", "12.5"), ("-1e-3", "-0.001"), ("12e-1", "1.2"),
            ("12e-2", "0.12"), ("", None), ("5.", None), (".5", None), ("1e999", None), ("+1", None), ("1e", None),
        ]:
            self.assertEqual(parse_decimal(text), decimal, text)
        for text, data in [("", b""), ("Zg==", b"f"), ("Zm8=", b"fo"), ("Zg", b"f")]:
            self.assertEqual(parse_base64(text), data)
        for text in ["Z", "Zg=", "Zm9v=", "Zm9v====", "Z-8=", "=", "Zm 8"]:
            self.assertIsNone(parse_base64(text), text)
        for text in ["", "zz", "6ba7b8109-dad-11d1-80b4-00c04fd430c8"]:
            self.assertIsNone(parse_uuid(text))

    def test_what_is_wrong_with_a_text_that_is_no_json(self):
        for text, error in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{", "EOF while parsing an object at line 1 column 1"),
            ('{"a": tru}', "expected ident at line 1 column 10"),
            ("{} {}", "trailing characters at line 1 column 4"),
            ("[1,]", "trailing comma at line 1 column 4"),
            ("[[1,]]", "expected value at line 1 column 5"),
            ('{"a":\n"ä', "EOF while parsing a string at line 2 column 3"),
            ("01", "invalid number at line 1 column 2"),
            # One byte of a character is enough to see that it is wrong.
            ("\ufeff{}", "expected value at line 1 column 1"),
            ('["ä", tä]', "expected ident at line 1 column 9"),
            ("-ä", "invalid number at line 1 column 2"),
            ('"ä\\ä"', "invalid escape at line 1 column 5"),
            ("{}\n\n", None),
            ("[\n1\n\n", "EOF while parsing a list at line 4 column 0"),
            (' {"a" 1}', "expected `:` at line 1 column 7"),
            ("[" * 9, "EOF while parsing a list at line 1 column 9"),
            ("[1 2]", "expected `,` or `]` at line 1 column 4"),
        ]:
            self.assertEqual(explain(text), error, text)
        self.assertIsNone(explain("[" * 100_000 + "]" * 100_000))

    def test_half_a_surrogate_pair_has_no_utf8(self):
        packed = pack_texts(["a\ud83d", "\ude00"])
        self.assertEqual((packed.data, packed.ends), ("a\ufffd\ufffd", [4, 7]))
