// What cases do not show: refused configurations, and numbers and texts at their limits. The cases of the Rust module
// are run with this one in the sandbox (`gristmill module test`).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { transformer } from '../route.js';
import { batchOf, byRecord } from './effects.js';

const WHEN = (condition) => `{"rule": [{"forward": true, "when": ${condition}}]}`;
const COLUMN = (column) => `{"rule": [{"rows": [{"table": "t", "columns": {"c": ${column}}}]}]}`;

for (const [config, error] of [
  ['{}', ': missing field `rule`'],
  ['{"rule": [{}]}', '/rule/0: a rule that does nothing'],
  ['{"rule": [{"forward": 1}]}', '/rule/0/forward: '],
  ['{"rule": [{"forwards": true}]}', '/rule/0'],
  [WHEN('{}'), '/rule/0/when: '],
  [WHEN('{"pointer": "a", "exists": true}'), '/rule/0/when/pointer: '],
  [WHEN('{"pointer": "/a~2", "exists": true}'), '/rule/0/when/pointer: '],
  [WHEN('{"any": [{"pointer": "/a"}]}'), '/rule/0/when/any/0: '],
  [WHEN('{"pointer": "/a", "equals": []}'), '/rule/0/when/equals: '],
  [COLUMN('"text"'), '/rule/0/rows/0/columns/c: '],
  [COLUMN('"@/x"'), '/rule/0/rows/0/columns/c: '],
  [COLUMN('{"value": "x", "type": "int"}'), '/rule/0/rows/0/columns/c: '],
  [COLUMN('{"pointer": "/a", "value": 1}'), '/rule/0/rows/0/columns/c: '],
  ['{"rule": [{"rows": [{"table": "t", "columns": {"c": "/a"}}, '
    + '{"table": "t", "columns": {"c": {"pointer": "/a", "type": "int"}}}]}]}', '/rule/0/rows/1: table `t`'],
  ['{"rule": [{"messages": [{"output": "o", "key": "{/a"}]}]}', '/rule/0/messages/0/key: '],
  ['{"rule": [{"messages": [{"output": "o", "headers": {"h": 1}}]}]}', '/rule/0/messages/0/headers/h: '],
  ['{"rule": [{"mails": [{"to": "/a", "subject": "}", "text": ""}]}]}', '/rule/0/mails/0/subject: '],
  ['{"rule": [{"messages": [{"output": "o", "topic": "t"}, {"output": "o"}]}]}', 'output `o` is declared both'],
]) {
  test(`refuses ${config}`, () => {
    assert.throws(() => transformer.configure(config), (text) => typeof text === 'string' && text.startsWith(error));
  });
}

/** What one record causes under a rule that writes one column. */
function cellOf(column, record) {
  transformer.configure(COLUMN(JSON.stringify(column)));
  const [{ rows, failures }] = byRecord(transformer.apply(batchOf([record])), 1);
  return rows ? rows[0].columns.c : failures[0].code;
}

test('numbers stay the digits they were', () => {
  for (const [text, digits] of [
    ['{"n": 1.10}', '1.10'],
    ['{"n" : -0}', '-0'],
    ['{"n":12345678901234567890.123,"m":"n"}', '12345678901234567890.123'],
    // Where a name alone does not say which number is meant, the text is scanned.
    ['{"m": {"n": 2}, "n":\\u0020 1.0}'.replace('\\u0020', ' '), '1.0'],
    ['{"\\u006e": 1.50, "m": {"n": 1.0}}', '1.50'],
    ['{"n": 1, "n": 2.0}', '2.0'],
    ['{"m": "\\"n\\": 9", "n": 3.0}', '3.0'],
  ]) {
    assert.equal(cellOf({ template: '{/n}' }, { text }), digits, text);
  }
  assert.equal(cellOf({ template: '{/a/1}' }, { text: '{"a": [1, 2.50]}' }), '2.50');
  assert.equal(cellOf({ pointer: '/n', type: 'decimal' }, { text: '{"n": 1.25e3}' }), '1250');
});

test('integers have 64 bits', () => {
  transformer.configure(COLUMN('{"pointer": "/n", "type": "int"}'));
  const ints = (text) => transformer.apply(batchOf([{ text }])).rows[0]?.columns[0].values.val[0];
  assert.equal(ints('{"n": 9223372036854775807}'), 9223372036854775807n);
  assert.equal(ints('{"n": -9223372036854775808}'), -9223372036854775808n);
  assert.equal(ints('{"n": 9007199254740993}'), 9007199254740993n);
  assert.equal(ints('{"n": 1e3}'), 1000n);
  for (const [n, code] of [['9223372036854775808', 'out-of-range'], ['1.00000000000000000001', 'wrong-type'], ['1e-400', 'bad-number']]) {
    assert.equal(cellOf({ pointer: '/n', type: 'int' }, { text: `{"n": ${n}}` }), code);
  }
});

test('what every object inherits is no property', () => {
  for (const name of ['constructor', '__proto__', 'length', 'toString']) {
    assert.equal(cellOf({ pointer: `/${name}`, type: 'json' }, { text: '{"a": 1}' }), 'missing-field');
    assert.equal(cellOf({ pointer: `/a/${name}`, type: 'json' }, { text: '{"a": [1]}' }), 'missing-field');
    assert.equal(cellOf({ pointer: `/a/${name}`, type: 'json' }, { text: '{"a": "text"}' }), 'missing-field');
    assert.equal(cellOf({ pointer: `/${name}` }, { text: `{"${name}": "own"}` }), 'own');
  }
});

test('half a surrogate pair is no text', () => {
  assert.equal(cellOf('/a', { text: '{"a": "\\ud800"}' }), 'bad-text');
  assert.equal(cellOf('/a', { text: '{"a": "\\ud83d\\ude00"}' }), '😀');
  assert.equal(cellOf({ template: '<{/a}>' }, { text: '{"a": "\\ud800"}' }), 'bad-text');
});
