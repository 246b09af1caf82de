"""What cases do not show: refused configurations, and numbers and texts at their limits. The cases of the Rust module
are run with this one in the sandbox (`gristmill module test`)."""

import json
import unittest

from tests.effects import batch_of, by_record

from app import Transformer
from componentize_py_types import Err


def caused(config, records):
    # As in the component: an instance for each call.
    Transformer().configure(config)
    return by_record(Transformer().apply(batch_of(records)), len(records))


def when(condition):
    return f'{{"rule": [{{"forward": true, "when": {condition}}}]}}'


def column(declared):
    return f'{{"rule": [{{"rows": [{{"table": "t", "columns": {{"c": {declared}}}}}]}}]}}'


def cell_of(declared, text):
    """What one record causes under a rule that writes one column."""
    (one,) = caused(column(json.dumps(declared)), [{"text": text}])
    return one["rows"][0]["columns"]["c"] if "rows" in one else one["failures"][0]["code"]


REFUSED = [
    ("{}", ": missing field `rule`"),
    ('{"rule": [{}]}', "/rule/0: a rule that does nothing"),
    ('{"rule": [{"forward": 1}]}', "/rule/0/forward: "),
    ('{"rule": [{"forwards": true}]}', "/rule/0"),
    (when("{}"), "/rule/0/when: "),
    (when('{"pointer": "a", "exists": true}'), "/rule/0/when/pointer: "),
    (when('{"pointer": "/a~2", "exists": true}'), "/rule/0/when/pointer: "),
    (when('{"any": [{"pointer": "/a"}]}'), "/rule/0/when/any/0: "),
    (when('{"pointer": "/a", "equals": []}'), "/rule/0/when/equals: "),
    (column('"text"'), "/rule/0/rows/0/columns/c: "),
    (column('"@/x"'), "/rule/0/rows/0/columns/c: "),
    (column('{"value": "x", "type": "int"}'), "/rule/0/rows/0/columns/c: "),
    (column('{"pointer": "/a", "value": 1}'), "/rule/0/rows/0/columns/c: "),
    ('{"rule": [{"rows": [{"table": "t", "columns": {"c": "/a"}}, '
     '{"table": "t", "columns": {"c": {"pointer": "/a", "type": "int"}}}]}]}', "/rule/0/rows/1: table `t`"),
    ('{"rule": [{"messages": [{"output": "o", "key": "{/a"}]}]}', "/rule/0/messages/0/key: "),
    ('{"rule": [{"messages": [{"output": "o", "headers": {"h": 1}}]}]}', "/rule/0/messages/0/headers/h: "),
    ('{"rule": [{"mails": [{"to": "/a", "subject": "}", "text": ""}]}]}', "/rule/0/mails/0/subject: "),
    ('{"rule": [{"messages": [{"output": "o", "topic": "t"}, {"output": "o"}]}]}', "output `o` is declared both with"),
]


class Route(unittest.TestCase):
    def test_wrong_configurations_are_refused_with_a_pointer(self):
        for config, error in REFUSED:
            with self.subTest(config), self.assertRaises(Err) as refused:
                Transformer().configure(config)
            self.assertTrue(refused.exception.value.startswith(error), refused.exception.value)

    def test_numbers_stay_the_digits_they_were(self):
        for text, digits in [
            ('{"n": 1.10}', "1.10"), ('{"n" : -0}', "-0"), ('{"n": 12345678901234567890.123}', "12345678901234567890.123"),
            ('{"\\u006e": 1.50, "m": {"n": 1.0}}', "1.50"), ('{"n": 1, "n": 2.0}', "2.0"),
        ]:
            self.assertEqual(cell_of({"template": "{/n}"}, text), digits, text)
        self.assertEqual(cell_of({"template": "{/a/1}"}, '{"a": [1, 2.50]}'), "2.50")
        self.assertEqual(cell_of({"pointer": "/n", "type": "decimal"}, '{"n": 1.25e3}'), "1250")

    def test_integers_have_64_bits(self):
        for n, found in [
            ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)), ("1e3", 1000), ("-0.0", 0),
            ("9223372036854775808", "out-of-range"), ("1.00000000000000000001", "wrong-type"), ("1e-400", "bad-number"),
            ("1" * 5000, "out-of-range"), ("1e" + "0" * 5000 + "1", 10), ("1e" + "1" * 5000, "bad-number"),
        ]:
            self.assertEqual(cell_of({"pointer": "/n", "type": "int"}, f'{{"n": {n}}}'), found, n[:30])

    def test_half_a_surrogate_pair_is_no_text(self):
        self.assertEqual(cell_of("/a", '{"a": "\\ud800"}'), "bad-text")
        self.assertEqual(cell_of("/a", '{"a": "\\ud83d\\ude00"}'), "😀")
        self.assertEqual(cell_of({"template": "<{/a}>"}, '{"a": "\\ud800"}'), "bad-text")

    def test_what_nests_deep_is_json_too(self):
        deep = "[" * 100_000 + "]" * 100_000
        self.assertEqual(cell_of("/a", f'{{"a": "x", "b": {deep}}}'), "x")
        self.assertEqual(cell_of("/b", f'{{"a": "x", "b": {deep}}}'), "wrong-type")
        self.assertEqual(cell_of("/b/0", f'{{"a": "x", "b": {deep}}}'), "wrong-type")
        self.assertEqual(cell_of("/a", f'{{"a": "x", "b": {deep}'), "invalid-json")

    def test_python_s_constants_are_no_json(self):
        self.assertEqual(cell_of("/a", '{"a": NaN}'), "invalid-json")
        self.assertEqual(cell_of("/a", '\ufeff{"a": "x"}'), "invalid-json")
