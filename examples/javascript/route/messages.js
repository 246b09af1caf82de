// Messages and mail from rules.

import { ConfigError } from '../sdk/gristmill.js';
import * as config from './config.js';
import { isPointer } from './place.js';
import { Template, asHtml } from './template.js';

export class MessageRule {
  constructor(declared, places, at) {
    const parts = config.table(declared, at, ['output', 'topic', 'key', 'value', 'headers']);
    const expression = (text, name) => (text === undefined ? undefined
      : Template.expression(config.text(text, `${at}/${name}`), places, `${at}/${name}`));
    this.output = config.text(parts.output, `${at}/output`);
    this.topic = expression(parts.topic, 'topic');
    this.key = expression(parts.key, 'key');
    const headers = parts.headers ?? new Map();
    if (!(headers instanceof Map)) throw new ConfigError(`${at}/headers`, 'a table is needed here');
    this.headers = [...headers].map(([name, text]) => {
      if (typeof text !== 'string') throw new ConfigError(`${at}/headers/${name}`, 'not a text');
      return [name, expression(text, 'headers')];
    });
    this.value = valueRule(parts.value, places, `${at}/value`);
  }

  /** Sends the message, or notes its faults. */
  send(facts) {
    let whole = true;
    const fill = (template) => {
      const text = template?.fill(facts);
      whole &&= template === undefined || text !== undefined;
      return text;
    };
    const topic = fill(this.topic);
    const key = fill(this.key);
    const headers = new Map();
    for (const [name, template] of this.headers) headers.set(name, fill(template));
    const value = fill(this.value);
    if (whole) facts.out.message(this.output, { topic, key, value, headers });
  }
}

/** What fills a message's value; undefined where it is the record's own. */
function valueRule(value, places, at) {
  if (value === undefined) return undefined;
  if (typeof value === 'string') {
    return isPointer(value) ? document(places.field(value, at)) : Template.parse(value, places, at);
  }
  return jsonRule(value, places, at);
}

/** A part of the record, byte for byte, or this JSON where there is none. */
function document(field, instead) {
  return {
    fill(facts) {
      if (facts.some(field) !== undefined) return facts.document(field).raw(field);
      if (instead !== undefined) return instead;
      facts.needed(field);
      return undefined;
    },
  };
}

/** A JSON document with places of the record in it. */
function jsonRule(value, places, at) {
  if (typeof value === 'string') {
    if (isPointer(value)) return document(places.field(value, at));
    const template = Template.parse(value, places, at);
    return { fill: (facts) => asJson(template.fill(facts)) };
  }
  if (Array.isArray(value)) {
    return between('[', ']', value.map((part) => ['', jsonRule(part, places, at)]));
  }
  if (!(value instanceof Map)) return literal(value);
  if (value.size === 1 && value.has('literal')) return literal(value.get('literal'));
  if (value.size === 2 && typeof value.get('pointer') === 'string' && value.has('default')) {
    return document(places.field(value.get('pointer'), at), config.json(value.get('default')));
  }
  return between('{', '}', [...value].map(([name, part]) => [`${JSON.stringify(name)}:`, jsonRule(part, places, at)]));
}

function asJson(text) {
  return text === undefined ? undefined : JSON.stringify(text);
}

function literal(value) {
  const json = config.json(value);
  return { fill: () => json };
}

/** All parts with commas between brackets: every fault is noted, not only the first. */
function between(open, close, parts) {
  return {
    fill(facts) {
      const filled = parts.map(([name, rule]) => [name, rule.fill(facts)]);
      if (filled.some(([, text]) => text === undefined)) return undefined;
      return open + filled.map(([name, text]) => name + text).join(',') + close;
    },
  };
}

const CONTROLS = /[\x00-\x1f\x7f-\x9f]/;

export class MailRule {
  constructor(declared, places, at) {
    const { to, subject, text, html } = config.table(declared, at, ['to', 'subject', 'text', 'html']);
    if (typeof to !== 'string' && !Array.isArray(to)) {
      throw new ConfigError(`${at}/to`, 'a text or a list of texts is needed');
    }
    this.to = (Array.isArray(to) ? to : [to]).map((one) => {
      if (typeof one !== 'string') throw new ConfigError(`${at}/to`, 'not a list of texts');
      return Template.expression(one, places, `${at}/to`);
    });
    const parse = (one, name) => Template.parse(config.text(one, `${at}/${name}`), places, `${at}/${name}`);
    this.subject = parse(subject, 'subject');
    this.text = parse(text, 'text');
    this.html = html === undefined ? undefined : parse(html, 'html');
  }

  /** Sends the mail, or notes its faults. */
  send(facts) {
    const to = this.to.map((template) => address(template, facts));
    const subject = this.subject.fill(facts);
    const text = this.text.fill(facts);
    const html = this.html?.fill(facts, asHtml);
    if (to.includes(undefined) || subject === undefined || text === undefined) return;
    if (this.html !== undefined && html === undefined) return;
    // A line break in a subject would begin another header.
    facts.out.mail({ to, subject: subject.replace(/[\x00-\x1f\x7f-\x9f]/g, ' '), text, html });
  }
}

function address(template, facts) {
  const text = template.fill(facts);
  if (text === undefined) return undefined;
  if (text.includes('@') && !CONTROLS.test(text)) return text;
  facts.out.reject('bad-address', 'a mail cannot be sent to this', template.pointer(facts));
  return undefined;
}
