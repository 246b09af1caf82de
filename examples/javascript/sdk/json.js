// JSON read exactly: wanted places as their parts of the text, numbers digit by digit, and what is wrong where.
//
// `JSON.parse` is far faster and is what modules should use. It loses the digits of numbers (`1.10`, 2^53 + 1) and
// the spelling of documents, and each engine words its errors differently: this is for where that matters.

import { utf8Length } from './utf8.js';

/** The places to look for, as a tree by the tokens of their pointers. */
export class Wanted {
  constructor() {
    this.root = newNode();
    this.places = 0;
  }

  /** Asks for a place; the same place has one number. */
  place(tokens) {
    let node = this.root;
    for (const token of tokens) {
      if (!node.below.has(token)) node.below.set(token, newNode());
      node = node.below.get(token);
    }
    node.place ??= this.places++;
    return node.place;
  }

  /** The parts of the text at all places; throws a SyntaxError with line and column if it is no JSON. */
  find(text) {
    const found = new Array(this.places).fill(undefined);
    const scanner = new Scanner(text, found);
    scanner.value(this.root);
    scanner.end();
    return found;
  }
}

function newNode() {
  return { place: undefined, below: new Map() };
}

/** What is wrong with a text that is no JSON, with line and column in bytes; undefined if nothing is. */
export function explain(text) {
  try {
    new Wanted().find(text);
    return undefined;
  } catch (error) {
    return error.message;
  }
}

/** The elements of an array's text, each as its part. */
export function elements(text) {
  const parts = [];
  const scanner = new Scanner(text, []);
  scanner.list(undefined, (start, end) => parts.push(text.slice(start, end)));
  return parts;
}

/** A number as it is spelled. */
export class Digits {
  constructor(text) {
    this.text = text;
  }
}

/** A text's JSON with nothing lost: objects are Maps (a plain object would sort names like `1`), numbers Digits. */
export function parseExact(text) {
  const wanted = new Wanted();
  wanted.find(text);
  return new Scanner(text, []).exact();
}

/** Where an error is. Columns count bytes, and readers of bytes look at one at a time. */
const AT = 'at';
const LOOKED = 'looked';
const TOOK = 'took';

