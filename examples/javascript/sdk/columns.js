// Effects as the contract has them: per table one list for each column, per output one for keys, values, topics.
//
// Lists of numbers leave as typed arrays, which the boundary copies as they are; texts leave end to end.

import { encodeUtf8, packTexts } from './utf8.js';

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const INT32_MAX = 2 ** 31 - 1;

function isInt64(value) {
  return Number.isSafeInteger(value) || (typeof value === 'bigint' && value >= INT64_MIN && value <= INT64_MAX);
}

function int64s(cells) {
  const list = new BigInt64Array(cells.length);
  for (let at = 0; at < cells.length; at += 1) list[at] = BigInt(cells[at]);
  return list;
}

function textual(tag, needs) {
  const finish = (cells) => ({ tag, val: { tag: 'packed', val: packTexts(cells) } });
  return { tag, needs, zero: '', takes: (value) => typeof value === 'string', finish };
}

const isBytes = (value) => value instanceof Uint8Array;
const int64 = { zero: 0, takes: isInt64 };

/** The kinds of columns: what a cell must be, what stands in place of NULL, and the list that they become. */
const KINDS = {
  text: textual('text', 'a text'),
  decimal: textual('decimal', 'the text of a number'),
  json: textual('json', 'a JSON text'),
  int: { tag: 'int', needs: 'an integer of 64 bits (beyond 2^53 a bigint)', ...int64,
    finish: (cells) => ({ tag: 'int', val: int64s(cells) }) },
  timestamp: { tag: 'timestamp', needs: 'microseconds since 1970, an integer', ...int64,
    finish: (cells) => ({ tag: 'timestamp', val: int64s(cells) }) },
  float: { tag: 'float', needs: 'a number', zero: 0, takes: (value) => typeof value === 'number',
    finish: (cells) => ({ tag: 'float', val: Float64Array.from(cells) }) },
  boolean: { tag: 'boolean', needs: 'true or false', zero: false, takes: (value) => typeof value === 'boolean',
    finish: (cells) => ({ tag: 'boolean', val: cells }) },
  date: { tag: 'date', needs: 'days since 1970, an integer', zero: 0,
    takes: (value) => Number.isInteger(value) && Math.abs(value) <= INT32_MAX,
    finish: (cells) => ({ tag: 'date', val: Int32Array.from(cells) }) },
  bytes: { tag: 'bytes', needs: 'a Uint8Array', zero: new Uint8Array(0), takes: isBytes,
    finish: (cells) => ({ tag: 'bytes', val: packBlobs(cells) }) },
};

function fixed(width) {
  return {
    tag: 'fixed', needs: `a Uint8Array of ${width} bytes`, zero: new Uint8Array(width),
    takes: (value) => isBytes(value) && value.length === width,
    finish: (cells) => ({ tag: 'fixed', val: { width, data: joined(cells) } }),
  };
}

/** `int`, `text?` (may be NULL), `uuid`, `fixed:20`. */
function kindOf(text) {
  const [, name, width] = /^([a-z]+)(?::(\d+))?\??$/.exec(text) ?? [];
  if (name === 'uuid' && width === undefined) return fixed(16);
  if (name === 'fixed' && width > 0) return fixed(Number(width));
  return width === undefined && Object.hasOwn(KINDS, name ?? '') ? KINDS[name] : undefined;
}

/** Byte strings end to end; cells are texts or bytes. */
function packBlobs(cells) {
  if (cells.every((cell) => typeof cell === 'string')) {
    const { data, ends } = packTexts(cells);
    return { data: encodeUtf8(data), ends };
  }
  const blobs = cells.map(bytesOf);
  let end = 0;
  return { data: joined(blobs), ends: Uint32Array.from(blobs, (blob) => (end += blob.length)) };
}

function joined(blobs) {
  const data = new Uint8Array(blobs.reduce((length, blob) => length + blob.length, 0));
  let at = 0;
  for (const blob of blobs) {
    data.set(blob, at);
    at += blob.length;
  }
  return data;
}

function bytesOf(cell) {
  return typeof cell === 'string' ? encodeUtf8(cell) : cell;
}

/** The inputs before the given one, which is the last: how many rows or messages are kept. */
function keptOf(inputs, input) {
  let kept = inputs.length;
  while (kept > 0 && inputs[kept - 1] === input) kept -= 1;
  return kept;
}

function shorten(indices, kept) {
  while (indices.length > 0 && indices[indices.length - 1] >= kept) indices.pop();
}

/** The rows of one table. */
export class Table {
  constructor(name, columns) {
    this.name = name;
    this.inputs = [];
    this.columns = columns.map((column) => ({ ...column, cells: [], nulls: [] }));
  }

