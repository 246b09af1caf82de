//! The SQL of rows, for both databases: what stands behind `WITH v AS (…)` (see [`super::sql::Sql::with_rows`]).

use super::sql::Dialect;
use crate::spec::{ColumnType, Mode, Table};

/// A name as SQL takes it literally.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's name; SQLite has no schemas, there the dot is part of the name.
pub fn table_name(dialect: Dialect, table: &Table) -> String {
    qualified(dialect, &table.name)
}

/// A name as the spec has it, in the store's own writing.
pub fn qualified(dialect: Dialect, name: &str) -> String {
    match (dialect, name.split_once('.')) {
        (Dialect::Postgres, Some((schema, name))) => format!("{}.{}", quoted(schema), quoted(name)),
        _ => quoted(name),
    }
}

/// A column's name by its place.
pub fn column_name(table: &Table, place: usize) -> String {
    table.columns.get(place).map_or_else(String::new, |column| quoted(&column.name))
}

fn list(places: impl IntoIterator<Item = usize>, separator: &str, item: impl Fn(usize) -> String) -> String {
    let items: Vec<String> = places.into_iter().map(item).collect();
    items.join(separator)
}

/// `t.a = v.c0 AND t.b = v.c1` for these columns of the table called `t`.
fn matches(alias: &str, table: &Table, columns: &[usize]) -> String {
    list(columns.iter().copied(), " AND ", |place| {
        format!("{alias}.{} = v.c{place}", column_name(table, place))
    })
}

/// Inserts all of `v`, with what the table's mode does about keys that are there already.
pub fn insert(dialect: Dialect, table: &Table) -> String {
    let columns = 0..table.columns.len();
    let names = list(columns.clone(), ", ", |place| column_name(table, place));
    let values = list(columns, ", ", |place| format!("v.c{place}"));
    let into = table_name(dialect, table);
    // Without WHERE, SQLite reads ON as the beginning of a join's condition.
    format!(
        "INSERT INTO {into} AS t ({names}) SELECT {values} FROM v WHERE true{}",
        on_conflict(dialect, table)
    )
}

fn on_conflict(dialect: Dialect, table: &Table) -> String {
    let unique = table.unique();
    let key = list(unique.iter().copied(), ", ", |place| column_name(table, place));
    let others: Vec<usize> = (0..table.columns.len()).filter(|place| !unique.contains(place)).collect();
    let set = |place: usize| match &table.mode {
        Mode::Sum { columns, .. } if columns.contains(&place) => {
            let name = column_name(table, place);
            format!("{name} = t.{name} + excluded.{name}")
        }
        _ => {
            let name = column_name(table, place);
            format!("{name} = excluded.{name}")
        }
    };
    let sets = list(others.iter().copied(), ", ", set);
    match &table.mode {
        Mode::Append => String::new(),
        Mode::LastWins | Mode::Sum { .. } if !others.is_empty() => {
            format!(" ON CONFLICT ({key}) DO UPDATE SET {sets}")
        }
        Mode::NewestWins { by } if !others.is_empty() => {
            let name = column_name(table, *by);
            let collate = collation(dialect, table, *by);
            format!(
                " ON CONFLICT ({key}) DO UPDATE SET {sets} WHERE (t.{name} IS NULL AND excluded.{name} IS NOT NULL) \
                 OR t.{name} < excluded.{name}{collate}"
            )
        }
        _ => format!(" ON CONFLICT ({key}) DO NOTHING"),
    }
}

/// Texts are ordered by their bytes in both databases.
pub fn collation(dialect: Dialect, table: &Table, place: usize) -> &'static str {
    let ty = table.columns.get(place).map(|column| column.ty);
    match (dialect, ty) {
        (Dialect::Postgres, Some(ColumnType::Text | ColumnType::Varchar(_))) => " COLLATE \"C\"",
        _ => "",
    }
}

/// Inserts all of `v` whose keys are free, in PostgreSQL, and answers the numbers of the others. Another lane's
/// insert of such a key that is not committed yet is waited for.
pub fn claim(table: &Table) -> String {
    let key = list(table.key.iter().copied(), ", ", |place| column_name(table, place));
    let joined = matches("t", table, &table.key);
    let first = table.key.first().map_or_else(String::new, |place| column_name(table, *place));
    let insert = insert(Dialect::Postgres, table);
    format!(
        ", t AS ({insert} RETURNING {key}) SELECT v.i FROM v LEFT JOIN t ON {joined} WHERE t.{first} IS NULL"
    )
}

