// Gristmill's SDK for JavaScript: an author writes a function for one record, this makes it the contract of wit/.
//
//     export const transformer = module({
//       about: 'Stores sales.',
//       configure(config) {
//         return { tables: { sales: { id: 'int', note: 'text?' } }, transform(record, out) { … } };
//       },
//     });
//
// The README has the whole interface. Batches and effects cross the boundary as flat lists (columns.js): one list
// per column instead of one object per cell costs half as much.

import { Messages, Table } from './columns.js';
import { explain } from './json.js';
import { decodeUtf8 } from './utf8.js';

/** More faults than these help nobody. */
const FAULTS_MAX = 50;

/** What is wrong in a configuration, and where: a JSON pointer, or undefined if in no one place. */
export class ConfigError extends Error {
  constructor(pointer, what) {
    super(pointer === undefined ? what : `${pointer}: ${what}`);
  }
}

/** Why a record is refused, thrown from any depth; `out.reject` says the same without ending the function. */
export class Refusal extends Error {
  constructor(code, reason, pointer, verdict = 'reject') {
    super(reason);
    this.fault = { verdict, code, pointer, reason };
  }
}

/** The contract's three functions for `{ about, configSchema?, configure }`. */
export function module({ about, configSchema, configure }) {
  let configured;
  return {
    describe() {
      return { about, configSchema };
    },
    configure(text) {
      return told('configure', () => {
        configured = new Configured(configure(parseConfig(text), text));
        return configured.plan;
      });
    },
    apply(batch) {
      return told('apply', () => configured.apply(batch));
    },
  };
}

function parseConfig(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ConfigError('', `not JSON: ${explain(text) ?? error.message}`);
  }
}

/**
 * Errors leave as texts: the tool chains make an `Error` that is thrown across the boundary a bare trap, and the
 * operator would see nothing of it. A text is the error of `apply`, and keeps the instance usable.
 */
function told(what, work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof ConfigError) throw error.message;
    if (!(error instanceof Error)) throw `${what} threw ${String(error)}`;
    const at = error.place ? `${error.place}: ` : '';
    throw `${at}${error.name}: ${error.message}${firstFrame(error)}`;
  }
}

/** The line of the author's code where an error arose: both engines list frames, with different words around them. */
function firstFrame(error) {
  const frames = String(error.stack ?? '').split('\n').map((line) => line.trim());
  const frame = frames.find((line) => /:\d+(:\d+)?\)?$/.test(line) && !error.message.includes(line));
  return frame ? ` (${frame.replace(/^at /, 'at ')})` : '';
}

/** A module under its configuration. */
class Configured {
  constructor({ tables = {}, outputs = {}, lookups = [], mails = false, transform }) {
    if (typeof transform !== 'function') throw new Error('configure must return a function `transform`');
    this.tables = entries(tables).map(([name, columns]) => [name, Table.columns(name, entries(columns))]);
    this.outputs = entries(outputs).map(([name, kind]) => [name, isDynamic(name, kind)]);
    this.mails = mails;
    this.transform = transform;
    this.plan = {
      tables: this.tables.map(([name, columns]) => ({
        name,
        columns: columns.map(({ name, kind, nullable }) => ({ name, kind: kind.tag, nullable })),
      })),
      outputs: this.outputs.map(([name, dynamic]) => ({ name, dynamic })),
      lookups,
      mails,
    };
  }

  apply(batch) {
    const out = new Out(this);
    const noKey = new Set(batch.noKey);
    const noValue = new Set(batch.noValue);
    out.valueAt = (index) => noValue.has(index) ? null : slice(batch.values, index);
    for (let index = 0; index < batch.offsets.length; index += 1) {
      const record = new Record(batch, index, noKey.has(index), noValue.has(index));
      out.input = index;
      try {
        this.transform(record, out);
      } catch (error) {
        if (!(error instanceof Refusal)) {
          if (error instanceof Error) error.place = `record at offset ${batch.offsets[index]}`;
          throw error;
        }
        out.refuse(error.fault);
      }
      out.close();
    }
    return out.effects();
  }
}

function isDynamic(name, kind) {
  if (kind !== 'fixed' && kind !== 'dynamic') throw new Error(`output "${name}" is 'fixed' or 'dynamic', not ${kind}`);
  return kind === 'dynamic';
}

function entries(mapOrObject) {
  return mapOrObject instanceof Map ? [...mapOrObject] : Object.entries(mapOrObject);
}

function slice(blobs, index) {
  return blobs.data.subarray(index === 0 ? 0 : blobs.ends[index - 1], blobs.ends[index]);
}

/** One record of the batch. */
export class Record {
  #batch;
  #index;
  #keyless;
  #valueless;

