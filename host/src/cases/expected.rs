//! `expected.json`: what a case's records must cause, read and written.

use super::bytes::Bytes;
use super::json::{Fields, Json};
use super::value::{Value, headers_of};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// Effects of one sort, for one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// Rows of a table.
    Rows(String),
    /// Messages to an output.
    Messages(String),
    Mails,
    Failures,
}

impl Group {
    /// What one of them is called.
    pub(super) fn one(&self) -> &'static str {
        match self {
            Group::Rows(_) => "a row",
            Group::Messages(_) => "a message",
            Group::Mails => "a mail",
            Group::Failures => "a failure",
        }
    }

    /// What a field that is not named stands for.
    pub(super) fn unnamed(&self, field: &str) -> Json {
        if *self == Group::Failures && field == "verdict" { Json::text("reject") } else { Json::null() }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Group::Rows(table) => write!(f, "rows of {table}"),
            Group::Messages(output) => write!(f, "messages to {output}"),
            Group::Mails => f.write_str("mails"),
            Group::Failures => f.write_str("failures"),
        }
    }
}

/// One effect: the record that causes it, and its parts by name.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub(super) record: u32,
    pub(super) fields: Vec<(String, T)>,
}

impl<T> Entry<T> {
    pub(super) fn field(&self, name: &str) -> Option<&T> {
        self.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }
}

/// Effects by sort and place.
pub(super) type Groups<T> = BTreeMap<Group, Vec<Entry<T>>>;

/// What a case expects.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// These effects.
    Effects(Groups<Json>),
    /// That the guest refuses its configuration, and says this.
    ConfigRefused(String),
    /// That `apply` gives an error that says this.
    ApplyError(String),
    /// That `apply` traps, and how.
    ApplyTrap(String),
}

