//! A column of rows as one array argument, written straight into PostgreSQL's binary format: no text, no value of its
//! own per cell, one copy.

use crate::effect::Cell;
use crate::spec::ColumnType;
use crate::store::rows::Rows;
use crate::store::value::uuid;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL begins to count, and days.
const EPOCH_US: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i32 = 10_957;

/// How a column's values travel: the element's type and the array's, by the numbers that PostgreSQL gives its own types
/// for good.
#[derive(Clone, Copy, Debug)]
pub struct Travel {
    /// The element's type in SQL.
    pub name: &'static str,
    element: u32,
    array: u32,
    /// What the element is cast to behind UNNEST, if it travels as something else.
    pub cast: Option<&'static str>,
}

/// How values of a type travel. Never as varchar(n): a cast to it would cut silently.
pub fn travel(ty: ColumnType) -> Travel {
    let as_is = |name, element, array| Travel { name, element, array, cast: None };
    match ty {
        ColumnType::Text | ColumnType::Varchar(_) => as_is("text", 25, 1009),
        ColumnType::Smallint => as_is("int2", 21, 1005),
        ColumnType::Integer => as_is("int4", 23, 1007),
        ColumnType::Bigint => as_is("int8", 20, 1016),
        ColumnType::Double => as_is("float8", 701, 1022),
        ColumnType::Boolean => as_is("bool", 16, 1000),
        ColumnType::Bytes => as_is("bytea", 17, 1001),
        ColumnType::Uuid => as_is("uuid", 2950, 2951),
        ColumnType::Timestamptz => as_is("timestamptz", 1184, 1185),
        ColumnType::Timestamp => as_is("timestamp", 1114, 1115),
        ColumnType::Date => as_is("date", 1082, 1182),
        ColumnType::Numeric(_) => Travel { cast: Some("numeric"), ..as_is("text", 25, 1009) },
        ColumnType::Json => Travel { cast: Some("jsonb"), ..as_is("text", 25, 1009) },
    }
}

/// One column of rows.
pub struct Array<'a> {
    rows: &'a Rows<'a>,
    column: usize,
    travel: Travel,
}

impl<'a> Array<'a> {
    /// The values of a column.
    pub fn new(rows: &'a Rows<'a>, column: usize) -> Self {
        let ty = rows.ty(column);
        Array { rows, column, travel: travel(ty) }
    }
}

impl Type<Postgres> for Array<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1009))
    }
}

impl<'q> Encode<'q, Postgres> for Array<'_> {
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.travel.array)))
    }

    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let length = i32::try_from(self.rows.len())?;
        buffer.extend(1_i32.to_be_bytes()); // dimensions
        buffer.extend(1_i32.to_be_bytes()); // there may be NULLs
        buffer.extend(self.travel.element.to_be_bytes());
        buffer.extend(length.to_be_bytes());
        buffer.extend(1_i32.to_be_bytes()); // the first index
        for place in 0..self.rows.len() {
            element(buffer, self.travel.name, self.rows.cell(self.column, place))?;
        }
        Ok(IsNull::No)
    }
}

/// Writes a value, with its length before it; -1 is NULL.
fn element(buffer: &mut Vec<u8>, name: &str, cell: Cell<'_>) -> Result<(), BoxDynError> {
    let mut put = |bytes: &[u8]| -> Result<(), BoxDynError> {
        buffer.extend(i32::try_from(bytes.len())?.to_be_bytes());
        buffer.extend(bytes);
        Ok(())
    };
    match (name, cell) {
        (_, Cell::Null) => {
            buffer.extend((-1_i32).to_be_bytes());
            Ok(())
        }
        ("text", Cell::Text(text) | Cell::Decimal(text) | Cell::Json(text)) => put(text.as_bytes()),
        ("int2", Cell::Int(value)) => put(&i16::try_from(value)?.to_be_bytes()),
        ("int4", Cell::Int(value)) => put(&i32::try_from(value)?.to_be_bytes()),
        ("int8", Cell::Int(value)) => put(&value.to_be_bytes()),
        ("float8", Cell::Float(value)) => put(&value.to_be_bytes()),
        ("bool", Cell::Boolean(value)) => put(&[u8::from(value)]),
        ("uuid", cell) => put(&uuid(cell).ok_or("not a UUID")?),
        ("bytea", Cell::Bytes(bytes)) => put(bytes),
        ("timestamptz" | "timestamp", Cell::Timestamp(us)) => {
            put(&us.checked_sub(EPOCH_US).ok_or("timestamp out of range")?.to_be_bytes())
        }
        ("date", Cell::Date(days)) => {
            put(&days.checked_sub(EPOCH_DAYS).ok_or("date out of range")?.to_be_bytes())
        }
        (name, cell) => Err(format!("{cell:?} is no {name}").into()),
    }
}
