// Text and bytes. QuickJS has neither TextDecoder nor TextEncoder; its ways around are slower and give the same.

const NATIVE = typeof TextDecoder === 'function' && typeof TextEncoder === 'function';
// A byte order mark is kept: it is no JSON, and to drop it would make the text another one.
const DECODER = NATIVE ? new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }) : undefined;
const ENCODER = NATIVE ? new TextEncoder() : undefined;

const NOT_ASCII = /[^\x00-\x7f]/;

/** `{ text }`, or `{ validUpTo }`, the first byte that is wrong. */
export function decodeUtf8(bytes) {
  try {
    return { text: NATIVE ? DECODER.decode(bytes) : decodeByEscapes(bytes) };
  } catch {
    return { validUpTo: validUpTo(bytes) };
  }
}

export function encodeUtf8(text) {
  if (NATIVE) return ENCODER.encode(text);
  const escaped = unescape(encodeURIComponent(text.toWellFormed()));
  const bytes = new Uint8Array(escaped.length);
  for (let at = 0; at < escaped.length; at += 1) bytes[at] = escaped.charCodeAt(at);
  return bytes;
}

function decodeByEscapes(bytes) {
  // In pieces: the arguments of one call are bounded.
  const PIECE = 8192;
  let binary = '';
  for (let at = 0; at < bytes.length; at += PIECE) {
    binary += String.fromCharCode.apply(null, bytes.subarray(at, at + PIECE));
  }
  return NOT_ASCII.test(binary) ? decodeURIComponent(escape(binary)) : binary;
}

/** Many texts end to end, with the ends that count UTF-8 bytes. */
export function packTexts(texts) {
  let data = texts.join('');
  const ends = new Uint32Array(texts.length);
  let end = 0;
  if (!NOT_ASCII.test(data)) {
    for (let at = 0; at < texts.length; at += 1) ends[at] = end += texts[at].length;
    return { data, ends };
  }
  // Half a surrogate pair has no UTF-8: alone it would become U+FFFD, next to another half something else.
  if (!data.isWellFormed() || texts.some((text) => !text.isWellFormed())) {
    texts = texts.map((text) => text.toWellFormed());
    data = texts.join('');
  }
  for (let at = 0; at < texts.length; at += 1) ends[at] = end += utf8Length(texts[at]);
  return { data, ends };
}

export function utf8Length(text) {
  if (!NOT_ASCII.test(text)) return text.length;
  let length = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    // A pair of surrogates is four bytes: its two units count two each.
    if (unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff)) length += 2;
    else if (unit > 0x7f) length += 1;
  }
  return length;
}

/** How many bytes from the start are UTF-8. */
function validUpTo(bytes) {
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes, at);
    if (length === 0) return at;
    at += length;
  }
  return at;
}

function sequenceLength(bytes, at) {
  const first = bytes[at];
  if (first < 0x80) return 1;
  const length = first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3
    : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  // The second byte's range keeps out overlong forms, surrogates and what is beyond U+10FFFF.
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  for (let next = 1; next < length; next += 1) {
    const byte = bytes[at + next];
    if (byte === undefined || byte < (next === 1 ? low : 0x80) || byte > (next === 1 ? high : 0xbf)) return 0;
  }
  return length;
}
