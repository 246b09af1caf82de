// When a rule applies.

import { ConfigError } from '../sdk/gristmill.js';
import { Digits } from '../sdk/json.js';
import * as config from './config.js';

const TESTS = {
  equals: (value, at) => oneOf([literalOf(value, at)]),
  not_equals: (value, at) => not(oneOf([literalOf(value, at)])),
  one_of: (value, at) => oneOf(config.list(value, at).map((one, index) => literalOf(one, `${at}/${index}`))),
  exists: (value, at) => (config.boolean(value, at) ? (leaf) => leaf !== undefined : (leaf) => leaf === undefined),
  prefix: (value, at) => prefixed(config.text(value, at)),
  greater: (value, at) => compared(value, at, (order) => order > 0),
  less: (value, at) => compared(value, at, (order) => order < 0),
  at_least: (value, at) => compared(value, at, (order) => order >= 0),
  at_most: (value, at) => compared(value, at, (order) => order <= 0),
};

/** A function of the facts: whether the condition holds. */
export function compileCondition(declared, places, at) {
  const known = ['all', 'any', 'not', 'pointer', ...Object.keys(TESTS)];
  const { all, any, not: none, pointer, ...tests } = config.table(declared, at, known);
  const several = (list, name) => config.list(list, `${at}/${name}`)
    .map((one, index) => compileCondition(one, places, `${at}/${name}/${index}`));
  const conditions = all === undefined ? [] : several(all, 'all');
  if (any !== undefined) {
    const some = several(any, 'any');
    conditions.push((facts) => some.some((holds) => holds(facts)));
  }
  if (none !== undefined) {
    const holds = compileCondition(none, places, `${at}/not`);
    conditions.push((facts) => !holds(facts));
  }
  conditions.push(...compileTests(pointer, tests, places, at));
  if (conditions.length === 0) {
    throw new ConfigError(at, 'a condition needs `all`, `any`, `not`, or a `pointer` and a test');
  }
  return conditions.length === 1 ? conditions[0] : (facts) => conditions.every((holds) => holds(facts));
}

function compileTests(pointer, tests, places, at) {
  const names = Object.keys(TESTS).filter((name) => tests[name] !== undefined);
  if (pointer === undefined) {
    if (names.length > 0) throw new ConfigError(at, 'what should be tested? `pointer` is missing');
    return [];
  }
  const field = places.field(config.text(pointer, `${at}/pointer`), `${at}/pointer`);
  if (names.length === 0) {
    throw new ConfigError(at, '`pointer` without a test: equals, one_of, exists, prefix, greater, …');
  }
  return names.map((name) => {
    const test = TESTS[name](tests[name], `${at}/${name}`);
    return (facts) => test(facts.some(field), () => facts.digits(field, facts.some(field)), field, facts);
  });
}

/** A scalar of the configuration: what a value compares to. */
function literalOf(value, at) {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (value instanceof Digits) return new Digits(config.number(value));
  throw new ConfigError(at, 'only a text, a number or a boolean can be compared');
}

/** How a place compares to a literal: below, above or at 0; undefined if they are not of one kind. */
function compare(leaf, digits, literal) {
  if (literal instanceof Digits) return typeof leaf === 'number' ? compareNumbers(digits(), literal.text) : undefined;
  if (typeof leaf !== typeof literal) return undefined;
  if (typeof leaf === 'boolean') return Number(leaf) - Number(literal);
  // Half a surrogate pair is no text.
  return leaf.isWellFormed() ? compareTexts(leaf, literal) : undefined;
}

/** By their characters, as UTF-8 has them: UTF-16 puts what is beyond U+FFFF before U+E000. */
function compareTexts(left, right) {
  if (left === right) return 0;
  let at = 0;
  while (at < left.length && left[at] === right[at]) at += 1;
  return (left.codePointAt(at) ?? -1) - (right.codePointAt(at) ?? -1);
}

const INT128_MAX = 2n ** 127n;

/** Integers exactly, everything else as floating point. */
function compareNumbers(left, right) {
  if (isInt128(left) && isInt128(right)) {
    const [one, other] = [BigInt(left), BigInt(right)];
    return one === other ? 0 : one < other ? -1 : 1;
  }
  const [one, other] = [Number(left), Number(right)];
  return one === other ? 0 : one < other ? -1 : 1;
}

function isInt128(text) {
  if (!/^-?[0-9]+$/.test(text)) return false;
  const integer = BigInt(text);
  return integer >= -INT128_MAX && integer < INT128_MAX;
}

function oneOf(literals) {
  return (leaf, digits) => leaf !== undefined && literals.some((literal) => compare(leaf, digits, literal) === 0);
}

function not(test) {
  return (leaf, digits) => !test(leaf, digits);
}

function prefixed(prefix) {
  return (leaf) => typeof leaf === 'string' && leaf.startsWith(prefix) && leaf.isWellFormed();
}

function compared(value, at, fits) {
  const literal = literalOf(value, at);
  return (leaf, digits) => {
    const order = leaf === undefined ? undefined : compare(leaf, digits, literal);
    return order !== undefined && fits(order);
  };
}
