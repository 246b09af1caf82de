//! How the keys of a table's rows are made, where a module says so. Keys of two recipes do not meet: a table has one.

use super::Error;
use super::fault::Fault;
use super::sql::{Arg, Sql};
use crate::spec::Table;

/// A table's name, and how a module makes its keys.
pub type Recipe = (String, String);

/// Whether the tables have these recipes, or none yet.
pub async fn check(sql: &mut dyn Sql, recipes: &[Recipe]) -> Result<(), Error> {
    for (table, recipe) in recipes {
        let kept = sql
            .fetch("SELECT recipe FROM gristmill.recipes WHERE table_name = $1", &[Arg::from(&**table)])
            .await
            .map_err(Fault::into_error)?;
        let Some(kept) = kept.first().map(|row| row.text(0)).filter(|kept| kept != recipe) else { continue };
        return Err(Error::Unfit {
            message: format!(
                "table {table}: its keys are made by the recipe `{kept}`, and here they would be made by `{recipe}`: keys of \
                 two recipes do not meet. Write to a table of its own, or drop this one and load it anew"
            ),
        });
    }
    Ok(())
}

/// Keeps recipes for the tables that have none yet; then as [`check`].
pub async fn keep(sql: &mut dyn Sql, recipes: &[Recipe]) -> Result<(), Error> {
    let text = "INSERT INTO gristmill.recipes (table_name, recipe) VALUES ($1, $2) ON CONFLICT (table_name) DO NOTHING";
    for (table, recipe) in recipes {
        let args = [Arg::from(&**table), Arg::from(&**recipe)];
        sql.execute(text, &args).await.map_err(Fault::into_error)?;
    }
    check(sql, recipes).await
}

/// Forgets the recipe of a table that is made anew.
pub async fn forget(sql: &mut dyn Sql, table: &Table) -> Result<(), Error> {
    let text = "DELETE FROM gristmill.recipes WHERE table_name = $1";
    sql.execute(text, &[Arg::from(table.name.as_str())]).await.map(|_| ()).map_err(Fault::into_error)
}
