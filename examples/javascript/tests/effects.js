// Runs a module on a batch without a sandbox, and shows what each record causes.

import { parseBase64 } from '../sdk/values.js';
import { encodeUtf8 } from '../sdk/utf8.js';
import { Digits, parseExact } from '../sdk/json.js';

/** A batch of `{ key, value | text | base64, headers, timestamp_ms }`, as the boundary would hand it over. */
export function batchOf(records) {
  const values = records.map(valueOf);
  const headers = records.flatMap((record, index) => Object.entries(record.headers ?? {})
    .map(([name, value]) => ({ index, name, value: value === null ? undefined : encodeUtf8(value) })));
  return {
    topic: 'test',
    partition: 0,
    offsets: BigInt64Array.from(records, (_, index) => BigInt(index)),
    timestampsMs: BigInt64Array.from(records, (record) => BigInt(record.timestamp_ms ?? 0)),
    keys: blobs(records.map((record) => encodeUtf8(record.key ?? ''))),
    noKey: indices(records, (record) => record.key === undefined),
    values: blobs(values.map((value) => value ?? new Uint8Array(0))),
    noValue: indices(values, (value) => value === undefined),
    headers,
  };
}

function valueOf({ value, text, base64 }) {
  if (base64 !== undefined) return parseBase64(base64);
  if (value !== undefined) return encodeUtf8(JSON.stringify(value));
  return text === undefined ? undefined : encodeUtf8(text);
}

function blobs(list) {
  let end = 0;
  const data = Uint8Array.from(list.flatMap((bytes) => [...bytes]));
  return { data, ends: Uint32Array.from(list, (bytes) => (end += bytes.length)) };
}

function indices(list, test) {
  return Uint32Array.from(list.flatMap((one, index) => (test(one) ? [index] : [])));
}

/** What each of so many records causes. */
export function byRecord(effects, count) {
  const caused = Array.from({ length: count }, () => ({}));
  const push = (input, kind, one) => (caused[input][kind] ??= []).push(one);
  for (const { table, inputs, columns } of effects.rows) {
    inputs.forEach((input, row) => {
      const cells = columns.map(({ name, values, nulls }) => [name, nulls.includes(row) ? null : cell(values, row)]);
      push(input, 'rows', { table, columns: Object.fromEntries(cells) });
    });
  }
  for (const messages of effects.messages) {
    messages.inputs.forEach((input, index) => push(input, 'messages', message(messages, index)));
  }
  for (const { input, html, ...mail } of effects.mails) {
    push(input, 'mails', html === undefined ? mail : { ...mail, html });
  }
  for (const { input, verdict, pointer, ...fault } of effects.failures) {
    push(input, 'failures', {
      ...(verdict === 'retry' && { retry: true }), ...fault, ...(pointer !== undefined && { pointer }),
    });
  }
  return caused;
}

const DECODER = new TextDecoder('utf-8', { fatal: true });

function nth({ data, ends }, index) {
  const bytes = typeof data === 'string' ? encodeUtf8(data) : data;
  return bytes.subarray(index === 0 ? 0 : ends[index - 1], ends[index]);
}

function cell({ tag, val }, row) {
  switch (tag) {
    case 'text':
    case 'decimal':
      return DECODER.decode(nth(val.val, row));
    case 'json':
      return plain(parseExact(DECODER.decode(nth(val.val, row))));
    case 'bytes':
      return hexadecimal(nth(val, row));
    case 'fixed':
      return hexadecimal(val.data.subarray(row * val.width, (row + 1) * val.width))
        .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    case 'date':
      return new Date(val[row] * 86_400_000).toISOString().slice(0, 10);
    case 'timestamp':
      return instant(val[row]);
    case 'int':
      return Number(val[row]);
    default:
      return val[row];
  }
}

function instant(micros) {
  const fraction = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const seconds = new Date(Number((micros - fraction) / 1_000n)).toISOString().slice(0, 19);
  return `${seconds}${fraction === 0n ? '' : `.${String(fraction).padStart(6, '0')}`}Z`;
}

function hexadecimal(bytes) {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function plain(value) {
  if (value instanceof Digits) return Number(value.text);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, part]) => [name, plain(part)]));
  return value;
}

function message({ output, topics, keys, noKey, values, noValue, headers }, index) {
  const text = (blobs) => DECODER.decode(nth(blobs, index));
  const own = headers.filter((header) => header.index === index)
    .map(({ name, value }) => [name, value === undefined ? '' : DECODER.decode(value)]);
  return {
    output,
    ...(topics && { topic: text(topics.val) }),
    ...(keys && !noKey.includes(index) && { key: text(keys) }),
    value: values.tag === 'same' ? 'same' : noValue.includes(index) ? 'none' : { text: text(values.val) },
    ...(own.length > 0 && { headers: Object.fromEntries(own) }),
  };
}
