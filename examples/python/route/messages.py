"""Messages and mail from rules."""

import re

from gristmill_sdk import ConfigError
from route import config
from route.place import MISSING, is_pointer
from route.template import Template, as_html

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


class MessageRule:
    def __init__(self, declared, places, at):
        parts = config.table(declared, at, ("output", "topic", "key", "value", "headers"))

        def expression(name, text):
            return Template.expression(config.text(text, f"{at}/{name}"), places, f"{at}/{name}")

        self.output = config.text(parts.get("output"), f"{at}/output")
        self.topic = expression("topic", parts["topic"]) if "topic" in parts else None
        self.key = expression("key", parts["key"]) if "key" in parts else None
        headers = parts.get("headers", {})
        if not isinstance(headers, dict):
            raise ConfigError(f"{at}/headers", "a table is needed here")
        self.headers = []
        for name, text in headers.items():
            if type(text) is not str:
                raise ConfigError(f"{at}/headers/{name}", "not a text")
            self.headers.append((name, expression("headers", text)))
        # None where the value is the record's own.
        self.value = value_rule(parts["value"], places, f"{at}/value") if "value" in parts else None

    def send(self, facts):
        """Sends the message, or notes its faults."""
        message = {}
        if self.topic:
            message["topic"] = self.topic.fill(facts)
        if self.key:
            message["key"] = self.key.fill(facts)
        headers = [(name, template.fill(facts)) for name, template in self.headers]
        if self.value:
            message["value"] = self.value(facts)
        if None not in message.values() and all(text is not None for _, text in headers):
            facts.out.message(self.output, headers=headers, **message)


def value_rule(value, places, at):
    """A function of the facts that gives a message's value; None, and its faults are noted, if that is not there."""
    if type(value) is str:
        return document(places.field(value, at)) if is_pointer(value) else Template.parse(value, places, at).fill
    return json_rule(value, places, at)


def document(field, instead=None):
    """A part of the record, byte for byte, or this JSON where there is none."""

    def fill(facts):
        if facts.some(field) is not MISSING:
            return facts.document(field).raw(field)
        if instead is None:
            facts.needed(field)
        return instead

    return fill


def json_rule(value, places, at):
    """A JSON document with places of the record in it."""
    if type(value) is str:
        if is_pointer(value):
            return document(places.field(value, at))
        template = Template.parse(value, places, at)
        return lambda facts: as_json(template.fill(facts))
    if isinstance(value, list):
        return between("[", "]", [("", json_rule(part, places, at)) for part in value])
    if not isinstance(value, dict):
        return literal(value)
    if value.keys() == {"literal"}:
        return literal(value["literal"])
    if value.keys() == {"pointer", "default"} and type(value["pointer"]) is str:
        return document(places.field(value["pointer"], at), config.json(value["default"]))
    parts = [(f"{config.quoted(name)}:", json_rule(part, places, at)) for name, part in value.items()]
    return between("{", "}", parts)


def as_json(text):
    return None if text is None else config.quoted(text)


def literal(value):
    json = config.json(value)
    return lambda facts: json


def between(opening, closing, parts):
    """All parts with commas between brackets: every fault is noted, not only the first."""

    def fill(facts):
        filled = [(name, rule(facts)) for name, rule in parts]
        if any(text is None for _, text in filled):
            return None
        return opening + ",".join(name + text for name, text in filled) + closing

    return fill


class MailRule:
    def __init__(self, declared, places, at):
        parts = config.table(declared, at, ("to", "subject", "text", "html"))
        to = parts.get("to")
        if type(to) is not str and not isinstance(to, list):
            raise ConfigError(f"{at}/to", "a text or a list of texts is needed")
        self.to = []
        for one in to if isinstance(to, list) else [to]:
            if type(one) is not str:
                raise ConfigError(f"{at}/to", "not a list of texts")
            self.to.append(Template.expression(one, places, f"{at}/to"))

        def parse(name):
            return Template.parse(config.text(parts.get(name), f"{at}/{name}"), places, f"{at}/{name}")

        self.subject, self.text = parse("subject"), parse("text")
        self.html = parse("html") if "html" in parts else None

    def send(self, facts):
        """Sends the mail, or notes its faults."""
        to = [address(template, facts) for template in self.to]
        subject, text = self.subject.fill(facts), self.text.fill(facts)
        html = self.html.fill(facts, as_html) if self.html else None
        if None in to or subject is None or text is None or (self.html and html is None):
            return
        # A line break in a subject would begin another header.
        facts.out.mail(to, CONTROLS.sub(" ", subject), text, html)


def address(template, facts):
    text = template.fill(facts)
    if text is None or ("@" in text and not CONTROLS.search(text)):
        return text
    facts.out.reject("bad-address", "a mail cannot be sent to this", template.pointer(facts))
    return None
