//! What PostgreSQL's catalog says of a table.

use crate::spec::{Column, ColumnType, Table};
use crate::store::Error;
use crate::store::shape::{Catalog, FoundColumn, Shape};
use crate::store::sql::{Dialect, Sql};
use crate::store::statements::table_name;

const CATALOG: Catalog = Catalog {
    columns: "SELECT a.attname::text, t.typname::text, \
     CASE WHEN a.atttypmod > 4 AND t.typname IN ('varchar', 'bpchar') THEN (a.atttypmod - 4)::bigint END, \
     a.attnotnull, (a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '') \
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    unique: "SELECT i.indexrelid::bigint, a.attname::text \
     FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]) \
     WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate \
     AND i.indpred IS NULL AND i.indexprs IS NULL ORDER BY 1",
};

/// Reads a table's shape; `None` if there is no such table.
pub async fn read(sql: &mut dyn Sql, table: &Table) -> Result<Option<Shape>, Error> {
    CATALOG.read(sql, &table_name(Dialect::Postgres, table)).await
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
