//! Gristmill's own tables that get many rows per batch, described like any other table, so that they are written
//! set-wise by the same code.

use super::settle::{Dead, Waiting};
use super::sql::Dialect;
use super::{LaneId, Work};
use crate::effect::{ColumnData, Fault, TableRows, Texts, Values};
use crate::record::Blobs;
use crate::spec::{Column, ColumnType, Mail, Mode, Spec, Table};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Headers, as a header list of a record has them.
pub type Headers = Vec<(String, Option<Vec<u8>>)>;

/// Rows of an own table, built one by one.
pub struct Builder {
    /// The table.
    pub table: Table,
    /// Its rows.
    pub rows: TableRows,
}

/// A value for [`Builder::push`].
pub enum Field<'a> {
    Int(i64),
    Text(&'a str),
    Bytes(Option<&'a [u8]>),
}

impl Builder {
    fn new(dialect: Dialect, name: &str, columns: &[(&str, ColumnType)]) -> Self {
        let name = match dialect {
            Dialect::Postgres => format!("gristmill.{name}"),
            Dialect::Sqlite => format!("gristmill_{name}"),
        };
        let column =
            |(name, ty): &(&str, ColumnType)| Column { name: (*name).to_owned(), ty: *ty, nullable: true };
        let empty = |(_, ty): &(&str, ColumnType)| {
            let values = match ty {
                ColumnType::Bigint => Values::Int(Vec::new()),
                ColumnType::Bytes => Values::Bytes(Blobs::default()),
                _ => Values::Text(Texts::default()),
            };
            Some(ColumnData { values, nulls: Vec::new() })
        };
        Builder {
            table: Table {
                name,
                columns: columns.iter().map(column).collect(),
                key: Vec::new(),
                mode: Mode::Append,
                create: false,
                initial: Vec::new(),
            },
            rows: TableRows { table: 0, records: Vec::new(), columns: columns.iter().map(empty).collect() },
        }
    }

    fn push(&mut self, record: u32, fields: &[Field<'_>]) {
        let row = u32::try_from(self.rows.records.len()).unwrap_or(u32::MAX);
        self.rows.records.push(record);
        for (column, field) in self.rows.columns.iter_mut().flatten().zip(fields) {
            match (&mut column.values, field) {
                (Values::Int(values), Field::Int(value)) => values.push(*value),
                (Values::Text(values), Field::Text(value)) => values.push(&value.replace('\0', "\u{fffd}")),
                (Values::Bytes(values), Field::Bytes(value)) => {
                    if value.is_none() {
                        column.nulls.push(row);
                    }
                    values.push(value.unwrap_or(&[]));
                }
                _ => {}
            }
        }
    }
}

const T: ColumnType = ColumnType::Text;
const I: ColumnType = ColumnType::Bigint;
const B: ColumnType = ColumnType::Bytes;

const RECORD: [(&str, ColumnType); 8] = [
    ("pipeline", T),
    ("topic", T),
    ("partition", I),
    ("record_offset", I),
    ("timestamp_ms", I),
    ("key", B),
    ("value", B),
    ("headers", T),
];

fn record_fields<'a>(lane: &'a LaneId, work: &'a Work, record: u32, headers: &'a str) -> [Field<'a>; 8] {
    let (batch, index) = (&work.batch, record as usize);
    [
        Field::Text(&lane.pipeline),
        Field::Text(&lane.topic),
        Field::Int(i64::from(lane.partition)),
        Field::Int(batch.offset(index)),
        Field::Int(batch.timestamp_ms(index)),
        Field::Bytes(batch.key(index)),
        Field::Bytes(batch.value(index)),
        Field::Text(headers),
    ]
}

/// The headers of a record of a batch.
pub fn headers_of(work: &Work, record: u32) -> Headers {
    let headers = work.batch.headers_of(record as usize);
    headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect()
}

/// Headers as the store keeps them: JSON, values in base64.
pub fn headers_text(headers: &Headers) -> String {
    let plain: Vec<(&str, Option<String>)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_ref().map(|v| BASE64.encode(v))))
        .collect();
    serde_json::to_string(&plain).unwrap_or_else(|_| "[]".to_owned())
}

