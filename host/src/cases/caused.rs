//! What a guest made of a case: its effects, turned from columns into one entry for each, or how it failed.

use super::expected::{self, APPLY_ERROR, APPLY_TRAP, CONFIG_REFUSED, Entry, Group, Groups};
use super::json::Json;
use super::value::{Header, Value};
use crate::effect::{MessageValues, Messages, TableRows, Verdict};
use crate::record::{Batch, header_bytes, headers_at, present};
use crate::spec::{Limits, NEXT};
use crate::transform::{Checked, Fault, Kind, Shape, Unready};
use std::collections::BTreeSet;

/// How a case ended.
#[derive(Clone, Debug)]
pub(super) enum Caused {
    /// With effects; and where these are not what the guest's own plan says.
    Effects(Groups<Value>, Vec<Breach>),
    /// The guest could not be configured.
    Unready(Unready),
    /// The call came to nothing.
    Fault(Fault),
}

/// A NULL where the plan says that there is none.
#[derive(Clone, Debug)]
pub(super) struct Breach {
    pub(super) record: u32,
    pub(super) table: String,
    pub(super) column: String,
}

impl Caused {
    /// The effects of a call. As in a pipeline, a record that is refused causes nothing else, and one whose message
    /// no broker would take is refused.
    pub(super) fn of(checked: &Checked, batch: &Batch, shape: &Shape, limits: &Limits) -> Self {
        let mut groups = Groups::new();
        let mut failures = Vec::new();
        for (record, verdict, faults) in &checked.failures {
            failures.extend(
                faults.iter().map(|fault| {
                    failure(*record, *verdict, &fault.code, fault.pointer.clone(), &fault.reason)
                }),
            );
        }
        let names = |output: usize| shape.outputs.get(output).map_or("", String::as_str);
        let sent = checked.messages.iter().map(|messages| (names(messages.output), messages));
        let sent: Vec<_> = sent.chain(checked.next.iter().map(|messages| (NEXT, messages))).collect();
        for (output, messages) in sent {
            let entries = messages_of(messages, batch);
            if output != NEXT {
                failures.extend(too_large(messages, &entries, batch, limits));
            }
            groups.entry(Group::Messages(output.to_owned())).or_default().extend(entries);
        }
        let mut breaches = Vec::new();
        for rows in &checked.rows {
            let Some(table) = shape.tables.get(rows.table) else { continue };
            let entries = rows_of(rows, table);
            let breached = entries.iter().flat_map(|entry| breaches_of(entry, table));
            breaches.extend(breached);
            groups.entry(Group::Rows(table.name.clone())).or_default().extend(entries);
        }
        let mails = checked.mails.iter().map(|mail| {
            let html = mail.html.clone().map_or(Value::Null, Value::Text);
            let (subject, text) = (Value::Text(mail.subject.clone()), Value::Text(mail.text.clone()));
            entry(
                mail.record,
                [("to", Value::Texts(mail.to.clone())), ("subject", subject), ("text", text), ("html", html)],
            )
        });
        groups.insert(Group::Mails, mails.collect());
        let refused: BTreeSet<u32> = failures.iter().map(|failure| failure.record).collect();
        for entries in groups.values_mut() {
            entries.retain(|entry| !refused.contains(&entry.record));
            entries.sort_by_key(|entry| entry.record);
        }
        breaches.retain(|breach| !refused.contains(&breach.record));
        failures.sort_by_key(|failure| failure.record);
        groups.insert(Group::Failures, failures);
        groups.retain(|_, entries| !entries.is_empty());
        Caused::Effects(groups, breaches)
    }

    /// The file that expects just this; `None` for what nobody should expect without having thought about it.
    pub(super) fn file(&self) -> Option<Json> {
        match self {
            Caused::Effects(groups, _) => Some(expected::file(groups)),
            Caused::Unready(Unready::Refused(reason)) => Some(expected::ending(CONFIG_REFUSED, reason)),
            Caused::Fault(Fault::GaveUp(reason)) => Some(expected::ending(APPLY_ERROR, reason)),
            Caused::Unready(Unready::Failed(_)) | Caused::Fault(_) => None,
        }
    }

    /// In one line, for a difference.
    pub(super) fn line(&self) -> String {
        match self {
            Caused::Effects(groups, _) => {
                let effects: usize = groups.values().map(Vec::len).sum();
                format!("{effects} effects")
            }
            Caused::Unready(Unready::Refused(reason)) => format!("the configuration is refused: {reason}"),
            Caused::Unready(Unready::Failed(reason)) => reason.clone(),
            Caused::Fault(Fault::GaveUp(reason)) => ending_line(APPLY_ERROR, reason),
            Caused::Fault(Fault::Trap(reason)) => ending_line(APPLY_TRAP, reason),
            Caused::Fault(fault) => fault.to_string(),
        }
    }