const SPACES = /[ \t\n\r]*/y;
const PLAIN = /[^"\\\x00-\x1f]*/y;
const DIGITS = /[0-9]*/y;

class Scanner {
  constructor(text, found) {
    this.text = text;
    this.found = found;
    this.at = 0;
  }

  skip(pattern) {
    pattern.lastIndex = this.at;
    pattern.test(this.text);
    this.at = pattern.lastIndex;
    return this.text[this.at];
  }

  /** An error behind what was read, `AT`; behind the first byte of the next character, `LOOKED`; or of the last, `TOOK`. */
  fail(what, where = LOOKED) {
    const end = where === TOOK ? this.at - 1 : this.at;
    const byte = where === AT ? '' : this.text.slice(end, end + 1).replace(/[^\x00-\x7f]/, '?');
    const lines = (this.text.slice(0, end) + byte).split('\n');
    throw new SyntaxError(`${what} at line ${lines.length} column ${utf8Length(lines[lines.length - 1])}`);
  }

  end() {
    if (this.skip(SPACES) !== undefined) this.fail('trailing characters');
  }

  /** Reads one value. A value that is on the way to wanted places has a node. */
  value(node) {
    const first = this.skip(SPACES);
    const start = this.at;
    if (node?.place !== undefined) {
      this.value(undefined);
      this.found[node.place] = this.text.slice(start, this.at);
      if (node.below.size === 0) return;
      this.at = start;
    }
    if (first === '{') this.object(node);
    else if (first === '[') this.list(node);
    else if (first === '"') this.string();
    else this.scalar(first);
  }

  scalar(first) {
    if (first === undefined) this.fail('EOF while parsing a value');
    const word = { n: 'null', t: 'true', f: 'false' }[first];
    if (word !== undefined) {
      for (const letter of word) {
        const next = this.text[this.at];
        if (next === undefined) this.fail('EOF while parsing a value', AT);
        this.at += 1;
        if (next !== letter) this.fail('expected ident', TOOK);
      }
    } else if (first === '-' || (first >= '0' && first <= '9')) {
      this.number();
    } else {
      this.fail('expected value');
    }
  }

  number() {
    if (this.text[this.at] === '-') this.at += 1;
    if (this.text[this.at] === '0') {
      this.at += 1;
      if (isDigit(this.text[this.at])) this.fail('invalid number');
    } else {
      this.digits(true);
    }
    if (this.text[this.at] === '.') {
      this.at += 1;
      this.digits(false);
    }
    if (this.text[this.at] === 'e' || this.text[this.at] === 'E') {
      this.at += 1;
      if (this.text[this.at] === '+' || this.text[this.at] === '-') this.at += 1;
      this.digits(true);
    }
  }

  digits(taken) {
    if (!isDigit(this.text[this.at])) {
      if (!taken) this.fail('invalid number');
      if (this.at === this.text.length) this.fail('invalid number', AT);
      this.at += 1;
      this.fail('invalid number', TOOK);
    }
    this.skip(DIGITS);
  }

  string() {
    this.at += 1;
    for (;;) {
      const next = this.skip(PLAIN);
      if (next === '"') {
        this.at += 1;
        return;
      }
      if (next === undefined) this.fail('EOF while parsing a string', AT);
      if (next !== '\\') this.fail('control character (\\u0000-\\u001F) found while parsing a string', AT);
      this.escape();
    }
  }

  escape() {
    const letter = this.text[this.at + 1];
    this.at += 2;
    if (letter === undefined) {
      this.at = this.text.length;
      this.fail('EOF while parsing a string', AT);
    }
    if (letter === 'u') {
      const hex = this.text.slice(this.at, this.at + 4);
      this.at = Math.min(this.at + 4, this.text.length);
      if (hex.length < 4) this.fail('EOF while parsing a string', AT);
      if (!/^[0-9a-fA-F]{4}$/.test(hex)) this.fail('invalid escape', AT);
    } else if (!'"\\/bfnrt'.includes(letter)) {
      this.fail('invalid escape', TOOK);
    }
  }

  /** Deep nesting is no concern of a wanted tree's depth: where nothing is wanted, brackets are counted. */
  object(node) {
    if (node === undefined) return this.unwanted();
    this.at += 1;
    for (let first = true; ; first = false) {
      let next = this.skip(SPACES);
      if (next === undefined) this.fail('EOF while parsing an object');
      if (next === '}') break;
      if (!first) {
        if (next !== ',') this.fail('expected `,` or `}`');
        this.at += 1;
        next = this.skip(SPACES);
        if (next === undefined) this.fail('EOF while parsing a value');
        if (next === '}') this.fail('trailing comma');
      }
      this.value(this.key(next, node));
    }
    this.at += 1;
  }

  /** Reads a name and its colon; gives the node of what follows. */
  key(next, node) {
    if (next !== '"') this.fail('key must be a string');
    const start = this.at;
    this.string();
    const quoted = this.text.slice(start, this.at);
    this.colon();
    const name = quoted.includes('\\') ? JSON.parse(quoted) : quoted.slice(1, -1);
    const below = node.below.get(name);
    if (below !== undefined) this.forget(below);
    return below;
  }

  colon() {
    const next = this.skip(SPACES);
    if (next === undefined) this.fail('EOF while parsing an object');
    if (next !== ':') this.fail('expected `:`');
    this.at += 1;
  }

  /** Of two properties with one name the last counts, with all that is below it. */
  forget(node) {
    if (node.place !== undefined) this.found[node.place] = undefined;
    for (const below of node.below.values()) this.forget(below);
  }

  list(node, each) {
    if (node === undefined && each === undefined) return this.unwanted();
    this.at += 1;
    for (let index = 0; ; index += 1) {
      let next = this.skip(SPACES);
      if (next === undefined) this.fail('EOF while parsing a list');
      if (next === ']') break;
      if (index > 0) {
        if (next !== ',') this.fail('expected `,` or `]`');
        this.at += 1;
        next = this.skip(SPACES);
        if (next === undefined) this.fail('EOF while parsing a value');
        if (next === ']') this.fail('trailing comma');
      }
      const start = this.at;
      this.value(node?.below.get(String(index)));
      each?.(start, this.at);
    }
    this.at += 1;
  }

  /** Reads a value, however deep, that nobody wants. */
  unwanted() {
    const open = [];
    for (;;) {
      const first = this.skip(SPACES);
      let inside = first === '{' || first === '[';
      if (inside) {
        open.push(first);
        this.at += 1;
      } else if (first === '"') {
        this.string();
      } else {
        this.scalar(first);
      }
      if (!this.toNext(open, !inside)) return;
      if (open[open.length - 1] === '{') {
        const next = this.skip(SPACES);
        if (next === undefined) this.fail('EOF while parsing an object');
        if (next !== '"') this.fail('key must be a string');
        this.string();
        this.colon();
      }
    }
  }

  /** Goes to the next value of the innermost open bracket, closing what ends; false if all are closed. */
  toNext(open, afterValue) {
    while (open.length > 0) {
      const object = open[open.length - 1] === '{';
      const next = this.skip(SPACES);
      if (next === undefined) this.fail(object ? 'EOF while parsing an object' : 'EOF while parsing a list');
      if (next === ',' && afterValue) {
        this.at += 1;
        return true;
      }
      if (next !== (object ? '}' : ']')) {
        if (afterValue) this.fail(object ? 'expected `,` or `}`' : 'expected `,` or `]`');
        return true;
      }
      this.at += 1;
      open.pop();
      afterValue = true;
    }
    return false;
  }

  /** The value with nothing lost; the text is known to be JSON. */
  exact() {
    const first = this.skip(SPACES);
    const start = this.at;
    if (first === '{') return this.exactObject();
    if (first === '[') {
      const list = [];
      this.at += 1;
      while (this.skip(SPACES) !== ']') {
        if (this.text[this.at] === ',') this.at += 1;
        list.push(this.exact());
      }
      this.at += 1;
      return list;
    }
    if (first === '"') this.string();
    else this.scalar(first);
    const part = this.text.slice(start, this.at);
    return first === '-' || isDigit(first) ? new Digits(part) : JSON.parse(part);
  }

  exactObject() {
    const object = new Map();
    this.at += 1;
    while (this.skip(SPACES) !== '}') {
      if (this.text[this.at] === ',') this.at += 1;
      const name = this.exact();
      this.colon();
      object.set(name, this.exact());
    }
    this.at += 1;
    return object;
  }
}

function isDigit(char) {
  return char !== undefined && char >= '0' && char <= '9';
}