/// Reads [`headers_text`] back.
pub fn headers_from(text: &str) -> Headers {
    let plain: Vec<(String, Option<String>)> = serde_json::from_str(text).unwrap_or_default();
    plain.into_iter().map(|(name, value)| (name, value.and_then(|v| BASE64.decode(v).ok()))).collect()
}

/// Faults as the store keeps them: JSON.
pub fn faults_text(faults: &[Fault]) -> String {
    serde_json::to_string(faults).unwrap_or_else(|_| "[]".to_owned())
}

/// The rows of dead letters.
pub fn dead_letters(dialect: Dialect, lane: &LaneId, work: &Work, dead: &[Dead], now_ms: i64) -> Builder {
    let own = [
        ("verdict", T),
        ("stage", T),
        ("digest", T),
        ("code", T),
        ("faults", T),
        ("attempts", I),
        ("at_ms", I),
    ];
    let mut builder = Builder::new(dialect, "dead_letters", &[RECORD.as_slice(), &own].concat());
    for letter in dead {
        let headers = headers_text(&headers_of(work, letter.record));
        let (failure, faults) = (&letter.failure, faults_text(&letter.failure.faults));
        let mut fields = Vec::from(record_fields(lane, work, letter.record, &headers));
        fields.extend([
            Field::Text(verdict_text(failure.verdict)),
            Field::Text(&failure.stage),
            Field::Text(&failure.digest),
            Field::Text(failure.code()),
            Field::Text(&faults),
            Field::Int(i64::from(letter.attempts)),
            Field::Int(now_ms),
        ]);
        builder.push(letter.record, &fields);
    }
    builder
}

fn verdict_text(verdict: crate::effect::Verdict) -> &'static str {
    match verdict {
        crate::effect::Verdict::Retry => "retry",
        crate::effect::Verdict::Reject => "reject",
    }
}

/// The rows of parked records.
pub fn parked(dialect: Dialect, lane: &LaneId, work: &Work, waiting: &[Waiting]) -> Builder {
    let own = [("due_ms", I), ("attempts", I), ("code", T), ("faults", T)];
    let mut builder = Builder::new(dialect, "parked", &[RECORD.as_slice(), &own].concat());
    for record in waiting {
        let headers = headers_text(&headers_of(work, record.record));
        let faults = faults_text(&record.failure.faults);
        let mut fields = Vec::from(record_fields(lane, work, record.record, &headers));
        fields.extend([
            Field::Int(record.due_ms),
            Field::Int(i64::from(record.attempts)),
            Field::Text(record.failure.code()),
            Field::Text(&faults),
        ]);
        builder.push(record.record, &fields);
    }
    builder
}

/// A mail on its way into the store.
pub struct NewMail<'a> {
    /// Its record.
    pub record: u32,
    /// Without angle brackets.
    pub message_id: String,
    /// What is sent.
    pub content: MailContent<'a>,
}

/// What a mail says, and to whom: JSON in the store.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct MailContent<'a> {
    pub to: std::borrow::Cow<'a, [String]>,
    pub subject: std::borrow::Cow<'a, str>,
    pub text: std::borrow::Cow<'a, str>,
    pub html: Option<std::borrow::Cow<'a, str>>,
}

/// The rows of mails.
pub fn mails(dialect: Dialect, spec: &Spec, mails: &[NewMail<'_>]) -> Builder {
    let columns = [("pipeline", T), ("message_id", T), ("sender", T), ("content", T), ("attempts_max", I)];
    let mut builder = Builder::new(dialect, "mails", &columns);
    // Of a pipeline without mail there are calls of webhooks only, which nobody sends.
    let (sender, attempts_max) =
        spec.mail.as_ref().map_or(("", Mail::ATTEMPTS_MAX), |mail| (mail.from.as_str(), mail.attempts_max));
    for mail in mails {
        let content = serde_json::to_string(&mail.content).unwrap_or_else(|_| "{}".to_owned());
        let fields = [
            Field::Text(&spec.name),
            Field::Text(&mail.message_id),
            Field::Text(sender),
            Field::Text(&content),
            Field::Int(i64::from(attempts_max)),
        ];
        builder.push(mail.record, &fields);
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_byte_for_byte() {
        let headers: Headers = vec![("a\0ö".into(), Some(vec![0, 255])), ("b".into(), None)];
        assert_eq!(headers_from(&headers_text(&headers)), headers);
    }
}
