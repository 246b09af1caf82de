//! Values that come as texts, from a filter, a page's end, a lookup's key: read by the column's type.

use super::value::{self, uuid_of_text};
use crate::effect::{Cell, ColumnData, Texts, Values};
use crate::record::Blobs;
use crate::spec::{Column, ColumnType, Table};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// A value of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    Int(i64),
    Float(f64),
    Boolean(bool),
    Text(String),
    Bytes(Vec<u8>),
    Date(i32),
    Timestamp(i64),
    Decimal(String),
}

impl Parsed {
    /// The value as a cell.
    pub fn cell(&self) -> Cell<'_> {
        match self {
            Parsed::Int(value) => Cell::Int(*value),
            Parsed::Float(value) => Cell::Float(*value),
            Parsed::Boolean(value) => Cell::Boolean(*value),
            Parsed::Text(text) => Cell::Text(text),
            Parsed::Bytes(bytes) => Cell::Bytes(bytes),
            Parsed::Date(days) => Cell::Date(*days),
            Parsed::Timestamp(us) => Cell::Timestamp(*us),
            Parsed::Decimal(text) => Cell::Decimal(text),
        }
    }
}

/// Reads a text as a value of a column, as the store shows it: bytes in base64, dates and times as in
/// [`super::TablePage`]. `None` if it is none, or none that the column can hold.
pub fn parse(table: &Table, column: &Column, text: &str) -> Option<Parsed> {
    let parsed = match column.ty {
        ColumnType::Smallint | ColumnType::Integer | ColumnType::Bigint => Parsed::Int(text.parse().ok()?),
        ColumnType::Double => Parsed::Float(text.parse().ok()?),
        ColumnType::Boolean => Parsed::Boolean(text.parse().ok()?),
        ColumnType::Text | ColumnType::Varchar(_) => Parsed::Text(text.to_owned()),
        ColumnType::Bytes => Parsed::Bytes(BASE64.decode(text).ok()?),
        ColumnType::Uuid => Parsed::Bytes(uuid_of_text(text)?.to_vec()),
        ColumnType::Date => Parsed::Date(days(text)?),
        ColumnType::Timestamptz => Parsed::Timestamp(micros(text)?),
        ColumnType::Timestamp => {
            let zoned = if text.ends_with('Z') { text.to_owned() } else { format!("{text}Z") };
            Parsed::Timestamp(micros(&zoned)?)
        }
        ColumnType::Numeric(_) => Parsed::Decimal(text.to_owned()),
        ColumnType::Json => return None,
    };
    value::check(table, column, parsed.cell()).is_ok().then_some(parsed)
}

fn days(text: &str) -> Option<i32> {
    let date = Date::parse(text, format_description!("[year]-[month]-[day]")).ok()?;
    Some(date.to_julian_day() - 2_440_588)
}

fn micros(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos().div_euclid(1000)).ok()
}

/// A column of parsed values of one type.
pub fn column(ty: ColumnType, parsed: &[Parsed]) -> ColumnData {
    let mut texts = Texts::default();
    let (mut ints, mut floats, mut booleans, mut dates) = (vec![], vec![], vec![], vec![]);
    let mut blobs = Blobs::default();
    for value in parsed {
        match value {
            Parsed::Int(value) | Parsed::Timestamp(value) => ints.push(*value),
            Parsed::Float(value) => floats.push(*value),
            Parsed::Boolean(value) => booleans.push(*value),
            Parsed::Text(text) | Parsed::Decimal(text) => texts.push(text),
            Parsed::Bytes(bytes) => blobs.push(bytes),
            Parsed::Date(days) => dates.push(*days),
        }
    }
    let values = match ty {
        ColumnType::Smallint | ColumnType::Integer | ColumnType::Bigint => Values::Int(ints),
        ColumnType::Double => Values::Float(floats),
        ColumnType::Boolean => Values::Boolean(booleans),
        ColumnType::Bytes => Values::Bytes(blobs),
        ColumnType::Uuid => Values::Fixed { width: 16, data: blobs.data },
        ColumnType::Date => Values::Date(dates),
        ColumnType::Timestamptz | ColumnType::Timestamp => Values::Timestamp(ints),
        ColumnType::Numeric(_) => Values::Decimal(texts),
        ColumnType::Text | ColumnType::Varchar(_) | ColumnType::Json => Values::Text(texts),
    };
    ColumnData { values, nulls: Vec::new() }
}
