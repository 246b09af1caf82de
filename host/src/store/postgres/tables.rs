//! The pipelines' tables in PostgreSQL: made, extended or verified, by one host at a time.

use super::shape;
use crate::spec::{Column, ColumnType, Spec, Table};
use crate::store::Error;
use crate::store::fault::Fault;
use crate::store::shape::{missing, verify, verify_hashdiff};
use crate::store::sql::{Dialect, Tx};
use crate::store::statements::{column_name, quoted, table_name};
use crate::store::tables::SEQUENCE;
use crate::store::{initial, migrations, recipes};

/// Makes, extends or verifies all tables of a spec.
pub async fn prepare(tx: &mut dyn Tx, spec: &Spec) -> Result<(), Error> {
    let lock = "SELECT 1 FROM pg_advisory_xact_lock(hashtextextended('gristmill prepare tables', 0))";
    tx.fetch(lock, &[]).await.map_err(Fault::into_error)?;
    for table in spec.all_tables() {
        verify_hashdiff(table)?;
        not_our_own(tx, table).await?;
        match shape::read(tx, table).await? {
            Some(found) => {
                for column in verify(table, &found, |column, found| shape::fits(table, column, found))? {
                    let name = table_name(Dialect::Postgres, table);
                    run(tx, &format!("ALTER TABLE {name} ADD COLUMN {}", definition(table, column))).await?;
                }
            }
            None if table.create => {
                create(tx, table).await?;
                recipes::forget(tx, table).await?;
                initial::write(tx, table).await?;
            }
            None => return Err(missing(table)),
        }
    }
    Ok(())
}

/// Refuses a table that is one of Gristmill's own. Without a schema in its name a table is looked for along the role's
/// `search_path`, and that of a role called `gristmill` begins with the schema of that name.
async fn not_our_own(tx: &mut dyn Tx, table: &Table) -> Result<(), Error> {
    let own = migrations::OWN_TABLES.map(|name| format!("'{name}'")).join(", ");
    let text = format!(
        "SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'gristmill' \
         AND c.relname IN ({own}) AND c.oid = to_regclass($1)"
    );
    let name = table_name(Dialect::Postgres, table);
    let found = tx.fetch(&text, &[name.as_str().into()]).await.map_err(Fault::into_error)?;
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::Unfit {
        message: format!(
            "table {0}: the role's search_path leads to gristmill.{0}, which is one of Gristmill's own: give the table its \
             schema (`public.{0}`) or another name, or use a role that is not called gristmill",
            table.name
        ),
    })
}

async fn run(tx: &mut dyn Tx, sql: &str) -> Result<(), Error> {
    tx.execute(sql, &[]).await.map(|_| ()).map_err(Fault::into_error)
}

async fn create(tx: &mut dyn Tx, table: &Table) -> Result<(), Error> {
    if let Some((schema, _)) = table.name.split_once('.') {
        // Asking first: who may not create schemas may still use one that is there.
        let there = tx.fetch("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[schema.into()]).await;
        if there.map_err(Fault::into_error)?.is_empty() {
            run(tx, &format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema))).await?;
        }
    }
    let mut lines: Vec<String> = table.columns.iter().map(|column| definition(table, column)).collect();
    let unique: Vec<String> = table.unique().iter().map(|place| column_name(table, *place)).collect();
    if unique.is_empty() {
        lines.push(format!("{} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", quoted(SEQUENCE)));
    } else {
        lines.push(format!("PRIMARY KEY ({})", unique.join(", ")));
    }
    let name = table_name(Dialect::Postgres, table);
    run(tx, &format!("CREATE TABLE {name} ({})", lines.join(", "))).await
}

fn definition(table: &Table, column: &Column) -> String {
    let name = quoted(&column.name);
    let ty = match column.ty {
        ColumnType::Double => "double precision".to_owned(),
        ColumnType::Bytes => "bytea".to_owned(),
        ColumnType::Json => "jsonb".to_owned(),
        ty => ty.to_string(),
    };
    let unique = table.unique().iter().any(|place| table.columns.get(*place) == Some(column));
    let text = matches!(column.ty, ColumnType::Text | ColumnType::Varchar(_));
    // Keys are paged through by their bytes, as in SQLite: then the key's own index serves.
    let collate = if unique && text { " COLLATE \"C\"" } else { "" };
    let null = if column.nullable { "" } else { " NOT NULL" };
    format!("{name} {ty}{collate}{null}")
}
