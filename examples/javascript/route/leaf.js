// One place of a record, read as what a column or a text needs.

import { parseBase64, parseDate, parseDecimal, parseTimestamp, parseUuid } from '../sdk/values.js';
import { Refusal } from '../sdk/gristmill.js';

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);
const FLOAT = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$/;

/** A value of a column, by the name of its type: the column's kind, and how it is read. */
export const TYPES = {
  text: { kind: 'text', read: (leaf) => leaf.text('a text') },
  int: { kind: 'int', read: (leaf) => int(leaf.digits('an integer')) },
  float: { kind: 'float', read: (leaf) => float(leaf.digits('a number')) },
  decimal: { kind: 'decimal', read: (leaf) => decimal(leaf.digits('a number')) },
  boolean: { kind: 'boolean', read: (leaf) => leaf.boolean() },
  json: { kind: 'json', read: (leaf) => leaf.raw() },
  epoch_ms: { kind: 'timestamp', read: (leaf) => instant(leaf.digits('an integer'), 1_000n) },
  epoch_s: { kind: 'timestamp', read: (leaf) => instant(leaf.digits('an integer'), 1_000_000n) },
  timestamp: { kind: 'timestamp', read: (leaf) => parsed(parseTimestamp, leaf.text('a timestamp as text'),
    'bad-timestamp', 'is not a timestamp like 2026-11-21T10:00:00Z') },
  date: { kind: 'date', read: (leaf) => parsed(parseDate, leaf.text('a date as text'),
    'bad-date', 'is not a day, YYYY-MM-DD') },
  uuid: { kind: 'uuid', read: (leaf) => parsed(parseUuid, leaf.text('a uuid as text'), 'bad-uuid', 'is not a uuid') },
  bytes: { kind: 'bytes', read: (leaf) => parsed(parseBase64, leaf.text('base64 as text'),
    'bad-base64', 'is not base64') },
};

/** A value that is not null, and where it comes from; `parse`: a text that holds a number or boolean will do. */
export class Leaf {
  constructor(value, parse, document, field) {
    this.value = value;
    this.parse = parse;
    this.document = document;
    this.field = field;
  }

  raw() {
    return this.document.raw(this.field);
  }

  ownDigits() {
    return this.document.digits(this.field, this.value);
  }

  text(wanted) {
    if (typeof this.value !== 'string') throw wrong(wanted, this.value);
    if (!this.document.isUnicode(this.value)) throw new Refusal('bad-text', 'the text has half a surrogate pair');
    return this.value;
  }

  digits(wanted) {
    if (typeof this.value === 'number') return this.ownDigits();
    if (this.parse && typeof this.value === 'string') return this.text(wanted);
    throw wrong(wanted, this.value);
  }

  boolean() {
    if (typeof this.value === 'boolean') return this.value;
    if (!this.parse || typeof this.value !== 'string') throw wrong('a boolean', this.value);
    const text = this.text('a boolean');
    if (text !== 'true' && text !== 'false') throw odd('bad-boolean', text, 'is neither true nor false');
    return text === 'true';
  }

  /** A text, number or boolean as text, for keys and templates: numbers digit by digit. */
  scalar() {
    if (typeof this.value === 'number') return this.ownDigits();
    if (typeof this.value === 'boolean') return String(this.value);
    return this.text('a text, a number or a boolean');
  }
}

/** An integer; `1.0` and `1e3` are integers too, as JSON Schema has it. */
function int(text) {
  if (/^-?[0-9]{1,15}$/.test(text)) return Number(text);
  if (/^[+-]?[0-9]+$/.test(text)) {
    const integer = BigInt(text.replace(/^\+/, ''));
    if (isInt64(integer)) return integer;
  }
  const spelled = parseDecimal(text);
  if (spelled === undefined) throw notNumber(text);
  const [whole, fraction = ''] = spelled.split('.');
  if (/[^0]/.test(fraction)) throw odd('wrong-type', text, 'is not an integer');
  const integer = BigInt(whole === '-0' ? '0' : whole);
  if (!isInt64(integer)) throw odd('out-of-range', text, 'does not fit 64 bits');
  return integer;
}

function isInt64(integer) {
  return integer >= INT64_MIN && integer <= INT64_MAX;
}

function float(text) {
  if (!FLOAT.test(text)) throw notNumber(text);
  const number = Number(text);
  if (!Number.isFinite(number)) throw odd('out-of-range', text, 'is too large');
  return number;
}

function decimal(text) {
  const spelled = parseDecimal(text);
  if (spelled === undefined) throw notNumber(text);
  return spelled;
}

function instant(text, micros) {
  const instant = BigInt(int(text)) * micros;
  if (!isInt64(instant)) throw new Refusal('out-of-range', 'the instant is too far away');
  return instant;
}

function parsed(parse, text, code, reason) {
  const value = parse(text);
  if (value === undefined) throw odd(code, text, reason);
  return value;
}

function notNumber(text) {
  return odd('bad-number', text, 'is not a number in decimal digits, or has too many');
}

export function wrong(wanted, value) {
  return new Refusal('wrong-type', `${wanted} is needed here, not ${shapeOf(value)}`);
}

function shapeOf(value) {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return { boolean: 'a boolean', number: 'a number', string: 'a text', object: 'an object' }[typeof value];
}

/** A reason with the beginning of the offending text. */
function odd(code, text, reason) {
  const CHARS_MAX = 100;
  const begin = [...text.slice(0, 2 * CHARS_MAX + 2)].slice(0, CHARS_MAX).join('');
  return new Refusal(code, `"${begin}${begin.length < text.length ? '…' : ''}" ${reason}`);
}
