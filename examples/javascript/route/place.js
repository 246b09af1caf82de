// Places of a record that a rule reads, and what a record has there.
//
// A record is parsed by the engine's own parser, the fast way. Where the digits of a number or the spelling of a
// document matter they are looked for in the text: a number behind its property's name, all else by a scan.

import { ConfigError } from '../sdk/gristmill.js';
import { Wanted } from '../sdk/json.js';

const INDEX = /^(0|[1-9][0-9]*)$/;

/** A place that is wanted, resolved when the rule was read. */
class Field {
  constructor(inItem, pointer, place, tokens) {
    this.inItem = inItem;
    this.pointer = pointer;
    this.place = place;
    const name = tokens[tokens.length - 1];
    const quoted = JSON.stringify(name ?? '');
    // What stands in the text in front of the value, if its name needs no escapes and is no index.
    this.quoted = name !== undefined && !quoted.includes('\\') && !INDEX.test(name)
      ? quoted : undefined;
  }
}

/** What a configuration wants of the record and, in a rule with `each`, of its items. */
export class Places {
  constructor() {
    this.root = new Wanted();
    /** Undefined outside of a rule with `each`. */
    this.item = undefined;
  }

  field(text, at) {
    const inItem = text.startsWith('@');
    const pointer = inItem ? text.slice(1) : text;
    if (inItem && this.item === undefined) {
      throw new ConfigError(at, `\`${text}\` needs an item: the rule has no \`each\``);
    }
    const tokens = tokensOf(pointer);
    if (tokens === undefined) throw new ConfigError(at, `\`${text}\` is not a JSON pointer`);
    return new Field(inItem, pointer, (inItem ? this.item : this.root).place(tokens), tokens);
  }
}

/** Whether a text of the configuration is meant as a pointer. */
export function isPointer(text) {
  return text.startsWith('/') || text === '@' || text.startsWith('@/');
}

function tokensOf(pointer) {
  if (pointer === '') return [];
  if (!pointer.startsWith('/') || /~(?![01])/.test(pointer)) return undefined;
  return pointer.slice(1).split('/').map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** A node of the wanted tree, with what is asked of it for every record at hand. */
function stepOf(token, node) {
  const below = [...node.below].map(([name, child]) => stepOf(name, child));
  // Names that every object has without owning them.
  return { token, isIndex: INDEX.test(token), inherited: token in Object.prototype, place: node.place, below };
}

function pick(step, value, values) {
  if (step.place !== undefined) values[step.place] = value;
  if (step.below.length === 0 || typeof value !== 'object' || value === null) return;
  const isArray = Array.isArray(value);
  for (const below of step.below) {
    if (isArray ? !below.isIndex : below.inherited && !Object.hasOwn(value, below.token)) continue;
    const found = value[below.token];
    if (found === undefined) continue;
    if (below.below.length === 0) values[below.place] = found;
    else pick(below, found, values);
  }
}

const SIMPLE_END = new Set([undefined, ',', '}', ']', ' ', '\n', '\r', '\t']);
const NUMBER = /-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

/** A record's value, or an item of it: parsed, and as its text. */
export class Document {
  #text;
  #wanted;
  #found;
  #plain;

  /** `text` may be a function: an item's text is cut out only where it is needed. */
  constructor(value, text, wanted) {
    this.#text = text;
    this.#wanted = wanted;
    wanted.steps ??= stepOf(undefined, wanted.root);
    /** What is at each place, by its number: undefined if nothing is. Rules read most places, and some often. */
    this.values = new Array(wanted.places).fill(undefined);
    pick(wanted.steps, value, this.values);
  }

  get text() {
    if (typeof this.#text === 'function') this.#text = this.#text();
    return this.#text;
  }

  /** The part of the text that is there. */
  raw(field) {
    this.#found ??= this.#wanted.find(this.text);
    return this.#found[field.place];
  }

  /** The digits of a number that is there. */
  digits(field, value) {
    const { quoted } = field;
    if (quoted === undefined || !this.#isPlain()) return this.raw(field);
    // Without escapes in the text, a name between quotes is a whole string. If there is one of it, it is the name
    // under which the parser found the number.
    const text = this.text;
    const start = text.indexOf(quoted);
    let at = start + quoted.length;
    if (text.indexOf(quoted, at) >= 0) return this.raw(field);
    while (text[at] === ':' || text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at += 1;
    const usual = String(value);
    if (text.startsWith(usual, at) && SIMPLE_END.has(text[at + usual.length])) return usual;
    NUMBER.lastIndex = at;
    return NUMBER.exec(text)[0];
  }

  /** Whether there are no escapes: no text can hold half a surrogate pair then, no name be written in two ways. */
  #isPlain() {
    this.#plain ??= !this.text.includes('\\');
    return this.#plain;
  }

  /** Whether a text of this document is Unicode. */
  isUnicode(text) {
    return this.#isPlain() || text.isWellFormed();
  }
}

/** What is known while a rule is followed. */
export class Facts {
  constructor(record, root, out, item) {
    this.record = record;
    this.root = root;
    this.out = out;
    /** `{ index, array, document }` in a rule with `each`. */
    this.item = item;
  }

  document(field) {
    return field.inItem ? this.item?.document : this.root;
  }

  /** What the record has at a place, if it is not null. */
  some(field) {
    return this.document(field)?.values[field.place] ?? undefined;
  }

  /** Where a field is in the record's value. */
  pointer(field) {
    return field.inItem && this.item ? `${this.item.array.pointer}/${this.item.index}${field.pointer}` : field.pointer;
  }

  digits(field, value) {
    return this.document(field).digits(field, value);
  }

  /** What the record must have there; undefined, and the fault is noted, if it has not. */
  needed(field) {
    const value = this.document(field)?.values[field.place];
    if (value !== undefined && value !== null) return value;
    const reason = value === null ? 'this field is null' : 'this field is missing';
    this.out.reject('missing-field', reason, this.pointer(field));
    return undefined;
  }
}
