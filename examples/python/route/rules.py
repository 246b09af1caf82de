"""`route` in Python: JSON records become rows, messages and mail by the rules of the configuration, as guests/route
(its README explains the rules) has it. Everything that has a name is resolved once, in `configure`."""

from gristmill_json import Wanted, elements
from gristmill_sdk import ConfigError, Plan
from route import config
from route.condition import compile_condition
from route.messages import MailRule, MessageRule
from route.place import DECODER, MISSING, Document, Facts, Item, Places
from route.rows import RowRule, declare_tables

ABOUT = "Turns JSON records into rows, messages and mail, by rules in its configuration."
RULE_PARTS = ("about", "when", "each", "rows", "messages", "mails", "forward")


def configure(_, text):
    parts = config.table(DECODER.decode(text), "", ("rule",))
    if "rule" not in parts:
        raise ConfigError("", "missing field `rule`")
    places = Places()
    rules = [Rule(one, places, f"/rule/{index}") for index, one in enumerate(config.items(parts["rule"], "/rule"))]

    def transform(record, out):
        facts = Facts(record, Document.parse(record.text(), places.root), out)
        for rule in rules:
            rule.follow(facts)

    return Plan(
        transform,
        tables=declare_tables([row for rule in rules for row in rule.rows]),
        outputs=declare_outputs(rules),
        mails=any(rule.mails for rule in rules),
    )


def declare_outputs(rules):
    outputs = {}

    def declare(name, kind):
        if outputs.setdefault(name, kind) != kind:
            raise ConfigError(None, f"output `{name}` is declared both with and without topics")

    for rule in rules:
        for message in rule.messages:
            declare(message.output, "dynamic" if message.topic else "fixed")
        if rule.forward:
            declare("next", "fixed")
    return outputs


class Rule:
    def __init__(self, declared, places, at):
        parts = config.table(declared, at, RULE_PARTS)
        config.text(parts.get("about", ""), f"{at}/about")
        self.array = places.field(config.text(parts["each"], f"{at}/each"), f"{at}/each") if "each" in parts else None
        places.item = Wanted() if self.array else None
        self.when = compile_condition(parts["when"], places, f"{at}/when") if "when" in parts else None

        def compile_all(kind, name):
            listed = config.items(parts.get(name, []), f"{at}/{name}")
            return [kind(one, places, f"{at}/{name}/{index}") for index, one in enumerate(listed)]

        self.rows = compile_all(RowRule, "rows")
        self.messages = compile_all(MessageRule, "messages")
        self.mails = compile_all(MailRule, "mails")
        self.forward = config.boolean(parts.get("forward", False), f"{at}/forward")
        if not (self.rows or self.messages or self.mails or self.forward):
            raise ConfigError(at, "a rule that does nothing: give it rows, messages, mails or forward")
        self.wanted = places.item
        places.item = None

    def follow(self, facts):
        if self.array is None:
            self.follow_one(facts)
        else:
            self.follow_each(facts)

    def follow_each(self, facts):
        array = facts.some(self.array)
        if array is MISSING:
            # Without items only a condition on the record itself can say that this is as it should be.
            if self.when is None or self.when(facts):
                facts.needed(self.array)
            return
        if type(array) is not list:
            facts.out.reject("wrong-type", "an array is needed here", facts.pointer(self.array))
            return
        for index, document in enumerate(self.documents(facts.root, array)):
            if facts.out.is_full:
                return
            self.follow_one(Facts(facts.record, facts.root, facts.out, Item(index, self.array, document)))

    def documents(self, root, array):
        if root.deep:
            yield from (Document.parse(text, self.wanted) for text in elements(root.raw(self.array)))
            return
        texts = []

        def text_at(index):
            if not texts:
                texts.extend(elements(root.raw(self.array)))
            return texts[index]

        for index, value in enumerate(array):
            yield Document(value, lambda index=index: text_at(index), self.wanted, root.may_be_half)

    def follow_one(self, facts):
        if self.when and not self.when(facts):
            return
        for row in self.rows:
            row.write(facts)
        for message in self.messages:
            message.send(facts)
        for mail in self.mails:
            mail.send(facts)
        if self.forward:
            facts.out.next()
