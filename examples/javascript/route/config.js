// Parts of the configuration, checked. It is read with `parseExact`: tables are Maps, numbers Digits.

import { ConfigError } from '../sdk/gristmill.js';
import { Digits } from '../sdk/json.js';

/** The parts of a table, by name; other names than the known are refused. */
export function table(value, at, known) {
  if (!(value instanceof Map)) throw new ConfigError(at, 'a table is needed here');
  for (const name of value.keys()) {
    if (!known.includes(name)) {
      throw new ConfigError(`${at}/${name}`, `unknown field \`${name}\`, known are ${known.join(', ')}`);
    }
  }
  // An optional part may be null.
  return Object.fromEntries(known.map((name) => [name, value.get(name) ?? undefined]));
}

export function list(value, at) {
  if (!Array.isArray(value)) throw new ConfigError(at, 'a list is needed here');
  return value;
}

export function text(value, at) {
  if (typeof value === 'string') return value;
  throw new ConfigError(at, value === undefined ? 'a text is missing' : 'a text is needed here');
}

export function boolean(value, at) {
  if (typeof value !== 'boolean') throw new ConfigError(at, 'true or false is needed here');
  return value;
}

/** The digits of a number: integers of 64 bits as they are, all others as floating point has them. */
export function number({ text: digits }) {
  if (/^-?[0-9]+$/.test(digits) && digits !== '-0') {
    const integer = BigInt(digits);
    if (integer >= -(2n ** 63n) && integer < 2n ** 64n) return digits;
  }
  return floatDigits(Number(digits));
}

/** The shortest digits of a float, always with a point or an exponent, so that it stays one. */
function floatDigits(float) {
  const sign = float < 0 || Object.is(float, -0) ? '-' : '';
  const [mantissa, exponent] = Math.abs(float).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const point = Number(exponent) + 1;
  if (float === 0) return `${sign}0.0`;
  if (point > 16 || point <= -5) return `${sign}${mantissa}e${point - 1}`;
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  if (point >= digits.length) return `${sign}${digits.padEnd(point, '0')}.0`;
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** The compact JSON of a part. */
export function json(value) {
  if (value instanceof Digits) return number(value);
  if (Array.isArray(value)) return `[${value.map(json).join(',')}]`;
  if (value instanceof Map) {
    return `{${[...value].map(([name, part]) => `${JSON.stringify(name)}:${json(part)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}
