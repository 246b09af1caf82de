import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, module } from '../sdk/gristmill.js';
import { explain } from '../sdk/json.js';
import { decodeUtf8, packTexts } from '../sdk/utf8.js';
import { parseBase64, parseDate, parseDecimal, parseTimestamp, parseUuid } from '../sdk/values.js';
import { batchOf, byRecord } from './effects.js';

/** What each record causes under a plan. */
function run(plan, transform, records) {
  const transformer = module({ about: 'a test', configure: () => ({ ...plan, transform }) });
  transformer.configure('{}');
  return byRecord(transformer.apply(batchOf(records)), records.length);
}

/** The text that reaches the operator. */
function error(plan, transform, records = [{ value: 1 }]) {
  try {
    run(plan, transform, records);
  } catch (text) {
    return text;
  }
  return undefined;
}

test('a record as its author sees it', () => {
  const seen = [];
  run({}, (record) => {
    const { topic, partition, offset, timestampMs, key, value, headers } = record;
    seen.push({ topic, partition, offset, timestampMs, key: key && String.fromCharCode(...key), value, headers });
  }, [
    { key: 'k', text: 'ab', headers: { h: 'x', none: null }, timestamp_ms: 5 },
    {},
  ]);
  const bytes = (text) => new TextEncoder().encode(text);
  assert.deepEqual(seen, [
    { topic: 'test', partition: 0, offset: 0n, timestampMs: 5n, key: 'k', value: bytes('ab'),
      headers: [{ name: 'h', value: bytes('x') }, { name: 'none', value: null }] },
    { topic: 'test', partition: 0, offset: 1n, timestampMs: 0n, key: null, value: null, headers: [] },
  ]);
});

test('every kind of cell', () => {
  const plan = { tables: { t: {
    a: 'text', b: 'int', c: 'float', d: 'boolean', e: 'bytes', f: 'uuid', g: 'timestamp', h: 'date', i: 'decimal',
    j: 'json', k: 'fixed:2?', l: 'text?',
  } } };
  const cells = {
    a: 'tä😀', b: 2n ** 60n, c: 1.5, d: true, e: Uint8Array.of(1, 2), f: parseUuid('6ba7b8109dad11d180b400c04fd430c8'),
    g: 1_500_000n, h: 0, i: '1.10', j: '{"x": [1]}', k: null,
  };
  const [{ rows }] = run(plan, (_, out) => out.row('t', cells), [{}]);
  assert.deepEqual(rows[0].columns, {
    a: 'tä😀', b: 2 ** 60, c: 1.5, d: true, e: '0102', f: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
    g: '1970-01-01T00:00:01.500000Z', h: '1970-01-01', i: '1.10', j: { x: [1] }, k: null, l: null,
  });
});

test('a refused record causes nothing else, and its neighbours stay whole', () => {
  const plan = { tables: { t: { n: 'int?' } }, outputs: { o: 'dynamic', next: 'fixed' }, mails: true };
  const caused = run(plan, (record, out) => {
    const n = record.json();
    out.row('t', { n: n === 2 ? null : n });
    out.message('o', { topic: `t${n}`, key: n === 2 ? 'k' : undefined, headers: { n: String(n) } });
    out.next({ value: n === 2 ? null : n === 3 ? 'own' : undefined });
    out.mail({ to: 'a@b.example', subject: 's', text: 't' });
    if (n === 2) {
      out.reject('bad', 'first', '/n');
      out.reject('bad', 'first', '/n');
      out.retry('later', 'second');
    }
  }, [{ value: 1 }, { value: 2 }, { value: 3 }, { text: '{' }, {}, { base64: '/w==' }]);
  const good = (n, next) => ({
    rows: [{ table: 't', columns: { n } }],
    messages: [{ output: 'o', topic: `t${n}`, value: 'same', headers: { n: String(n) } }, { output: 'next', value: next }],
    mails: [{ to: ['a@b.example'], subject: 's', text: 't' }],
  });
  assert.deepEqual(caused, [
    good(1, { text: '1' }),
    { failures: [{ code: 'bad', pointer: '/n', reason: 'first' }, { retry: true, code: 'later', reason: 'second' }] },
    good(3, { text: 'own' }),
    { failures: [{ code: 'invalid-json', reason: 'the value is not JSON: EOF while parsing an object at line 1 column 1' }] },
    { failures: [{ code: 'no-value', reason: 'the record has no value' }] },
    { failures: [{ code: 'invalid-utf8', reason: 'the value is not UTF-8 from byte 0' }] },
  ]);
});

test('errors of the author reach the operator as text, with the line', () => {
  const thrown = error({}, (record) => record.json().a.b);
  assert.match(thrown, /^record at offset 0: TypeError: .*undefined.* \(at .*sdk\.test\.js:\d+:\d+\)+$/);
  assert.match(error({}, () => { throw 'a text'; }), /^apply threw a text$/);
});

test('effects that the plan does not cover end the batch', () => {
  const plan = { tables: { t: { n: 'int', m: 'date?' } }, outputs: { o: 'dynamic', p: 'fixed' } };
  for (const [transform, text] of [
    [(_, out) => out.row('u', {}), 'no table "u"'],
    [(_, out) => out.row('t', {}), 'column "n" is not nullable'],
    [(_, out) => out.row('t', { n: 1.5 }), 'column "n" needs an integer of 64 bits (beyond 2^53 a bigint), not 1.5'],
    [(_, out) => out.row('t', { n: 2n ** 63n }), 'not 9223372036854775808n'],
    [(_, out) => out.row('t', { n: 1, m: '2026-01-01' }), 'column "m" needs days since 1970'],
    [(_, out) => out.row('t', { n: 1, x: 1 }), 'has no column x'],
    [(_, out) => out.message('q'), 'no output "q"'],
    [(_, out) => out.message('o'), 'need a topic'],
    [(_, out) => out.message('p', { topic: 't' }), 'have no topic'],
    [(_, out) => out.message('p', { value: {} }), 'is a text or a Uint8Array'],
    [(_, out) => out.mail({ to: 'a@b', subject: '', text: '' }), 'no mails'],
  ]) {
    assert.ok(error(plan, transform)?.includes(text), `${text}: ${error(plan, transform)}`);
  }
});

