// Rows from rules.

import { ConfigError, Refusal } from '../sdk/gristmill.js';
import { Digits } from '../sdk/json.js';
import { decodeUtf8 } from '../sdk/utf8.js';
import * as config from './config.js';
import { Leaf, TYPES } from './leaf.js';
import { isPointer } from './place.js';
import { Template, noted } from './template.js';

const COLUMN_PARTS = ['pointer', 'value', 'template', 'record', 'type', 'default', 'nullable', 'parse'];

/** One row of one table. */
export class RowRule {
  constructor(declared, places, at) {
    const { table, columns } = config.table(declared, at, ['table', 'columns']);
    this.at = at;
    this.table = config.text(table, `${at}/table`);
    if (!(columns instanceof Map) || columns.size === 0) throw new ConfigError(`${at}/columns`, 'a row needs columns');
    this.cells = [...columns].map(([name, column]) => new Cell(name, column, places, `${at}/columns/${name}`));
  }

  /** Adds the row, or its faults. */
  write(facts) {
    const row = [];
    for (const cell of this.cells) row.push(cell.read(facts));
    // What is undefined is refused already: nothing of the record is kept.
    if (!row.includes(undefined)) facts.out.row(this.table, row);
  }

  /** Brings the cells into the order of a table that an earlier row has declared. */
  fit(columns) {
    const known = ({ name, kind }) => columns.some((column) => column.name === name && column.kind === kind);
    if (!this.cells.every(known) || this.cells.length !== columns.length) {
      throw new ConfigError(this.at, `table \`${this.table}\` has other columns or types in an earlier rule`);
    }
    this.cells = columns.map(({ name }) => this.cells.find((cell) => cell.name === name));
    columns.forEach((column, index) => { column.nullable ||= this.cells[index].nullable; });
  }
}

/** How one cell is made: `read` gives its value, null for NULL, undefined after its faults are noted. */
class Cell {
  constructor(name, declared, places, at) {
    this.name = name;
    if (typeof declared === 'string' && !isPointer(declared)) {
      throw new ConfigError(at, 'a pointer begins with / or @; a fixed text is { value = "…" }');
    }
    const column = typeof declared === 'string' ? { pointer: declared } : config.table(declared, at, COLUMN_PARTS);
    this.nullable = column.nullable === undefined ? false : config.boolean(column.nullable, at);
    const type = TYPES[column.type ?? 'text'];
    if (!Object.hasOwn(TYPES, column.type ?? 'text')) throw new ConfigError(at, `there is no type \`${column.type}\``);
    this.kind = type.kind;
    const given = ['pointer', 'value', 'template', 'record'].filter((part) => column[part] !== undefined);
    const [source] = given;
    if (given.length !== 1 || (source === 'template' && column.type !== undefined)) {
      throw new ConfigError(at, 'give one of `pointer`, `value`, `template` (always a text) and `record`');
    }
    if (source === 'pointer') this.#ofField(column, type, places, at);
    else if (source === 'record') this.#ofRecord(column, places, at);
    else if (source === 'value') {
      const value = constant(column.value, type, column.type ?? 'text', at);
      this.read = () => value;
    } else {
      const template = Template.parse(config.text(column.template, at), places, at);
      this.read = (facts) => template.fill(facts);
    }
  }

  #ofField(column, type, places, at) {
    const field = places.field(config.text(column.pointer, at), at);
    const parse = column.parse === undefined ? false : config.boolean(column.parse, at);
    const instead = column.default === undefined ? undefined
      : constant(column.default, type, column.type ?? 'text', at);
    const isText = type === TYPES.text;
    this.read = (facts) => {
      const value = facts.some(field);
      if (value === undefined) {
        if (instead !== undefined) return instead;
        return this.nullable ? null : facts.needed(field);
      }
      // The usual case, without a leaf.
      if (isText && typeof value === 'string' && facts.document(field).isUnicode(value)) return value;
      return noted(facts, field, () => type.read(new Leaf(value, parse, facts.document(field), field)));
    };
  }

  #ofRecord(column, places, at) {
    const part = RECORD_PARTS[column.record];
    if (!Object.hasOwn(RECORD_PARTS, column.record)) {
      throw new ConfigError(at, `a record has no part \`${column.record}\``);
    }
    const type = column.type ?? part.type;
    if (type !== part.type && (column.record !== 'key' || type !== 'bytes')) {
      throw new ConfigError(at, 'only the key has a choice of type: text or bytes');
    }
    if (column.record === 'index' && places.item === undefined) {
      throw new ConfigError(at, '`index` needs an item: the rule has no `each`');
    }
    this.kind = TYPES[type].kind;
    this.read = part.read ?? ((facts) => this.#key(facts, type));
  }

  #key({ record, out }, type) {
    const { key } = record;
    if (key === null) {
      if (this.nullable) return null;
      out.reject('missing-key', `column \`${this.name}\` needs the record's key`);
      return undefined;
    }
    if (type === 'bytes') return key;
    const { text } = decodeUtf8(key);
    if (text === undefined) out.reject('bad-key', 'the record\'s key is not UTF-8');
    return text;
  }
}

const RECORD_PARTS = {
  topic: { type: 'text', read: (facts) => facts.record.topic },
  partition: { type: 'int', read: (facts) => facts.record.partition },
  offset: { type: 'int', read: (facts) => facts.record.offset },
  timestamp: { type: 'timestamp', read: (facts) => saturated(facts.record.timestampMs * 1_000n) },
  index: { type: 'int', read: (facts) => facts.item.index },
  key: { type: 'text' },
};

function saturated(micros) {
  const most = 2n ** 63n;
  return micros >= most ? most - 1n : micros < -most ? -most : micros;
}

/** A value that stands in the configuration. */
function constant(value, type, name, at) {
  const json = config.json(value);
  const plain = value instanceof Digits ? Number(json) : value instanceof Map ? {} : value;
  try {
    const itself = { isUnicode: (text) => text.isWellFormed(), digits: () => json, raw: () => json };
    return type.read(new Leaf(plain, true, itself));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new ConfigError(at, `${json} is not of the type ${name}`);
  }
}

/** Declares every table once, and brings its rows' cells into one order. */
export function declareTables(rows) {
  const tables = new Map();
  for (const row of rows) {
    if (tables.has(row.table)) row.fit(tables.get(row.table));
    else tables.set(row.table, row.cells.map(({ name, kind, nullable }) => ({ name, kind, nullable })));
  }
  const kindOf = ({ name, kind, nullable }) => [name, kind + (nullable ? '?' : '')];
  return new Map([...tables].map(([name, columns]) => [name, new Map(columns.map(kindOf))]));
}