/// The rows of the table that match `v` in these columns: the row's number in `v`, then these columns as
/// [`shown`] has them.
pub fn matching(dialect: Dialect, table: &Table, on: &[usize], columns: &[usize]) -> String {
    let shown = list(columns.iter().copied(), "", |place| format!(", {}", shown(dialect, table, place)));
    let (name, on) = (table_name(dialect, table), matches("t", table, on));
    format!("SELECT v.i{shown} FROM v JOIN {name} AS t ON {on}")
}

/// For PostgreSQL: which rows of the table that have a key of `v` have its content too.
pub fn same_content(table: &Table, content: &[usize]) -> String {
    let same = |place: usize| {
        let json = table.columns.get(place).is_some_and(|column| column.ty == ColumnType::Json);
        let cast = if json { "::jsonb" } else { "" };
        format!("t.{}{cast} IS NOT DISTINCT FROM v.c{place}", column_name(table, place))
    };
    let same =
        if content.is_empty() { "true".to_owned() } else { list(content.iter().copied(), " AND ", same) };
    let (name, on) = (table_name(Dialect::Postgres, table), matches("t", table, &table.key));
    format!("SELECT v.i, ({same}) FROM v JOIN {name} AS t ON {on}")
}

/// The row of a satellite that stands before each row of `v`, or at its very load date: number, load date, hashdiff.
pub fn row_before(dialect: Dialect, table: &Table, load: usize, hashdiff: usize) -> String {
    let (name, on) = (table_name(dialect, table), matches("t", table, &table.key));
    let before = matches("p", table, &table.key);
    let load_name = column_name(table, load);
    format!(
        "SELECT v.i, {}, {} FROM v JOIN {name} AS t ON {on} AND t.{load_name} = \
         (SELECT max(p.{load_name}) FROM {name} AS p WHERE {before} AND p.{load_name} <= v.c{load})",
        shown(dialect, table, load),
        shown(dialect, table, hashdiff)
    )
}

/// Deletes the rows of a satellite that are no changes any more because of `v`, which is in the table: those right behind a
/// row of `v` with the same hashdiff.
pub fn no_changes(dialect: Dialect, table: &Table, load: usize, hashdiff: usize) -> String {
    let (name, on) = (table_name(dialect, table), matches("t", table, &table.key));
    let between = matches("p", table, &table.key);
    let (load_name, hashdiff_name) = (column_name(table, load), column_name(table, hashdiff));
    let condition = format!(
        "{on} AND t.{hashdiff_name} = v.c{hashdiff} AND t.{load_name} > v.c{load} AND NOT EXISTS (SELECT 1 FROM {name} AS p \
         WHERE {between} AND p.{load_name} > v.c{load} AND p.{load_name} < t.{load_name})"
    );
    match dialect {
        Dialect::Postgres => format!("DELETE FROM {name} AS t USING v WHERE {condition}"),
        Dialect::Sqlite => {
            format!(
                "DELETE FROM {name} WHERE rowid IN (SELECT t.rowid FROM v JOIN {name} AS t ON {condition})"
            )
        }
    }
}

/// A column of `t` as both stores show it (see [`super::value::shown`]).
pub fn shown(dialect: Dialect, table: &Table, place: usize) -> String {
    let name = format!("t.{}", column_name(table, place));
    let Some(column) = table.columns.get(place).filter(|_| dialect == Dialect::Postgres) else { return name };
    match column.ty {
        ColumnType::Smallint | ColumnType::Integer | ColumnType::Bigint => format!("{name}::bigint"),
        ColumnType::Double => format!("{name}::double precision"),
        ColumnType::Boolean | ColumnType::Bytes => name,
        ColumnType::Timestamptz => {
            format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
        }
        ColumnType::Timestamp => format!("to_char({name}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"),
        ColumnType::Date => format!("to_char({name}, 'YYYY-MM-DD')"),
        _ => format!("{name}::text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Column;

    #[test]
    fn names_are_taken_literally() {
        let column = |name: &str| Column { name: name.into(), ty: ColumnType::Text, nullable: false };
        let table = Table {
            name: "dds.order".into(),
            columns: vec![column("User"), column("v")],
            key: vec![0],
            mode: Mode::LastWins,
            create: true,
        };
        assert_eq!(
            insert(Dialect::Postgres, &table),
            "INSERT INTO \"dds\".\"order\" AS t (\"User\", \"v\") SELECT v.c0, v.c1 FROM v WHERE true \
             ON CONFLICT (\"User\") DO UPDATE SET \"v\" = excluded.\"v\""
        );
        assert!(insert(Dialect::Sqlite, &table).starts_with("INSERT INTO \"dds.order\" AS t"));
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
