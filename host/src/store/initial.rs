//! Rows that a table has from its beginning: what stands for "unknown" in a dimension, or a satellite's ghost.

use super::Error;
use super::fault::Fault;
use super::parsed::{column, parse};
use super::rows::Rows;
use super::shape::unfit;
use super::sql::Tx;
use super::write;
use crate::effect::TableRows;
use crate::spec::Table;

/// Writes the rows into a table that has just been made.
pub async fn write(tx: &mut dyn Tx, table: &Table) -> Result<(), Error> {
    for (number, row) in table.initial.iter().enumerate() {
        let mut columns = Vec::with_capacity(row.len());
        for (of, text) in table.columns.iter().zip(row) {
            columns.push(match text {
                None => None,
                Some(text) => {
                    let value = parse(table, of, text).ok_or_else(|| {
                        let (name, ty) = (&of.name, of.ty);
                        unfit(table, format!("initial[{number}].{name}: `{text}` is not a value of {ty}"))
                    })?;
                    Some(column(of.ty, &[value]))
                }
            });
        }
        let piece = TableRows { table: 0, records: vec![0], columns };
        write::append(tx, &Rows::all(table, &piece)).await.map_err(Fault::into_error)?;
    }
    Ok(())
}
