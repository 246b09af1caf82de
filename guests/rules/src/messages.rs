//! Messages and mail from rules.

use crate::config;
use crate::document::JsonRule;
use crate::place::{Facts, Field, Places};
use crate::template::{Escape, Template};
use gristmill_sdk::{Failure, Faults, Mail, Out, Output, Plan};
use serde_json::Value;
use std::borrow::Cow;

#[derive(Debug)]
pub struct MessageRule {
    output: Output,
    topic: Option<Template>,
    key: Option<Template>,
    value: ValueRule,
    headers: Vec<(String, Template)>,
}

#[derive(Debug)]
enum ValueRule {
    Same,
    Document(Field),
    Text(Template),
    Json(JsonRule),
}

impl MessageRule {
    pub fn compile(
        message: config::Message,
        places: &mut Places,
        plan: &mut Plan,
        at: &str,
    ) -> Result<Self, String> {
        let mut expression = |text: Option<String>, name: &str| {
            let template = text.map(|text| Template::expression(&text, places)).transpose();
            template.map_err(|what| format!("{at}/{name}: {what}"))
        };
        let topic = expression(message.topic, "topic")?;
        let key = expression(message.key, "key")?;
        let mut headers = Vec::with_capacity(message.headers.len());
        for (name, value) in message.headers {
            let text = value.as_str().ok_or_else(|| format!("{at}/headers/{name}: not a text"))?;
            headers.extend(expression(Some(text.to_owned()), "headers")?.map(|template| (name, template)));
        }
        let value =
            ValueRule::compile(message.value, places).map_err(|what| format!("{at}/value: {what}"))?;
        let output =
            if topic.is_some() { plan.dynamic_output(message.output) } else { plan.output(message.output) };
        Ok(Self { output, topic, key, value, headers })
    }

    /// Sends the message, or adds its faults.
    pub fn send(&self, facts: &Facts<'_>, out: &mut Out<'_, '_>, faults: &mut Faults) {
        let mut whole = true;
        let mut fill = |template: &Template| {
            let text = template.fill_owned(facts, faults);
            whole &= text.is_some();
            text.unwrap_or_default()
        };
        let topic = self.topic.as_ref().map(&mut fill);
        let key = self.key.as_ref().map(&mut fill);
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name, fill(value))).collect();
        let value = self.value.fill(facts, faults);
        let (true, Some(value)) = (whole, value) else { return };
        let mut message = out.send(self.output);
        if let Some(topic) = topic {
            message = message.topic(&topic);
        }
        if let Some(key) = key {
            message = message.key(key);
        }
        if let Filled::Own(value) = value {
            message = message.value(value.as_bytes());
        }
        for (name, value) in headers {
            message = message.header(name, value);
        }
    }
}

/// The value of a message, ready to be sent.
enum Filled<'t> {
    Same,
    Own(Cow<'t, str>),
}

impl ValueRule {
    fn compile(value: Option<Value>, places: &mut Places) -> Result<Self, String> {
        match value {
            None => Ok(Self::Same),
            Some(Value::String(text)) if places.is_pointer(&text) => places.field(&text).map(Self::Document),
            Some(Value::String(text)) => Template::parse(&text, places).map(Self::Text),
            Some(document) => JsonRule::compile(document, places).map(Self::Json),
        }
    }

    /// `None`, and the faults are added, if a place is not there.
    fn fill<'t>(&'t self, facts: &Facts<'t>, faults: &mut Faults) -> Option<Filled<'t>> {
        let own = match self {
            Self::Same => return Some(Filled::Same),
            Self::Document(field) => faults.keep(facts.needed(field)).map(|leaf| Cow::Borrowed(leaf.0)),
            Self::Text(template) => template.fill(facts, faults),
            Self::Json(rule) => {
                let mut json = String::new();
                rule.write(facts, &mut json, faults).then_some(Cow::Owned(json))
            }
        };
        own.map(Filled::Own)
    }
}

#[derive(Debug)]
pub struct MailRule {
    to: Vec<Template>,
    subject: Template,
    text: Template,
    html: Option<Template>,
}

impl MailRule {
    pub fn compile(mail: config::Mail, places: &mut Places, at: &str) -> Result<Self, String> {
        let to = match mail.to {
            Value::String(one) => vec![one],
            Value::Array(several) => {
                let texts = several.into_iter().map(|one| one.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().ok_or_else(|| format!("{at}/to: not a list of texts"))?
            }
            _ => return Err(format!("{at}/to: a text or a list of texts is needed")),
        };
        let to = to.iter().map(|one| Template::expression(one, places)).collect::<Result<_, _>>();
        let to = to.map_err(|what| format!("{at}/to: {what}"))?;
        let mut parse = |text: &str, name: &str| {
            Template::parse(text, places).map_err(|what| format!("{at}/{name}: {what}"))
        };
        let subject = parse(&mail.subject, "subject")?;
        let text = parse(&mail.text, "text")?;
        let html = mail.html.map(|html| parse(&html, "html")).transpose()?;
        Ok(Self { to, subject, text, html })
    }

    /// Sends the mail, or adds its faults.
    pub fn send(&self, facts: &Facts<'_>, out: &mut Out<'_, '_>, faults: &mut Faults) {
        let to: Vec<_> = self.to.iter().map(|one| address(one, facts, faults)).collect();
        let subject = self.subject.fill_owned(facts, faults);
        let text = self.text.fill_owned(facts, faults);
        let html = self.html.as_ref().map(|html| html.fill_escaped(facts, Escape::Html, faults));
        let to: Option<Vec<_>> = to.into_iter().collect();
        let (Some(to), Some(subject), Some(text), true) = (to, subject, text, html != Some(None)) else {
            return;
        };
        // A line break in a subject would begin another header.
        let subject = subject.replace(char::is_control, " ");
        out.mail(Mail { to, subject, text, html: html.flatten().map(Cow::into_owned) });
    }
}

fn address(template: &Template, facts: &Facts<'_>, faults: &mut Faults) -> Option<String> {
    let address = template.fill_owned(facts, faults)?;
    if address.contains('@') && !address.contains(char::is_control) {
        return Some(address);
    }
    let failure = Failure::reject("bad-address", "a mail cannot be sent to this");
    faults.add(match template.pointer(facts) {
        Some(pointer) => failure.at(pointer),
        None => failure,
    });
    None
}
