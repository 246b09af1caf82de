//! Columns turned back into what a person reads: the effects of each record.

use crate::bindings::gristmill::transform::types::{
    self as contract, ColumnValues, MessageValues, Texts, Verdict,
};
use crate::packed;
use crate::{Date, Timestamp, Uuid};
use serde::Serialize;
use serde_json::{Map, Value};

/// What one record causes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Caused {
    /// Rows, table by table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Row>,
    /// Messages, output by output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// Mail.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mails: Vec<Mail>,
    /// Why it is refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Fault>,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The table.
    pub table: String,
    /// Column by column: numbers and booleans as such, JSON as itself, everything else as text (bytes in
    /// hexadecimal digits).
    pub columns: Map<String, Value>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// The output.
    pub output: String,
    /// What completes its topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The value.
    pub value: Sent,
    /// The headers; one without a value is empty here.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub headers: Map<String, Value>,
}

/// A message's value.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    /// The record's own.
    #[default]
    Same,
    /// Its own.
    Text(String),
    /// None: a tombstone.
    None,
}

/// A mail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mail {
    /// Addresses.
    pub to: Vec<String>,
    /// Subject line.
    pub subject: String,
    /// Body.
    pub text: String,
    /// Body as HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

/// A fault.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fault {
    /// Whether the record should come back later.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
    /// Its code.
    pub code: String,
    /// Its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What is wrong.
    pub reason: String,
}

/// The effects of each of so many records. Effects that contradict themselves are an error.
pub(super) fn by_record(effects: contract::Effects, records: usize) -> Result<Vec<Caused>, String> {
    let mut caused = vec![Caused::default(); records];
    for rows in &effects.rows {
        add_rows(&mut caused, rows).ok_or_else(|| format!("the columns of `{}` do not fit", rows.table))?;
    }
    for messages in &effects.messages {
        add_messages(&mut caused, messages)
            .ok_or_else(|| format!("the messages to `{}` do not fit", messages.output))?;
    }
    for mail in effects.mails {
        let contract::Mail { input, to, subject, text, html } = mail;
        let place = caused.get_mut(input as usize).ok_or("a mail of no record")?;
        place.mails.push(Mail { to, subject, text, html });
    }
    for failure in effects.failures {
        let contract::Failure { input, verdict, code, pointer, reason } = failure;
        let place = caused.get_mut(input as usize).ok_or("a failure of no record")?;
        place.failures.push(Fault { retry: verdict == Verdict::Retry, code, pointer, reason });
    }
    Ok(caused)
}

fn add_rows(caused: &mut [Caused], rows: &contract::Rows) -> Option<()> {
    let consistent = rows.columns.iter().all(|column| length(&column.values) == rows.inputs.len());
    if !consistent || !rows.inputs.is_sorted() {
        return None;
    }
    for (input, row) in rows.inputs.iter().zip(0..) {
        let mut columns = Map::new();
        for column in &rows.columns {
            let null = column.nulls.contains(&row);
            let value = if null { Value::Null } else { cell(&column.values, row as usize)? };
            columns.insert(column.name.clone(), value);
        }
        caused.get_mut(*input as usize)?.rows.push(Row { table: rows.table.clone(), columns });
    }
    Some(())
}

fn length(values: &ColumnValues) -> usize {
    match values {
        ColumnValues::Text(texts) | ColumnValues::Decimal(texts) | ColumnValues::Json(texts) => match texts {
            Texts::Plain(texts) => texts.len(),
            Texts::Packed(texts) => texts.ends.len(),
        },
        ColumnValues::Int(values) | ColumnValues::Timestamp(values) => values.len(),
        ColumnValues::Float(values) => values.len(),
        ColumnValues::Boolean(values) => values.len(),
        ColumnValues::Bytes(blobs) => blobs.ends.len(),
        ColumnValues::Fixed(fixed) => fixed.data.len() / (fixed.width.max(1) as usize),
        ColumnValues::Date(values) => values.len(),
    }
}

fn cell(values: &ColumnValues, row: usize) -> Option<Value> {
    Some(match values {
        ColumnValues::Text(texts) | ColumnValues::Decimal(texts) => Value::from(text(texts, row)?),
        ColumnValues::Json(texts) => serde_json::from_str(text(texts, row)?).ok()?,
        ColumnValues::Int(values) => Value::from(*values.get(row)?),
        ColumnValues::Float(values) => Value::from(*values.get(row)?),
        ColumnValues::Boolean(values) => Value::from(*values.get(row)?),
        ColumnValues::Bytes(blobs) => Value::from(hexadecimal(packed::nth(blobs, row)?)),
        ColumnValues::Fixed(fixed) => {
            let bytes = fixed.data.chunks_exact(fixed.width.max(1) as usize).nth(row)?;
            Value::from(
                <[u8; 16]>::try_from(bytes).map_or_else(|_| hexadecimal(bytes), |id| Uuid(id).to_string()),
            )
        }
        ColumnValues::Timestamp(values) => Value::from(Timestamp(*values.get(row)?).to_string()),
        ColumnValues::Date(values) => Value::from(Date(*values.get(row)?).to_string()),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(texts: &Texts, row: usize) -> Option<&str> {
    match texts {
        Texts::Plain(texts) => texts.get(row).map(String::as_str),
        Texts::Packed(texts) => {
            let start = row.checked_sub(1).map_or(Some(0), |before| texts.ends.get(before).copied())?;
            texts.data.get(start as usize..*texts.ends.get(row)? as usize)
        }
    }
}

fn add_messages(caused: &mut [Caused], messages: &contract::Messages) -> Option<()> {
    if !messages.inputs.is_sorted() {
        return None;
    }
    for (input, index) in messages.inputs.iter().zip(0..) {
        let key = match &messages.keys {
            Some(keys) if !messages.no_key.contains(&index) => {
                Some(lossy(packed::nth(keys, index as usize)?))
            }
            _ => None,
        };
        let value = match &messages.values {
            MessageValues::Same => Sent::Same,
            MessageValues::Each(_) if messages.no_value.contains(&index) => Sent::None,
            MessageValues::Each(values) => Sent::Text(lossy(packed::nth(values, index as usize)?)),
        };
        let topic = match &messages.topics {
            Some(topics) => Some(text(topics, index as usize)?.to_owned()),
            None => None,
        };
        let own = messages.headers.iter().filter(|header| header.index == index);
        let headers = own.map(|header| {
            (header.name.clone(), Value::from(lossy(header.value.as_deref().unwrap_or_default())))
        });
        let message =
            Message { output: messages.output.clone(), topic, key, value, headers: headers.collect() };
        caused.get_mut(*input as usize)?.messages.push(message);
    }
    Some(())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