test('configurations', () => {
  const transformer = module({
    about: 'a test',
    configure(config) {
      if (config.city === undefined) throw new ConfigError('/city', 'is missing');
      return { tables: { t: { c: config.kind } }, transform() {} };
    },
  });
  assert.throws(() => transformer.configure('{}'), (text) => text === '/city: is missing');
  assert.throws(() => transformer.configure('{'), (text) => text.startsWith(': not JSON: EOF'));
  assert.throws(() => transformer.configure('{"city": 1, "kind": "number"}'), (text) => text.includes('there is no kind "number"'));
  assert.deepEqual(transformer.configure('{"city": 1, "kind": "uuid?"}'), {
    tables: [{ name: 't', columns: [{ name: 'c', kind: 'fixed', nullable: true }] }], outputs: [], lookups: [], mails: false,
  });
  assert.deepEqual(transformer.describe(), { about: 'a test', configSchema: undefined });
});

test('values', () => {
  for (const [text, days] of [['1970-01-01', 0], ['1969-12-31', -1], ['2000-02-29', 11_016], ['0001-01-01', -719_162]]) {
    assert.equal(parseDate(text), days);
  }
  for (const text of ['2026-02-29', '1900-02-29', '2026-13-01', '2026-1-01', '2026-01-01 ', '', '2026-00-10', '2026-01-01\n']) {
    assert.equal(parseDate(text), undefined, text);
  }
  const millennium = 946_684_800_000_000n;
  for (const [text, micros] of [
    ['2000-01-01T00:00:00Z', millennium],
    ['2000-01-01 01:30:00+01:30', millennium],
    ['1999-12-31T23:59:59.9999999Z', millennium - 1n],
    ['1999-12-31t22:00:00.5-02:00', millennium + 500_000n],
    ['1999-12-31T23:59:60Z', millennium],
    ['2000-01-01', undefined], ['2000-01-01T24:00:00Z', undefined], ['2000-01-01T00:00:00', undefined],
    ['2000-01-01T00:00:00.Z', undefined],
  ]) {
    assert.equal(parseTimestamp(text), micros, text);
  }
  for (const [text, decimal] of [
    ['-12.50', '-12.50'], ['1.25e3', '1250'], ['1.25E1', '12.5'], ['-1e-3', '-0.001'], ['12e-1', '1.2'], ['12e-2', '0.12'],
    ['', undefined], ['5.', undefined], ['.5', undefined], ['1e999', undefined], ['+1', undefined], ['1e', undefined],
  ]) {
    assert.equal(parseDecimal(text), decimal, text);
  }
  for (const [text, bytes] of [['', []], ['Zg==', [102]], ['Zm8=', [102, 111]], ['Zg', [102]]]) {
    assert.deepEqual([...parseBase64(text)], bytes);
  }
  for (const text of ['Z', 'Zg=', 'Zm9v=', 'Zm9v====', 'Z-8=', '=', 'Zm 8']) assert.equal(parseBase64(text), undefined, text);
  for (const text of ['', 'zz', '6ba7b8109-dad-11d1-80b4-00c04fd430c8']) assert.equal(parseUuid(text), undefined);
});

test('what is wrong with a text that is no JSON', () => {
  for (const [text, error] of [
    ['', 'EOF while parsing a value at line 1 column 0'],
    ['{', 'EOF while parsing an object at line 1 column 1'],
    ['{"a": tru}', 'expected ident at line 1 column 10'],
    ['{} {}', 'trailing characters at line 1 column 4'],
    ['[1,]', 'trailing comma at line 1 column 4'],
    ['[[1,]]', 'expected value at line 1 column 5'],
    ['{"a":\n"ä', 'EOF while parsing a string at line 2 column 3'],
    ['01', 'invalid number at line 1 column 2'],
    // One byte of a character is enough to see that it is wrong.
    ['\ufeff{}', 'expected value at line 1 column 1'],
    ['["ä", tä]', 'expected ident at line 1 column 9'],
    ['-ä', 'invalid number at line 1 column 2'],
    ['"ä\\ä"', 'invalid escape at line 1 column 5'],
    ['{}\n\n', undefined],
    ['[\n1\n\n', 'EOF while parsing a list at line 4 column 0'],
    [' {"a" 1}', 'expected `:` at line 1 column 7'],
    ['['.repeat(9), 'EOF while parsing a list at line 1 column 9'],
    ['[1 2]', 'expected `,` or `]` at line 1 column 4'],
  ]) {
    assert.equal(explain(text), error, text);
  }
  assert.equal(explain(`${'['.repeat(100_000)}${']'.repeat(100_000)}`), undefined);
});

test('bytes and text', () => {
  for (const [bytes, valid] of [[[0x61, 0xff], 1], [[0xe2, 0x82], 0], [[0x61, 0xed, 0xa0, 0x80], 1], [[0xc0, 0x80], 0], [[0xf4, 0x90, 0x80, 0x80], 0]]) {
    assert.deepEqual(decodeUtf8(Uint8Array.from(bytes)), { validUpTo: valid });
  }
  // Halves of a pair at the edges of two texts do not become a pair.
  assert.deepEqual(packTexts(['a\ud83d', '\ude00']), { data: 'a\ufffd\ufffd', ends: Uint32Array.of(4, 7) });
});
