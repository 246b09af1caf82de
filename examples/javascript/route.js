// `route` in JavaScript: JSON records become rows, messages and mail by the rules of the configuration, as
// guests/route (its README explains the rules) has it. Everything that has a name is resolved once, in `configure`.

import { ConfigError, Refusal, module } from './sdk/gristmill.js';
import { Wanted, elements, explain, parseExact } from './sdk/json.js';
import { compileCondition } from './route/condition.js';
import * as config from './route/config.js';
import { MailRule, MessageRule } from './route/messages.js';
import { Document, Facts, Places } from './route/place.js';
import { RowRule, declareTables } from './route/rows.js';

const RULE_PARTS = ['about', 'when', 'each', 'rows', 'messages', 'mails', 'forward'];

export const transformer = module({
  about: 'Turns JSON records into rows, messages and mail, by rules in its configuration.',

  configure(_, text) {
    const { rule } = config.table(parseExact(text), '', ['rule']);
    if (rule === undefined) throw new ConfigError('', 'missing field `rule`');
    const places = new Places();
    const rules = config.list(rule, '/rule').map((one, index) => new Rule(one, places, `/rule/${index}`));
    return {
      tables: declareTables(rules.flatMap((rule) => rule.rows)),
      outputs: declareOutputs(rules),
      mails: rules.some((rule) => rule.mails.length > 0),
      transform: (record, out) => follow(rules, places.root, record, out),
    };
  },
});

function declareOutputs(rules) {
  const outputs = new Map();
  const declare = (name, kind) => {
    if ((outputs.get(name) ?? kind) !== kind) {
      throw new ConfigError(undefined, `output \`${name}\` is declared both with and without topics`);
    }
    outputs.set(name, kind);
  };
  for (const rule of rules) {
    for (const message of rule.messages) declare(message.output, message.topic ? 'dynamic' : 'fixed');
    if (rule.forward) declare('next', 'fixed');
  }
  return outputs;
}

function follow(rules, wanted, record, out) {
  const text = record.text();
  const facts = new Facts(record, new Document(parse(text), text, wanted), out);
  for (const rule of rules) rule.follow(facts);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Refusal('invalid-json', `the value is not JSON: ${explain(text) ?? error.message}`);
  }
}

class Rule {
  constructor(declared, places, at) {
    const parts = config.table(declared, at, RULE_PARTS);
    const { about, when, each, rows = [], messages = [], mails = [], forward = false } = parts;
    if (about !== undefined) config.text(about, `${at}/about`);
    this.array = each === undefined ? undefined : places.field(config.text(each, `${at}/each`), `${at}/each`);
    places.item = this.array && new Wanted();
    this.when = when === undefined ? undefined : compileCondition(when, places, `${at}/when`);
    const compile = (list, Kind, name) => config.list(list, `${at}/${name}`)
      .map((one, index) => new Kind(one, places, `${at}/${name}/${index}`));
    this.rows = compile(rows, RowRule, 'rows');
    this.messages = compile(messages, MessageRule, 'messages');
    this.mails = compile(mails, MailRule, 'mails');
    this.forward = config.boolean(forward, `${at}/forward`);
    if (this.rows.length + this.messages.length + this.mails.length === 0 && !this.forward) {
      throw new ConfigError(at, 'a rule that does nothing: give it rows, messages, mails or forward');
    }
    this.wanted = places.item;
    places.item = undefined;
  }

  follow(facts) {
    if (this.array === undefined) this.#followOne(facts);
    else this.#followEach(facts);
  }

  #followEach(facts) {
    const { record, root, out } = facts;
    const array = facts.some(this.array);
    if (array === undefined) {
      // Without items only a condition on the record itself can say that this is as it should be.
      if (this.when === undefined || this.when(facts)) facts.needed(this.array);
      return;
    }
    if (!Array.isArray(array)) {
      out.reject('wrong-type', 'an array is needed here', facts.pointer(this.array));
      return;
    }
    let texts;
    for (let index = 0; index < array.length && !out.isFull; index += 1) {
      const text = () => (texts ??= elements(root.raw(this.array)))[index];
      const document = new Document(array[index], text, this.wanted);
      this.#followOne(new Facts(record, root, out, { index, array: this.array, document }));
    }
  }

  #followOne(facts) {
    if (this.when !== undefined && !this.when(facts)) return;
    for (const row of this.rows) row.write(facts);
    for (const message of this.messages) message.send(facts);
    for (const mail of this.mails) mail.send(facts);
    if (this.forward) facts.out.next();
  }
}
