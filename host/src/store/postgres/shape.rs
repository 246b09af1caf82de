//! What PostgreSQL's catalog says of a table.

use crate::spec::{Column, ColumnType, Table};
use crate::store::Error;
use crate::store::fault::Fault;
use crate::store::shape::{FoundColumn, Shape};
use crate::store::sql::{Arg, Dialect, Sql};
use crate::store::statements::table_name;

const COLUMNS: &str = "SELECT a.attname::text, t.typname::text, \
     CASE WHEN a.atttypmod > 4 AND t.typname IN ('varchar', 'bpchar') THEN (a.atttypmod - 4)::bigint END, \
     a.attnotnull, (a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '') \
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const UNIQUE: &str = "SELECT i.indexrelid::bigint, a.attname::text \
     FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]) \
     WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate \
     AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY 1";

/// Reads a table's shape; `None` if there is no such table.
pub async fn read(sql: &mut dyn Sql, table: &Table) -> Result<Option<Shape>, Error> {
    let name = table_name(Dialect::Postgres, table);
    let args = [Arg::from(name.as_str())];
    let rows = sql.fetch(COLUMNS, &args).await.map_err(Fault::into_error)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let column = |row: &crate::store::sql::Row| FoundColumn {
        name: row.text(0),
        ty: row.text(1),
        length: row.opt_int(2).and_then(|length| u32::try_from(length).ok()),
        not_null: row.int(3) == 1,
        has_default: row.int(4) == 1,
    };
    let mut shape = Shape { columns: rows.iter().map(column).collect(), unique: Vec::new() };
    let indexes = sql.fetch(UNIQUE, &args).await.map_err(Fault::into_error)?;
    for index in indexes.chunk_by(|a, b| a.int(0) == b.int(0)) {
        shape.unique.push(index.iter().map(|row| row.text(1)).collect());
    }
    Ok(Some(shape))
}

/// Whether a column of the database can hold what the spec puts there. A table that the DBA makes may be narrower: what
/// does not fit is refused row by row.
pub fn fits(table: &Table, column: &Column, found: &FoundColumn) -> bool {
    let one_of = |names: &[&str]| names.contains(&found.ty.as_str());
    match column.ty {
        ColumnType::Text | ColumnType::Varchar(_) => one_of(&["text", "varchar", "bpchar", "citext"]),
        ColumnType::Smallint => one_of(&["int2", "int4", "int8", "numeric"]),
        ColumnType::Integer => one_of(&["int4", "int8", "numeric"]) || (!table.create && one_of(&["int2"])),
        ColumnType::Bigint => one_of(&["int8", "numeric"]) || (!table.create && one_of(&["int2", "int4"])),
        ColumnType::Double => one_of(&["float8"]),
        ColumnType::Boolean => one_of(&["bool"]),
        ColumnType::Bytes => one_of(&["bytea"]),
        ColumnType::Uuid => one_of(&["uuid"]),
        ColumnType::Timestamptz => one_of(&["timestamptz"]),
        ColumnType::Timestamp => one_of(&["timestamp"]),
        ColumnType::Date => one_of(&["date"]),
        ColumnType::Numeric(_) => one_of(&["numeric"]),
        ColumnType::Json => one_of(&["json", "jsonb"]),
    }
}
