// Texts read as what columns hold, without a clock or a time zone database. Each gives undefined for what is none.

const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;
const INSTANT = new RegExp(
  '^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\\.([0-9]+))?'
  + '(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$',
);
const DECIMAL = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;
const UUID = /^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$/;

/** The most digits that an exponent may spell out: `1e999999999` is no amount of anything. */
const EXPONENT_MAX = 100;

/** Days since 1970-01-01 of `YYYY-MM-DD`. */
export function parseDate(text) {
  const [, year, month, day] = DATE.exec(text)?.map(Number) ?? [];
  if (year === undefined || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return undefined;
  return daysFromCivil(year, month, day);
}

function daysInMonth(year, month) {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** Counts in eras of 400 years that begin in March, so that leap days come last. */
function daysFromCivil(year, month, day) {
  const shifted = month > 2 ? year : year - 1;
  const era = Math.floor(shifted / 400);
  const yearOfEra = shifted - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

/** Microseconds since 1970, a bigint, of RFC 3339. Further digits are cut off; a leap second is the next second. */
export function parseTimestamp(text) {
  const match = INSTANT.exec(text);
  const days = match === null ? undefined : parseDate(match[1]);
  if (days === undefined) return undefined;
  const [hour, minute, second] = [match[2], match[3], match[4]].map(Number);
  const [offsetHours, offsetMinutes] = [match[7] ?? 0, match[8] ?? 0].map(Number);
  if (hour > 23 || minute > 59 || second > 60 || offsetHours > 23 || offsetMinutes > 59) return undefined;
  const offset = (offsetHours * 60 + offsetMinutes) * (match[6] === '-' ? -1 : 1);
  const micros = Number((match[5] ?? '').slice(0, 6).padEnd(6, '0'));
  const ofDay = ((hour * 60 + minute - offset) * 60 + second) * 1_000_000 + micros;
  return BigInt(days) * 86_400_000_000n + BigInt(ofDay);
}

/** The text of an exact decimal number, exponents spelled out. */
export function parseDecimal(text) {
  const [, sign, whole, fraction = '', exponent] = DECIMAL.exec(text) ?? [];
  if (whole === undefined) return undefined;
  if (exponent === undefined) return text;
  const shift = Number(exponent);
  if (Math.abs(shift) > EXPONENT_MAX) return undefined;
  const digits = whole + fraction;
  const point = whole.length + shift;
  if (point >= digits.length) return sign + digits.padEnd(point, '0');
  if (point > 0) return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
  return `${sign}0.${'0'.repeat(-point)}${digits}`;
}

/** 16 bytes of a uuid in either case, with or without hyphens. */
export function parseUuid(text) {
  if (!UUID.test(text)) return undefined;
  const digits = text.replaceAll('-', '');
  return Uint8Array.from({ length: 16 }, (_, at) => parseInt(digits.slice(at * 2, at * 2 + 2), 16));
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** The bytes of base64, the standard alphabet, padded or not. */
export function parseBase64(text) {
  const digits = text.replace(/={1,2}$/, '');
  if (digits.length % 4 === 1 || (digits.length < text.length && text.length % 4 !== 0)) return undefined;
  const bytes = [];
  let buffer = 0;
  let bits = 0;
  for (const digit of digits) {
    const value = BASE64.indexOf(digit);
    if (value < 0) return undefined;
    // No more than 6 bits are left over: the buffer stays small.
    buffer = ((buffer << 6) | value) & 0xfff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((buffer >> bits) & 0xff);
    }
  }
  return Uint8Array.from(bytes);
}
