//! The SQL of rows, for both databases: what stands behind `WITH v AS (…)` (see [`super::sql::Sql::with_rows`]).

use super::sql::Dialect;
use crate::spec::{ColumnType, Effective, Mode, Table};

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

/// What is said of a satellite's states.
#[derive(Clone, Copy)]
pub struct States<'t> {
    /// In which database.
    pub dialect: Dialect,
    /// The satellite.
    pub table: &'t Table,
    /// The place of the load date.
    pub load: usize,
    /// The place of the hashdiff.
    pub hashdiff: usize,
    /// Where states have a start and an end.
    pub effective: Option<Effective>,
}

impl States<'_> {
    /// Whether a row begins a state, and is not the end of one: a condition that goes on with AND.
    fn begins(&self, alias: &str) -> String {
        self.effective.map_or_else(String::new, |effective| {
            format!(" AND {alias}.{} = {}", column_name(self.table, effective.end), self.for_ever(effective))
        })
    }

    /// The end that is not known, as it stands in the column.
    fn for_ever(&self, effective: Effective) -> String {
        let ty = self.table.columns.get(effective.end).map(|column| column.ty);
        let day = Effective::FOR_EVER;
        match (self.dialect, ty) {
            (Dialect::Postgres, Some(ColumnType::Timestamptz)) => format!("TIMESTAMPTZ '{day} 00:00:00+00'"),
            (Dialect::Postgres, Some(ColumnType::Timestamp)) => format!("TIMESTAMP '{day} 00:00:00'"),
            (Dialect::Postgres, _) => format!("DATE '{day}'"),
            (Dialect::Sqlite, Some(ColumnType::Timestamptz)) => format!("'{day}T00:00:00.000000Z'"),
            (Dialect::Sqlite, Some(ColumnType::Timestamp)) => format!("'{day}T00:00:00.000000'"),
            (Dialect::Sqlite, _) => format!("'{day}'"),
        }
    }

    /// The last row before each row of `v`, or where `or_at` the one at its very load date: number, load date, hashdiff.
    pub fn row_before(&self, or_at: bool) -> String {
        let before_or_at = if or_at { "<=" } else { "<" };
        let Self { dialect, table, load, hashdiff, .. } = *self;
        let (name, on) = (table_name(dialect, table), matches("t", table, &table.key));
        let before = matches("p", table, &table.key);
        let load_name = column_name(table, load);
        let (begins, also) = (self.begins("t"), self.begins("p"));
        format!(
            "SELECT v.i, {}, {} FROM v JOIN {name} AS t ON {on}{begins} AND t.{load_name} = \
             (SELECT max(p.{load_name}) FROM {name} AS p WHERE {before}{also} AND p.{load_name} {before_or_at} v.c{load})",
            shown(dialect, table, load),
            shown(dialect, table, hashdiff)
        )
    }

    /// Deletes the rows at the load dates of `v`.
    pub fn make_room(&self) -> String {
        let load = column_name(self.table, self.load);
        self.delete(&format!("{} AND t.{load} = v.c{}", self.begins("t"), self.load))
    }

    /// Deletes the rows that are no changes any more because of `v`, whose states are in the table: those right behind a row of
    /// `v` with the same hashdiff.
    pub fn no_changes(&self) -> String {
        let Self { table, load, hashdiff, .. } = *self;
        let (name, between) = (table_name(self.dialect, table), matches("p", table, &table.key));
        let (load_name, hashdiff_name) = (column_name(table, load), column_name(table, hashdiff));
        let (begins, also) = (self.begins("t"), self.begins("p"));
        self.delete(&format!(
            "{begins} AND t.{hashdiff_name} = v.c{hashdiff} AND t.{load_name} > v.c{load} AND NOT EXISTS (SELECT 1 FROM \
             {name} AS p WHERE {between}{also} AND p.{load_name} > v.c{load} AND p.{load_name} < t.{load_name})"
        ))
    }

    /// Deletes the ends of states of the keys of `v`.
    pub fn forget_ends(&self, effective: Effective) -> String {
        let end = column_name(self.table, effective.end);
        self.delete(&format!(" AND t.{end} <> {}", self.for_ever(effective)))
    }

    /// Adds the ends of the states of the keys of `v`: each is the row that began the state, under the load date of the next
    /// one, with that one's start for its end.
    pub fn ends(&self, effective: Effective) -> String {
        let Self { dialect, table, load, .. } = *self;
        let name = table_name(dialect, table);
        let keys = list(table.key.iter().copied(), ", ", |place| format!("v.c{place}"));
        let on = list(table.key.iter().copied(), " AND ", |place| {
            format!("t.{} = k.c{place}", column_name(table, place))
        });
        let of = list(table.key.iter().copied(), ", ", |place| format!("t.{}", column_name(table, place)));
        let columns = 0..table.columns.len();
        let names = list(columns.clone(), ", ", |place| column_name(table, place));
        let values = list(columns, ", ", |place| match place {
            place if place == effective.end => "o.next_start".to_owned(),
            place if place == load => "o.next_load".to_owned(),
            place => format!("o.{}", column_name(table, place)),
        });
        let (start, load, begins) =
            (column_name(table, effective.start), column_name(table, load), self.begins("t"));
        format!(
            ", k AS (SELECT DISTINCT {keys} FROM v), o AS (SELECT t.*, lead(t.{start}) OVER w AS next_start, \
             lead(t.{load}) OVER w AS next_load FROM {name} AS t JOIN k ON {on} WHERE true{begins} \
             WINDOW w AS (PARTITION BY {of} ORDER BY t.{load})) \
             INSERT INTO {name} ({names}) SELECT {values} FROM o WHERE o.next_load IS NOT NULL ON CONFLICT DO NOTHING"
        )
    }

    /// Deletes rows `t` that have a key of `v`, on a further condition.
    fn delete(&self, condition: &str) -> String {
        let (name, on) = (table_name(self.dialect, self.table), matches("t", self.table, &self.table.key));
        match self.dialect {
            Dialect::Postgres => format!("DELETE FROM {name} AS t USING v WHERE {on}{condition}"),
            Dialect::Sqlite => {
                format!(
                    "DELETE FROM {name} WHERE rowid IN (SELECT t.rowid FROM v JOIN {name} AS t ON {on}{condition})"
                )
            }
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
            initial: Vec::new(),
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