    /// Whether another run gave the same. Why it failed is not compared word for word.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Caused::Effects(own, _), Caused::Effects(others, _)) => {
                expected::file(own) == expected::file(others)
            }
            (Caused::Unready(own), Caused::Unready(other)) => {
                std::mem::discriminant(own) == std::mem::discriminant(other)
            }
            (Caused::Fault(own), Caused::Fault(other)) => own.code() == other.code(),
            _ => false,
        }
    }
}

fn ending_line(key: &str, reason: &str) -> String {
    expected::ending(key, reason).line()
}

fn entry<const N: usize>(record: u32, fields: [(&str, Value); N]) -> Entry<Value> {
    Entry { record, fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() }
}

fn failure(record: u32, verdict: Verdict, code: &str, pointer: Option<String>, reason: &str) -> Entry<Value> {
    let verdict = match verdict {
        Verdict::Reject => "reject",
        Verdict::Retry => "retry",
    };
    let text = |text: &str| Value::Text(text.to_owned());
    entry(
        record,
        [
            ("verdict", text(verdict)),
            ("code", text(code)),
            ("pointer", pointer.map_or(Value::Null, Value::Text)),
            ("reason", text(reason)),
        ],
    )
}

fn rows_of(rows: &TableRows, table: &crate::transform::TableShape) -> Vec<Entry<Value>> {
    let row = |(row, record): (usize, &u32)| Entry {
        record: *record,
        fields: table
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| {
                let fixed = matches!(column.kind, Kind::Fixed(_));
                (column.name.clone(), Value::of(rows.cell(place, row), fixed))
            })
            .collect(),
    };
    rows.records.iter().enumerate().map(row).collect()
}

fn breaches_of<'a>(
    entry: &'a Entry<Value>,
    table: &'a crate::transform::TableShape,
) -> impl Iterator<Item = Breach> + 'a {
    let cells = table.columns.iter().zip(&entry.fields);
    cells.filter(|(column, (_, value))| !column.nullable && matches!(value, Value::Null)).map(
        |(column, _)| Breach { record: entry.record, table: table.name.clone(), column: column.name.clone() },
    )
}

fn messages_of(messages: &Messages, batch: &Batch) -> Vec<Entry<Value>> {
    let payload = |bytes: Option<&[u8]>| bytes.map_or(Value::Null, |bytes| Value::Payload(bytes.to_owned()));
    let message = |(index, record): (usize, &u32)| {
        let key = messages.keys.as_ref().filter(|_| present(&messages.no_key, index));
        let value = match &messages.values {
            _ if !present(&messages.no_value, index) => None,
            MessageValues::Same => batch.value(*record as usize),
            MessageValues::Each(values) => Some(values.get(index)),
        };
        let headers: Vec<Header> = headers_at(&messages.headers, index)
            .iter()
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect();
        let topic =
            messages.topics.as_ref().map_or(Value::Null, |topics| Value::Text(topics.get(index).to_owned()));
        entry(
            *record,
            [
                ("topic", topic),
                ("key", payload(key.map(|keys| keys.get(index)))),
                ("value", payload(value)),
                ("headers", Value::Headers(headers)),
            ],
        )
    };
    messages.records.iter().enumerate().map(message).collect()
}

/// Failures for messages above `limits.message_bytes_max`, in the words of a pipeline.
fn too_large(
    messages: &Messages,
    entries: &[Entry<Value>],
    batch: &Batch,
    limits: &Limits,
) -> Vec<Entry<Value>> {
    let bytes_max = limits.message_bytes_max as usize;
    let bytes_of = |index: usize, entry: &Entry<Value>| {
        let parts = entry.fields.iter().map(|(_, value)| match value {
            Value::Payload(bytes) => bytes.len(),
            _ => 0,
        });
        let headers = headers_at(&messages.headers, index);
        let headers = headers.iter().map(|header| header_bytes(&header.name, header.value.as_deref()));
        parts.chain(headers).sum::<usize>()
    };
    let sizes = entries.iter().enumerate().map(|(index, entry)| (entry.record, bytes_of(index, entry)));
    sizes
        .filter(|(record, bytes)| *bytes > bytes_max && (*record as usize) < batch.len())
        .map(|(record, bytes)| {
            let reason = format!("a message of {bytes} bytes, and limits.message_bytes_max is {bytes_max}");
            failure(record, Verdict::Reject, "message-too-large", None, &reason)
        })
        .collect()
}