/// The keys of the endings that are not effects.
pub(super) const CONFIG_REFUSED: &str = "config_refused";
pub(super) const APPLY_ERROR: &str = "apply_error";
pub(super) const APPLY_TRAP: &str = "apply_trap";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    rows: Fields<Vec<RawRow>>,
    #[serde(default)]
    messages: Fields<Vec<RawMessage>>,
    mails: Option<Vec<RawMail>>,
    failures: Option<Vec<RawFailure>>,
    config_refused: Option<String>,
    apply_error: Option<String>,
    apply_trap: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRow {
    record: u32,
    columns: Fields<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMessage {
    record: u32,
    #[serde(default, deserialize_with = "text_or_null")]
    topic: Option<Json>,
    #[serde(default, deserialize_with = "bytes")]
    key: Option<Json>,
    #[serde(default, deserialize_with = "bytes")]
    value: Option<Json>,
    #[serde(default, deserialize_with = "headers")]
    headers: Option<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMail {
    record: u32,
    to: Option<Vec<String>>,
    subject: Option<String>,
    text: Option<String>,
    #[serde(default, deserialize_with = "text_or_null")]
    html: Option<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFailure {
    record: u32,
    verdict: Option<RawVerdict>,
    code: Option<String>,
    #[serde(default, deserialize_with = "text_or_null")]
    pointer: Option<Json>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawVerdict {
    Reject,
    Retry,
}

/// What is named, `null` too.
fn text_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    match Json::deserialize(deserializer)? {
        json if json.is_null() || matches!(json, Json::Text(_)) => Ok(Some(json)),
        _ => Err(D::Error::custom("a text or null is needed here")),
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    let json = Json::deserialize(deserializer)?;
    Bytes::of(&json).map_err(D::Error::custom)?;
    Ok(Some(json))
}

fn headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    let json = Json::deserialize(deserializer)?;
    headers_of(&json).map_err(D::Error::custom)?;
    Ok(Some(json))
}

impl RawMessage {
    fn entry(self) -> Entry<Json> {
        let RawMessage { record, topic, key, value, headers } = self;
        entry(record, [("topic", topic), ("key", key), ("value", value), ("headers", headers)])
    }
}

impl RawMail {
    fn entry(self) -> Entry<Json> {
        let RawMail { record, to, subject, text, html } = self;
        let to = to.map(|to| Json::List(to.into_iter().map(Json::Text).collect()));
        let (subject, text) = (subject.map(Json::Text), text.map(Json::Text));
        entry(record, [("to", to), ("subject", subject), ("text", text), ("html", html)])
    }
}

impl RawFailure {
    fn entry(self) -> Entry<Json> {
        let RawFailure { record, verdict, code, pointer, reason } = self;
        let verdict = verdict.map(|verdict| match verdict {
            RawVerdict::Reject => Json::text("reject"),
            RawVerdict::Retry => Json::text("retry"),
        });
        let (code, reason) = (code.map(Json::Text), reason.map(Json::Text));
        entry(record, [("verdict", verdict), ("code", code), ("pointer", pointer), ("reason", reason)])
    }
}

fn entry<const N: usize>(record: u32, fields: [(&str, Option<Json>); N]) -> Entry<Json> {
    let named = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Entry { record, fields: named.collect() }
}

impl Expected {
    /// Reads the file; the error says line and column.
    pub(super) fn parse(text: &str, records: usize) -> Result<Self, String> {
        let raw: Raw = serde_json::from_str(text).map_err(|error| super::at(&error, 0))?;
        let mut groups = Groups::new();
        for (table, rows) in raw.rows.0 {
            let entries = rows.into_iter().map(|row| Entry { record: row.record, fields: row.columns.0 });
            add(&mut groups, Group::Rows(table), entries.collect())?;
        }
        for (output, messages) in raw.messages.0 {
            let entries = messages.into_iter().map(RawMessage::entry).collect();
            add(&mut groups, Group::Messages(output), entries)?;
        }
        if let Some(mails) = raw.mails {
            add(&mut groups, Group::Mails, mails.into_iter().map(RawMail::entry).collect())?;
        }
        if let Some(failures) = raw.failures {
            add(&mut groups, Group::Failures, failures.into_iter().map(RawFailure::entry).collect())?;
        }
        let endings = [
            raw.config_refused.map(Expected::ConfigRefused),
            raw.apply_error.map(Expected::ApplyError),
            raw.apply_trap.map(Expected::ApplyTrap),
        ];
        let mut endings = endings.into_iter().flatten();
        match (endings.next(), endings.next()) {
            (None, _) => in_range(&groups, records).map(|()| Expected::Effects(groups)),
            (Some(ending), None) if groups.is_empty() => Ok(ending),
            _ => Err(format!(
                ": `{CONFIG_REFUSED}`, `{APPLY_ERROR}` and `{APPLY_TRAP}` each stand alone: nothing else happens then"
            )),
        }
    }

    /// Whether the records are never read.
    pub(super) fn needs_no_records(&self) -> bool {
        matches!(self, Expected::ConfigRefused(_))
    }
}

fn add(groups: &mut Groups<Json>, group: Group, entries: Vec<Entry<Json>>) -> Result<(), String> {
    match groups.insert(group.clone(), entries) {
        None => Ok(()),
        Some(_) => Err(format!(": {group} stand there twice")),
    }
}

fn in_range(groups: &Groups<Json>, records: usize) -> Result<(), String> {
    for (group, entries) in groups {
        if let Some(entry) = entries.iter().find(|entry| entry.record as usize >= records) {
            let record = entry.record;
            return Err(format!(
                ": {group} of record {record}, but there are {records} records (the first one is 0)"
            ));
        }
    }
    Ok(())
}

/// The file that expects these effects.
pub(super) fn file(groups: &Groups<Value>) -> Json {
    let mut top: Vec<(String, Json)> = Vec::new();
    for (group, entries) in groups {
        let list = Json::List(entries.iter().map(|entry| shown(group, entry)).collect());
        let (section, place) = match group {
            Group::Rows(table) => ("rows", Some(table)),
            Group::Messages(output) => ("messages", Some(output)),
            Group::Mails => ("mails", None),
            Group::Failures => ("failures", None),
        };
        match (place, top.last_mut()) {
            (Some(place), Some((last, Json::Object(fields)))) if last == section => {
                fields.push((place.clone(), list));
            }
            (Some(place), _) => top.push((section.to_owned(), Json::Object(vec![(place.clone(), list)]))),
            (None, _) => top.push((section.to_owned(), list)),
        }
    }
    Json::Object(top)
}

/// One effect as it stands in the file.
pub(super) fn shown(group: &Group, entry: &Entry<Value>) -> Json {
    let record = ("record".to_owned(), Json::plain(entry.record));
    let fields = entry.fields.iter().filter(|(name, value)| {
        // That a message has no value is said outright; so is NULL.
        matches!(group, Group::Rows(_)) || name == "value" || !value.is_nothing()
    });
    let fields = fields.map(|(name, value)| (name.clone(), value.shown()));
    Json::Object(match group {
        Group::Rows(_) => vec![record, ("columns".to_owned(), Json::Object(fields.collect()))],
        _ => std::iter::once(record).chain(fields).collect(),
    })
}

/// The file that expects an ending that is not effects.
pub(super) fn ending(key: &str, says: &str) -> Json {
    Json::Object(vec![(key.to_owned(), Json::text(says))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_files_are_refused_with_line_and_column() {
        for (text, error) in [
            ("{\n  \"row\": {}\n}", ":2:7: unknown field `row`"),
            ("{", ":1:1: EOF"),
            ("", ":1:0: EOF"),
            ("[]", ":1:"),
            (r#"{"rows": {"t": [{"record": 0, "columns": {}, "x": 1}]}}"#, "unknown field `x`"),
            (r#"{"rows": {"t": [{"record": 5, "columns": {}}]}}"#, "rows of t of record 5, but there are 2"),
            (r#"{"rows": {"t": [], "t": []}}"#, "rows of t stand there twice"),
            (r#"{"messages": {"o": [{"record": 0, "key": 1}]}}"#, ": write a text"),
            (r#"{"messages": {"o": [{"record": 0, "topic": 1}]}}"#, "a text or null"),
            (r#"{"messages": {"o": [{"record": 0, "headers": "x"}]}}"#, "headers are an object"),
            (r#"{"failures": [{"record": 0, "verdict": "later"}]}"#, "unknown variant `later`"),
            (r#"{"apply_trap": "", "mails": []}"#, "each stand alone"),
            (r#"{"apply_trap": "", "apply_error": ""}"#, "each stand alone"),
        ] {
            let found = Expected::parse(text, 2).unwrap_err();
            assert!(found.contains(error), "{text}: {found}");
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let entry = |record, fields: Vec<(&str, Value)>| Entry {
            record,
            fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let groups: Groups<Value> = [
            (Group::Rows("a".into()), vec![entry(0, vec![("n", Value::Int(1)), ("x", Value::Null)])]),
            (Group::Rows("b".into()), vec![entry(1, vec![])]),
            (
                Group::Messages("next".into()),
                vec![entry(
                    1,
                    vec![("key", Value::Null), ("value", Value::Null), ("headers", Value::Headers(vec![]))],
                )],
            ),
            (Group::Failures, vec![entry(1, vec![("code", Value::Text("c".into()))])]),
        ]
        .into();
        let text = file(&groups).pretty();
        assert!(text.contains(r#""messages": { "next": [{ "record": 1, "value": null }] }"#), "{text}");
        let Expected::Effects(read) = Expected::parse(&text, 2).unwrap() else { panic!() };
        assert_eq!(read.keys().collect::<Vec<_>>(), groups.keys().collect::<Vec<_>>());
        assert_eq!(read[&Group::Rows("a".into())][0].fields.len(), 2);
    }
}
