//! What a table in the database looks like, compared with what the pipeline spec says: the same rules for both
//! databases. Errors name table and column and say what to do.

use super::Error;
use super::fault::Fault;
use super::sql::{Arg, Row, Sql};
use crate::spec::{Column, ColumnType, Mode, Table};

/// A table as it is.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    pub columns: Vec<FoundColumn>,
    /// The sets of columns that are unique together, whole and without conditions.
    pub unique: Vec<Vec<String>>,
}

/// A column as it is.
#[derive(Clone, Debug)]
pub struct FoundColumn {
    pub name: String,
    /// The database's name for its type.
    pub ty: String,
    /// Characters at most, of a varchar.
    pub length: Option<u32>,
    pub not_null: bool,
    /// Whether an insert may leave it out.
    pub has_default: bool,
}

/// What to ask a database about a table, by its name (`$1`).
pub struct Catalog {
    /// The columns: name, type, length, whether they refuse NULL, whether an insert may leave them out.
    pub columns: &'static str,
    /// The unique indexes' columns: the index's number, the column's name; by index.
    pub unique: &'static str,
}

impl Catalog {
    /// Reads a table's shape; `None` if there is no such table.
    pub async fn read(&self, sql: &mut dyn Sql, name: &str) -> Result<Option<Shape>, Error> {
        let args = [Arg::from(name)];
        let rows = sql.fetch(self.columns, &args).await.map_err(Fault::into_error)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let column = |row: &Row| FoundColumn {
            name: row.text(0),
            ty: row.text(1),
            length: row.opt_int(2).and_then(|length| u32::try_from(length).ok()),
            not_null: row.int(3) == 1,
            has_default: row.int(4) == 1,
        };
        let mut shape = Shape { columns: rows.iter().map(column).collect(), unique: Vec::new() };
        let indexes = sql.fetch(self.unique, &args).await.map_err(Fault::into_error)?;
        for index in indexes.chunk_by(|a, b| a.int(0) == b.int(0)) {
            shape.unique.push(index.iter().map(|row| row.text(1)).collect());
        }
        Ok(Some(shape))
    }
}

pub(super) fn unfit(table: &Table, what: String) -> Error {
    Error::Unfit { message: format!("table {}: {what}", table.name) }
}

/// There is no such table and the host may not make it.
pub fn missing(table: &Table) -> Error {
    unfit(
        table,
        "is not in the database, and `create = false` says that the host does not make it: make it, or correct the \
         table's name in the spec"
            .to_owned(),
    )
}

/// Compares a table with its spec; `fits` is whether a found type can hold a column. Answers the columns to add.
pub fn verify<'t>(
    table: &'t Table,
    found: &Shape,
    fits: impl Fn(&Column, &FoundColumn) -> bool,
) -> Result<Vec<&'t Column>, Error> {
    let mut add = Vec::new();
    for column in &table.columns {
        match found.columns.iter().find(|found| found.name == column.name) {
            Some(found) => verify_column(table, column, found, &fits)?,
            None if table.create && column.nullable => add.push(column),
            None if table.create => {
                return Err(unfit(
                    table,
                    format!(
                        "the column {} is new and not nullable, which rows that are there cannot have: say \
                         `nullable = true` in the spec, or add the column by hand",
                        column.name
                    ),
                ));
            }
            None => {
                let say = format!(
                    "has no column {} ({}): add it, or take it out of the spec",
                    column.name, column.ty
                );
                return Err(unfit(table, say));
            }
        }
    }
    verify_others(table, found)?;
    verify_unique(table, found)?;
    Ok(add)
}

fn verify_column(
    table: &Table,
    column: &Column,
    found: &FoundColumn,
    fits: impl Fn(&Column, &FoundColumn) -> bool,
) -> Result<(), Error> {
    if !fits(column, found) {
        let say = format!(
            "the column {} is of type {} in the database and {} in the spec: make them agree",
            column.name, found.ty, column.ty
        );
        return Err(unfit(table, say));
    }
    let wanted = if let ColumnType::Varchar(chars) = column.ty { Some(chars) } else { None };
    if table.create && found.length.is_some_and(|length| wanted.is_none_or(|wanted| wanted > length)) {
        let say = format!(
            "the column {} is shorter in the database ({} characters) than in the spec ({}): widen it with ALTER \
             TABLE, or say `create = false` if that length is meant to refuse rows",
            column.name,
            found.length.unwrap_or_default(),
            column.ty
        );
        return Err(unfit(table, say));
    }
    if column.nullable && found.not_null {
        let say = format!(
            "the column {} is NOT NULL in the database and nullable in the spec: make them agree",
            column.name
        );
        return Err(unfit(table, say));
    }
    Ok(())
}

/// A column that the spec does not know and that every insert would have to fill.
fn verify_others(table: &Table, found: &Shape) -> Result<(), Error> {
    let known = |name: &str| table.columns.iter().any(|column| column.name == name);
    match found.columns.iter().find(|found| found.not_null && !found.has_default && !known(&found.name)) {
        None => Ok(()),
        Some(column) => Err(unfit(
            table,
            format!(
                "the column {} is NOT NULL without a default and not in the spec, so no row could be inserted: add \
                 it to the spec, give it a default, or drop it",
                column.name
            ),
        )),
    }
}

fn verify_unique(table: &Table, found: &Shape) -> Result<(), Error> {
    let wanted: Vec<&str> = table
        .unique()
        .iter()
        .filter_map(|place| table.columns.get(*place))
        .map(|column| column.name.as_str())
        .collect();
    let same = |unique: &Vec<String>| {
        unique.len() == wanted.len() && wanted.iter().all(|name| unique.iter().any(|other| other == name))
    };
    if table.mode == Mode::Append || found.unique.iter().any(same) {
        return Ok(());
    }
    let columns = wanted.join(", ");
    Err(unfit(
        table,
        format!(
            "the mode `{}` needs a primary key or unique constraint on ({columns}), and there is none: ALTER TABLE {} \
             ADD UNIQUE ({columns})",
            table.mode.name(),
            table.name
        ),
    ))
}

/// Satellites compare hashdiffs as the databases show them; only of these types are they the same bytes everywhere.
pub fn verify_hashdiff(table: &Table) -> Result<(), Error> {
    let Mode::Satellite { hashdiff, .. } = table.mode else { return Ok(()) };
    let Some(column) = table.columns.get(hashdiff) else { return Ok(()) };
    use ColumnType::{Bigint, Bytes, Integer, Text, Uuid, Varchar};
    if matches!(column.ty, Text | Varchar(_) | Bytes | Uuid | Bigint | Integer) {
        return Ok(());
    }
    let say = format!(
        "the hashdiff {} must be a text, bytes, a uuid or an integer, not {}",
        column.name, column.ty
    );
    Err(unfit(table, say))
}
