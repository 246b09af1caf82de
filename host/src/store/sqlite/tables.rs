//! The pipelines' tables in SQLite: made, extended or verified. What PostgreSQL's types refuse, checks with telling
//! names refuse here, also from other writers of the file.

use crate::spec::{Column, ColumnType, Spec, Table};
use crate::store::Error;
use crate::store::fault::Fault;
use crate::store::shape::{Catalog, FoundColumn, Shape, missing, verify, verify_hashdiff};
use crate::store::sql::{Arg, Dialect, Sql, Tx};
use crate::store::statements::{column_name, quoted, table_name};
use crate::store::tables::SEQUENCE;
use crate::store::{initial, recipes};

/// Makes, extends or verifies all tables of a spec.
pub async fn prepare(tx: &mut dyn Tx, spec: &Spec) -> Result<(), Error> {
    for table in spec.all_tables() {
        verify_hashdiff(table)?;
        let name = table_name(Dialect::Sqlite, table);
        match read(tx, table).await? {
            Some(found) => {
                for column in verify(table, &found, fits)? {
                    run(tx, &format!("ALTER TABLE {name} ADD COLUMN {}", definition(column))).await?;
                }
            }
            None if table.create => {
                run(tx, &create(table, &name)).await?;
                recipes::forget(tx, table).await?;
                initial::write(tx, table).await?;
            }
            None => return Err(missing(table)),
        }
    }
    Ok(())
}

async fn run(tx: &mut dyn Tx, sql: &str) -> Result<(), Error> {
    tx.execute(sql, &[]).await.map(|_| ()).map_err(Fault::into_error)
}

fn create(table: &Table, name: &str) -> String {
    let mut lines: Vec<String> = table.columns.iter().map(definition).collect();
    let unique: Vec<String> = table.unique().iter().map(|place| column_name(table, *place)).collect();
    if unique.is_empty() {
        lines.push(format!("{} INTEGER PRIMARY KEY", quoted(SEQUENCE)));
    } else {
        lines.push(format!("PRIMARY KEY ({})", unique.join(", ")));
    }
    format!("CREATE TABLE {name} ({}) STRICT", lines.join(", "))
}

fn definition(column: &Column) -> String {
    let name = quoted(&column.name);
    let storage = match column.ty {
        ColumnType::Smallint | ColumnType::Integer | ColumnType::Bigint | ColumnType::Boolean => "INTEGER",
        ColumnType::Double => "REAL",
        ColumnType::Bytes => "BLOB",
        _ => "TEXT",
    };
    let null = if column.nullable { "" } else { " NOT NULL" };
    let check = |sqlstate: &str, condition: String| {
        format!(
            " CONSTRAINT {} CHECK ({condition})",
            quoted(&format!("gristmill_{sqlstate}_{}", column.name))
        )
    };
    let check = match column.ty {
        ColumnType::Varchar(chars) => check("22001", format!("length({name}) <= {chars}")),
        ColumnType::Smallint => check("22003", format!("{name} BETWEEN {} AND {}", i16::MIN, i16::MAX)),
        ColumnType::Integer => check("22003", format!("{name} BETWEEN {} AND {}", i32::MIN, i32::MAX)),
        ColumnType::Boolean => check("22003", format!("{name} IN (0, 1)")),
        _ => String::new(),
    };
    format!("{name} {storage}{null}{check}")
}

const CATALOG: Catalog = Catalog {
    columns: "SELECT name, upper(type), NULL, \"notnull\", dflt_value IS NOT NULL OR (pk = 1 AND upper(type) = \
              'INTEGER') FROM pragma_table_info($1)",
    unique: "SELECT l.seq, i.name FROM pragma_index_list($1) AS l, pragma_index_info(l.name) AS i \
             WHERE l.\"unique\" = 1 AND l.partial = 0 ORDER BY l.seq, i.seqno",
};
const PRIMARY: &str = "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk";

/// Reads a table's shape; `None` if there is no such table.
pub async fn read(sql: &mut dyn Sql, table: &Table) -> Result<Option<Shape>, Error> {
    let Some(mut shape) = CATALOG.read(sql, &table.name).await? else { return Ok(None) };
    // A key of one INTEGER column has no index of its own.
    let args = [Arg::from(table.name.as_str())];
    let primary = sql.fetch(PRIMARY, &args).await.map_err(Fault::into_error)?;
    shape.unique.push(primary.iter().map(|row| row.text(0)).collect());
    Ok(Some(shape))
}

/// Whether a column of the database keeps what the spec puts there as it is: by SQLite's affinities, a numeric in a
/// column of type NUMERIC would become a float.
fn fits(column: &Column, found: &FoundColumn) -> bool {
    let has = |part: &str| found.ty.contains(part);
    let integer = has("INT");
    let text = !integer && (has("CHAR") || has("CLOB") || has("TEXT"));
    let blob = !integer && !text && (has("BLOB") || found.ty.is_empty());
    let real = !integer && !text && !blob && (has("REAL") || has("FLOA") || has("DOUB"));
    let numeric = !integer && !text && !blob && !real;
    match column.ty {
        ColumnType::Smallint | ColumnType::Integer | ColumnType::Bigint | ColumnType::Boolean => {
            integer || numeric
        }
        ColumnType::Double => real,
        ColumnType::Bytes => blob,
        ColumnType::Date | ColumnType::Timestamp | ColumnType::Timestamptz => {
            text || (numeric && !has("NUM"))
        }
        _ => text,
    }
}