  constructor(batch, index, keyless, valueless) {
    this.#batch = batch;
    this.#index = index;
    this.#keyless = keyless;
    this.#valueless = valueless;
  }

  get topic() {
    return this.#batch.topic;
  }

  get partition() {
    return this.#batch.partition;
  }

  /** A bigint: its place in its partition. */
  get offset() {
    return BigInt(this.#batch.offsets[this.#index]);
  }

  /** A bigint: when it was made, milliseconds since 1970-01-01 UTC. A module has no other clock. */
  get timestampMs() {
    return BigInt(this.#batch.timestampsMs[this.#index]);
  }

  /** Bytes, or null. */
  get key() {
    return this.#keyless ? null : slice(this.#batch.keys, this.#index);
  }

  /** Bytes, or null: a tombstone has none. */
  get value() {
    return this.#valueless ? null : slice(this.#batch.values, this.#index);
  }

  /** `[{ name, value }]`, in order; a value is bytes, or null. */
  get headers() {
    const own = this.#batch.headers.filter((header) => header.index === this.#index);
    return own.map(({ name, value }) => ({ name, value: value ?? null }));
  }

  /** The value as text; a record whose value is none is refused (`no-value`, `invalid-utf8`). */
  text() {
    if (this.#valueless) throw new Refusal('no-value', 'the record has no value');
    const { text, validUpTo } = decodeUtf8(this.value);
    if (text === undefined) throw new Refusal('invalid-utf8', `the value is not UTF-8 from byte ${validUpTo}`);
    return text;
  }

  /** The value as JSON; a record whose value is none is refused (`invalid-json`, with line and column). */
  json() {
    const text = this.text();
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Refusal('invalid-json', `the value is not JSON: ${explain(text) ?? error.message}`);
    }
  }
}

/** What the records of a batch cause. If a record is refused, nothing of it happens. */
class Out {
  #tables = new Map();
  #outputs = new Map();
  #mails = [];
  #mailing;
  #failures = [];
  #faults = [];

  constructor({ tables, outputs, mails }) {
    for (const [name, columns] of tables) this.#tables.set(name, new Table(name, columns));
    for (const [name, dynamic] of outputs) this.#outputs.set(name, new Messages(name, dynamic));
    this.#mailing = mails;
  }

  /** A row: an object of cells by column, or an array of them in the plan's order. */
  row(table, cells) {
    const rows = this.#tables.get(table);
    if (rows === undefined) throw new Error(`the plan has no table "${table}"`);
    rows.add(this.input, cells);
  }

  /** A message; without a value of its own it carries the record's, which then does not cross the boundary. */
  message(output, { topic, key, value, headers } = {}) {
    const messages = this.#outputs.get(output);
    if (messages === undefined) throw new Error(`the plan has no output "${output}"`);
    messages.add(this.input, { topic, key, value, headers: headers && entries(headers) }, this.valueAt);
  }

  /** The record goes on to the next stage, as it is or changed. */
  next(message) {
    this.message('next', message);
  }

  mail({ to, subject, text, html }) {
    if (!this.#mailing) throw new Error('the plan has no mails');
    this.#mails.push({ input: this.input, to: typeof to === 'string' ? [to] : to, subject, text, html });
  }

  /** The record can never succeed: it becomes a dead letter. May be said several times, once for each fault. */
  reject(code, reason, pointer) {
    this.refuse({ verdict: 'reject', code, pointer, reason });
  }

  /** Not yet: the record is parked and comes back. */
  retry(code, reason, pointer) {
    this.refuse({ verdict: 'retry', code, pointer, reason });
  }

  /** Whether no more faults are kept: the rest of the record need not be looked at. */
  get isFull() {
    return this.#faults.length >= FAULTS_MAX;
  }

  /** @internal Each fault once. */
  refuse(fault) {
    const same = (other) => other.code === fault.code && other.pointer === fault.pointer
      && other.reason === fault.reason && other.verdict === fault.verdict;
    if (!this.isFull && !this.#faults.some(same)) this.#faults.push(fault);
  }

  /** @internal Ends the record: takes back what it did if it was refused. */
  close() {
    if (this.#faults.length === 0) return;
    for (const table of this.#tables.values()) table.takeBack(this.input);
    for (const messages of this.#outputs.values()) messages.takeBack(this.input);
    while (this.#mails.length > 0 && this.#mails[this.#mails.length - 1].input === this.input) this.#mails.pop();
    for (const fault of this.#faults) this.#failures.push({ input: this.input, ...fault });
    this.#faults = [];
  }

  /** @internal */
  effects() {
    const some = (list) => list.filter((one) => one.inputs.length > 0).map((one) => one.finish());
    return {
      rows: some([...this.#tables.values()]),
      messages: some([...this.#outputs.values()]),
      mails: this.#mails,
      failures: this.#failures,
    };
  }
}
