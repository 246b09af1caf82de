// Texts with places in them: `Order {/order_id} for {/customer/name}`.

import { ConfigError, Refusal } from '../sdk/gristmill.js';
import { Leaf } from './leaf.js';
import { isPointer } from './place.js';

/** A text that is filled in from a record. Parts are texts, fields, or `INDEX`. */
export class Template {
  constructor(parts) {
    this.parts = parts;
  }

  /** A pointer, or a text with pointers in braces. */
  static expression(text, places, at) {
    return isPointer(text) ? new Template([places.field(text, at)]) : Template.parse(text, places, at);
  }

  /** A text with pointers in braces; `{{` and `}}` are braces themselves. */
  static parse(text, places, at) {
    const parts = [''];
    const literal = (piece) => {
      if (typeof parts[parts.length - 1] !== 'string') parts.push('');
      parts[parts.length - 1] += piece;
    };
    for (const [piece, place] of text.matchAll(/\{\{|\}\}|\{([^}]*)\}|[^{}]+|[{}]/gs)) {
      if (place !== undefined) parts.push(partOf(place, places, at));
      else if (piece === '{' || piece === '}') {
        throw new ConfigError(at, `a brace that does not belong to a pair (write it twice) in \`${text}\``);
      } else literal(piece === '{{' || piece === '}}' ? piece[0] : piece);
    }
    return new Template(parts.filter((part) => part !== ''));
  }

  /** The text for a record; undefined, and its faults are noted, if a place is not there. */
  fill(facts, escape = asItIs) {
    if (this.parts.length === 1) return textOf(this.parts[0], facts, escape);
    let filled = '';
    let whole = true;
    for (const part of this.parts) {
      const text = textOf(part, facts, escape);
      if (text === undefined) whole = false;
      else filled += text;
    }
    return whole ? filled : undefined;
  }

  /** Where in the record the text comes from, if it comes from one place. */
  pointer(facts) {
    const [part] = this.parts;
    return this.parts.length === 1 && typeof part === 'object' && part !== INDEX ? facts.pointer(part) : undefined;
  }
}

/** `{@index}`: the item's place in its array. */
const INDEX = Object.freeze({});

function partOf(text, places, at) {
  if (text === '@index' && places.item !== undefined) return INDEX;
  if (!isPointer(text)) throw new ConfigError(at, `\`{${text}}\` is not a pointer: it begins with / or @`);
  return places.field(text, at);
}

function textOf(part, facts, escape) {
  if (typeof part === 'string') return part;
  if (part === INDEX) return String(facts.item.index);
  const value = facts.needed(part);
  if (value === undefined) return undefined;
  // Most values are texts without escapes: no leaf is needed for them.
  const text = typeof value === 'string' && facts.document(part).isUnicode(value)
    ? value : noted(facts, part, () => new Leaf(value, false, facts.document(part), part).scalar());
  return text === undefined ? undefined : escape(text);
}

/** The result; undefined, and the fault is noted at the field, if it throws a refusal. */
export function noted(facts, field, read) {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    facts.out.reject(error.fault.code, error.fault.reason, facts.pointer(field));
    return undefined;
  }
}

const asItIs = (text) => text;

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** A record's text must not become markup. */
export function asHtml(text) {
  return text.replace(/[&<>"'\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g, (char) => ENTITIES[char] ?? '\ufffd');
}
