//! JSON documents with places of the record in them.

use crate::choice::Choice;
use crate::config;
use crate::each;
use crate::place::{Facts, Places};
use crate::template::Template;
use gristmill_sdk::Faults;
use serde::Deserialize;
use serde_json::{Map, Value};

/// How a document is made.
#[derive(Debug)]
pub(crate) enum JsonRule {
    /// JSON as it stands.
    Literal(String),
    /// A part of the record, byte for byte, or this JSON where there is none.
    Field(Choice, Option<String>),
    Text(Template),
    Array(Vec<JsonRule>),
    /// Names as JSON texts.
    Object(Vec<(String, JsonRule)>),
    /// An element for each item of an array.
    Each(usize, Box<JsonRule>),
}

/// `{ each = …, item = … }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EachItem {
    each: String,
    item: Value,
    find: Option<config::Find>,
    distinct: Option<String>,
}

/// `{ pointer = …, default = … }` or `{ first = […], except = […], default = … }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstOf {
    first: Option<Vec<String>>,
    pointer: Option<String>,
    except: Option<Vec<Value>>,
}

impl JsonRule {
    pub fn compile(value: Value, places: &mut Places) -> Result<Self, String> {
        match value {
            Value::String(text) if places.is_pointer(&text) => {
                Ok(Self::Field(Choice::one(&text, places)?, None))
            }
            Value::String(text) => Template::parse(&text, places).map(Self::Text),
            Value::Array(values) => {
                let rules = values.into_iter().map(|value| Self::compile(value, places));
                rules.collect::<Result<_, _>>().map(Self::Array)
            }
            Value::Object(object) => Self::object(object, places),
            literal => Ok(Self::Literal(literal.to_string())),
        }
    }

    fn object(mut object: Map<String, Value>, places: &mut Places) -> Result<Self, String> {
        if object.len() == 1 && object.contains_key("literal") {
            return Ok(Self::Literal(object.remove("literal").unwrap_or_default().to_string()));
        }
        if object.contains_key("each") && object.contains_key("item") {
            return Self::each(object, places);
        }
        if object.get("first").is_some_and(Value::is_array)
            || (object.len() == 2
                && object.get("pointer").is_some_and(Value::is_string)
                && object.contains_key("default"))
        {
            return Self::choice(object, places);
        }
        let entry = |(name, value): (String, Value)| {
            Ok((Value::String(name).to_string(), Self::compile(value, places)?))
        };
        object.into_iter().map(entry).collect::<Result<_, _>>().map(Self::Object)
    }

    fn each(object: Map<String, Value>, places: &mut Places) -> Result<Self, String> {
        let each: EachItem =
            serde_json::from_value(Value::Object(object)).map_err(|error| format!("an `each`: {error}"))?;
        let array = places.enter(&config::Each {
            each: each.each,
            entries: false,
            find: each.find,
            distinct: each.distinct,
        })?;
        let item = Self::compile(each.item, places);
        places.leave();
        Ok(Self::Each(array, Box::new(item?)))
    }

    fn choice(mut object: Map<String, Value>, places: &mut Places) -> Result<Self, String> {
        // Taken out first: it may be `null`.
        let default = object.remove("default").map(|default| default.to_string());
        let choice: FirstOf =
            serde_json::from_value(Value::Object(object)).map_err(|error| format!("a `first`: {error}"))?;
        let choice = match (choice.first, choice.pointer) {
            (Some(first), None) => Choice::of(&first, choice.except, places)?,
            (None, Some(pointer)) => Choice::one(&pointer, places)?,
            _ => return Err("either `pointer` or `first`".to_owned()),
        };
        Ok(Self::Field(choice, default))
    }

    /// Appends the document; `false`, and the faults are added, if a place is not there.
    pub fn write(&self, facts: &Facts<'_>, json: &mut String, faults: &mut Faults) -> bool {
        match self {
            Self::Literal(text) => json.push_str(text),
            Self::Field(choice, default) => match (choice.some(facts), default) {
                (Some((leaf, _)), _) => json.push_str(leaf.0),
                (None, Some(default)) => json.push_str(default),
                (None, None) => return faults.keep(choice.needed(facts)).is_some(),
            },
            Self::Text(template) => {
                let Some(text) = template.fill_owned(facts, faults) else { return false };
                json.push_str(&Value::String(text).to_string());
            }
            Self::Array(rules) => {
                let element = |rule: &Self, json: &mut String| rule.write(facts, json, faults);
                return between(json, ['[', ']'], rules, element);
            }
            Self::Object(entries) => {
                return between(json, ['{', '}'], entries, |(name, rule), json| {
                    json.push_str(name);
                    json.push(':');
                    rule.write(facts, json, faults)
                });
            }
            Self::Each(array, item) => return write_each(*array, item, facts, json, faults),
        }
        true
    }
}

fn write_each(
    array: usize,
    rule: &JsonRule,
    facts: &Facts<'_>,
    json: &mut String,
    faults: &mut Faults,
) -> bool {
    let (mut written, mut whole) = (0_usize, true);
    json.push('[');
    let mut more = Faults::default();
    let walked = each::walk(facts, array, &mut more, |facts, more| {
        if written > 0 {
            json.push(',');
        }
        written += 1;
        whole &= rule.write(facts, json, more);
    });
    json.push(']');
    if let Err(absent) = walked {
        more.add(absent.failure());
    }
    match more.check() {
        Ok(()) => whole,
        Err(failure) => {
            faults.add(failure);
            false
        }
    }
}

/// Writes all elements with commas between brackets; whether each was whole.
fn between<E>(
    json: &mut String,
    [open, close]: [char; 2],
    elements: &[E],
    mut write: impl FnMut(&E, &mut String) -> bool,
) -> bool {
    json.push(open);
    let mut whole = true;
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        whole &= write(element, json);
    }
    json.push(close);
    whole
}