  /** Columns from `[[name, kind]]`. */
  static columns(table, declared) {
    return declared.map(([name, text]) => {
      const kind = kindOf(text);
      if (kind === undefined) throw new Error(`table "${table}" column "${name}": there is no kind "${text}"`);
      return { name, kind, nullable: text.endsWith('?') };
    });
  }

  add(input, cells) {
    const inOrder = Array.isArray(cells);
    let found = 0;
    for (let at = 0; at < this.columns.length; at += 1) {
      const column = this.columns[at];
      const cell = inOrder ? cells[at] : cells[column.name];
      if (cell !== undefined) found += 1;
      if (cell === undefined || cell === null) this.#addNull(column);
      else if (column.kind.takes(cell)) column.cells.push(cell);
      else throw new TypeError(`${this.#place(column)} needs ${column.kind.needs}, not ${shown(cell)}`);
    }
    const given = inOrder ? cells.length : Object.keys(cells).filter((name) => cells[name] !== undefined).length;
    if (given > this.columns.length || (!inOrder && given !== found)) this.#refuseStrangers(cells);
    this.inputs.push(input);
  }

  #addNull(column) {
    if (!column.nullable) throw new TypeError(`${this.#place(column)} is not nullable (its kind has no "?")`);
    column.nulls.push(this.inputs.length);
    column.cells.push(column.kind.zero);
  }

  #refuseStrangers(cells) {
    const known = this.columns.map((column) => column.name);
    const stranger = Object.keys(cells).find((name) => !known.includes(name));
    throw new TypeError(`table "${this.name}" has no column ${stranger}`);
  }

  #place(column) {
    return `table "${this.name}" column "${column.name}"`;
  }

  takeBack(input) {
    const kept = keptOf(this.inputs, input);
    this.inputs.length = kept;
    for (const column of this.columns) {
      column.cells.length = kept;
      shorten(column.nulls, kept);
    }
  }

  finish() {
    const columns = this.columns.map(({ name, kind, cells, nulls }) => (
      { name, values: kind.finish(cells), nulls: Uint32Array.from(nulls) }));
    return { table: this.name, inputs: Uint32Array.from(this.inputs), columns };
  }
}

function shown(cell) {
  const text = typeof cell === 'bigint' ? `${cell}n` : JSON.stringify(cell) ?? String(cell);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** The messages to one output. */
export class Messages {
  constructor(output, dynamic) {
    this.output = output;
    this.dynamic = dynamic;
    this.inputs = [];
    this.topics = [];
    this.keys = [];
    this.noKey = [];
    // Undefined as long as every message carries its record's value.
    this.values = undefined;
    this.noValue = [];
    this.headers = [];
  }

  add(input, { topic, key, value, headers }, valueAt) {
    if ((topic !== undefined) !== this.dynamic) {
      const needs = this.dynamic ? 'dynamic: its messages need a' : 'fixed: its messages have no';
      throw new Error(`output "${this.output}" is declared ${needs} topic`);
    }
    const index = this.inputs.length;
    if (this.dynamic) this.topics.push(String(topic));
    const none = key === undefined || key === null;
    if (none) this.noKey.push(index);
    this.keys.push(none ? '' : isBytes(key) ? key : String(key));
    if (value !== undefined && this.values === undefined) {
      this.values = [];
      this.inputs.forEach((before, at) => this.#addValue(valueAt(before), at));
    }
    if (this.values !== undefined) this.#addValue(value === undefined ? valueAt(input) : value, index);
    for (const [name, own] of headers ?? []) {
      this.headers.push({ index, name, value: own === null ? undefined : bytesOf(own) });
    }
    this.inputs.push(input);
  }

  #addValue(value, index) {
    if (value === null) this.noValue.push(index);
    else if (typeof value !== 'string' && !isBytes(value)) {
      throw new TypeError(`a message's value is a text or a Uint8Array, not ${shown(value)}`);
    }
    this.values.push(value ?? '');
  }

  takeBack(input) {
    const kept = keptOf(this.inputs, input);
    for (const list of [this.inputs, this.topics, this.keys, this.values ?? []]) {
      list.length = Math.min(list.length, kept);
    }
    shorten(this.noKey, kept);
    shorten(this.noValue, kept);
    while (this.headers.length > 0 && this.headers[this.headers.length - 1].index >= kept) this.headers.pop();
  }

  finish() {
    const keyless = this.noKey.length === this.inputs.length;
    return {
      output: this.output,
      inputs: Uint32Array.from(this.inputs),
      topics: this.dynamic ? { tag: 'packed', val: packTexts(this.topics) } : undefined,
      keys: keyless ? undefined : packBlobs(this.keys),
      noKey: Uint32Array.from(keyless ? [] : this.noKey),
      values: this.values === undefined ? { tag: 'same' } : { tag: 'each', val: packBlobs(this.values) },
      noValue: Uint32Array.from(this.noValue),
      headers: this.headers,
    };
  }
}
