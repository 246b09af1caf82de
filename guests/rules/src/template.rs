//! Texts with places in them: `Order {/order_id} for {/customer/name}`.

use crate::place::{Facts, Field, Places};
use gristmill_sdk::{Failure, Faults};
use std::borrow::Cow;

#[derive(Debug)]
enum Part {
    Literal(String),
    Field(Field),
    /// `{@index}`.
    Index,
}

/// A text that is filled in from a record.
#[derive(Debug)]
pub struct Template {
    parts: Vec<Part>,
}

/// What filled-in values go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    Nothing,
    Html,
}

impl Template {
    /// A pointer, or a text with pointers in braces.
    pub fn expression(text: &str, places: &mut Places) -> Result<Self, String> {
        if places.is_pointer(text) {
            return Ok(Self { parts: vec![Part::Field(places.field(text)?)] });
        }
        Self::parse(text, places)
    }

    /// A text with pointers in braces; `{{` and `}}` are braces themselves.
    pub fn parse(text: &str, places: &mut Places) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                literal.extend(from.chars().take(1));
                rest = after;
                continue;
            }
            let inside = from.strip_prefix('{').and_then(|inside| inside.split_once('}'));
            let Some((pointer, after)) = inside else {
                return Err(format!("a brace that does not belong to a pair (write it twice) in `{text}`"));
            };
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::of(pointer, places)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// The text for a record; `None`, and its faults are added, if a place is not there.
    pub fn fill<'t>(&'t self, facts: &Facts<'t>, faults: &mut Faults) -> Option<Cow<'t, str>> {
        if let [part] = self.parts.as_slice() {
            return faults.keep(part.text(facts));
        }
        self.fill_escaped(facts, Escape::Nothing, faults)
    }

    /// The same, with what comes from the record escaped.
    pub(crate) fn fill_escaped<'t>(
        &'t self,
        facts: &Facts<'t>,
        escape: Escape,
        faults: &mut Faults,
    ) -> Option<Cow<'t, str>> {
        let mut filled = String::new();
        let mut whole = true;
        for part in &self.parts {
            match (faults.keep(part.text(facts)), part, escape) {
                (None, ..) => whole = false,
                (Some(text), Part::Field(_), Escape::Html) => push_html(&mut filled, &text),
                (Some(text), ..) => filled.push_str(&text),
            }
        }
        whole.then_some(Cow::Owned(filled))
    }

    /// The text for a record, as it is.
    pub fn fill_owned(&self, facts: &Facts<'_>, faults: &mut Faults) -> Option<String> {
        self.fill(facts, faults).map(Cow::into_owned)
    }

    /// Where in the record the text comes from, if it comes from one place.
    pub(crate) fn pointer(&self, facts: &Facts<'_>) -> Option<String> {
        match self.parts.as_slice() {
            [Part::Field(field)] => facts.pointer(field),
            _ => None,
        }
    }
}

impl Part {
    fn of(text: &str, places: &mut Places) -> Result<Self, String> {
        match text {
            "@index" if places.has_item() => Ok(Self::Index),
            _ if places.is_pointer(text) => places.field(text).map(Self::Field),
            _ => Err(format!(
                "`{{{text}}}` is not a pointer: it begins with / or @, or with a name that is known here"
            )),
        }
    }

    fn text<'t>(&'t self, facts: &Facts<'t>) -> Result<Cow<'t, str>, Failure> {
        match self {
            Self::Literal(text) => Ok(Cow::Borrowed(text)),
            Self::Index => Ok(Cow::Owned(facts.item.map_or(0, |(_, item)| item.index).to_string())),
            Self::Field(field) => {
                let text = facts.needed(field)?.scalar();
                text.map_err(|failure| facts.fault(field, failure))
            }
        }
    }
}

/// A record's text must not become markup.
fn push_html(html: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            control if control.is_control() && !matches!(control, '\r' | '\n' | '\t') => {
                html.push(char::REPLACEMENT_CHARACTER);
            }
            other => html.push(other),
        }
    }
}
