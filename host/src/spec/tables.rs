//! Tables of a spec, checked.

use super::error::suggestion;
use super::raw::{RawColumn, RawTable, RawView};
use super::validate::Check;
use super::{Column, ColumnType, Counted, Effective, Mode, Piece, Table, View};

const MODES: [&str; 7] = ["append", "first-wins", "last-wins", "newest-wins", "sum", "satellite", "once"];

/// Columns of the host's own in paths and queries of `GET` routes: no column may be called so.
const RESERVED_COLUMNS: [&str; 2] = ["limit", "after"];

/// Characters of a name that PostgreSQL keeps.
const NAME_LENGTH_MAX: usize = 63;

/// Whether a text is the name of a table's part or of a column.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.len() <= NAME_LENGTH_MAX
}

impl Check {
    /// A table, and all that is wrong with it.
    pub(super) fn table(&mut self, index: usize, raw: RawTable) -> Table {
        let key = format!("table[{index}]");
        if raw.name.split('.').count() > 2 || !raw.name.split('.').all(is_name) {
            self.issue(
                &format!("{key}.name"),
                "a table is `name` or `schema.name`, of letters, digits and `_`",
            );
        }
        if raw.name.split('.').next() == Some("gristmill") || raw.name.starts_with("gristmill_") {
            self.issue(&format!("{key}.name"), "names that begin with `gristmill` are the host's own");
        }
        let columns: Vec<Column> = raw
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| {
                let all: Vec<&RawColumn> = raw.columns.iter().collect();
                self.column(&format!("{key}.columns[{place}]"), column, &all)
            })
            .collect();
        if columns.is_empty() {
            self.issue(&format!("{key}.columns"), "a table needs at least one column");
        }
        let places = self.places(&format!("{key}.key"), &raw.key, &columns);
        for &place in &places {
            let Some(column) = columns.get(place) else { continue };
            if !column.ty.can_be_key() {
                self.issue(
                    &format!("{key}.key"),
                    format!("`{}`: a {} cannot be part of a key", column.name, column.ty),
                );
            }
            if column.nullable {
                self.issue(
                    &format!("{key}.key"),
                    format!("`{}` is nullable and cannot be part of a key", column.name),
                );
            }
        }
        let mode = self.mode(&key, &raw, &columns, &places);
        let initial = raw.initial.iter().enumerate();
        let initial =
            initial.map(|(row, given)| self.initial(&format!("{key}.initial[{row}]"), given, &columns));
        let initial = initial.collect();
        Table { name: raw.name, columns, key: places, mode, create: raw.create, initial }
    }

    /// A row that the table has from its beginning.
    fn initial(&mut self, key: &str, given: &toml::Table, columns: &[Column]) -> Vec<Option<String>> {
        for name in given.keys() {
            self.place(&format!("{key}.{name}"), name, columns);
        }
        let text = |check: &mut Self, column: &Column| {
            let value = given.get(&column.name);
            if value.is_none() && !column.nullable {
                check.issue(key, format!("gives no `{}`, which must not be NULL", column.name));
            }
            match value? {
                toml::Value::String(text) => Some(text.clone()),
                toml::Value::Integer(value) => Some(value.to_string()),
                toml::Value::Float(value) => Some(value.to_string()),
                toml::Value::Boolean(value) => Some(value.to_string()),
                toml::Value::Datetime(value) => Some(value.to_string()),
                toml::Value::Table(_) | toml::Value::Array(_) => {
                    check.issue(
                        &format!("{key}.{}", column.name),
                        "a text, a number, a truth value or a date",
                    );
                    None
                }
            }
        };
        columns.iter().map(|column| text(self, column)).collect()
    }

    /// A view, and all that is wrong with it.
    pub(super) fn view(&mut self, index: usize, raw: RawView, tables: &[Table]) -> View {
        let key = format!("view[{index}]");
        if !is_name(&raw.name) {
            self.issue(&format!("{key}.name"), "a view's name is of letters, digits and `_`, 63 at most");
        }
        let all: Vec<&RawColumn> = raw.columns.iter().collect();
        let columns: Vec<Column> = raw
            .columns
            .iter()
            .enumerate()
            .map(|(place, column)| self.column(&format!("{key}.columns[{place}]"), column, &all))
            .collect();
        let places = self.places(&format!("{key}.key"), &raw.key, &columns);
        if raw.key.is_empty() {
            self.issue(&format!("{key}.key"), "say which columns tell the rows apart: pages need it");
        }
        for column in places.iter().filter_map(|place| columns.get(*place)).filter(|one| one.nullable) {
            let message = format!("`{}` is nullable and cannot be part of a key", column.name);
            self.issue(&format!("{key}.key"), message);
        }
        let sql = View::pieces(&raw.sql).unwrap_or_else(|what| {
            self.issue(&format!("{key}.sql"), what);
            Vec::new()
        });
        for piece in &sql {
            if let Piece::Table(name) = piece
                && !tables.iter().any(|table| table.name == *name)
            {
                let hint = suggestion(name, tables.iter().map(|table| table.name.as_str()));
                self.issue(&format!("{key}.sql"), format!("there is no table `{name}`{hint}"));
            }
        }
        let shape = Table {
            name: raw.name,
            columns,
            key: places,
            mode: Mode::LastWins,
            create: false,
            initial: Vec::new(),
        };
        View { about: raw.about, shape, sql }
    }

    fn column(&mut self, key: &str, raw: &RawColumn, all: &[&RawColumn]) -> Column {
        if !is_name(&raw.name) {
            self.issue(&format!("{key}.name"), "a column's name is of letters, digits and `_`, 63 at most");
        }
        if RESERVED_COLUMNS.contains(&raw.name.as_str()) {
            self.issue(&format!("{key}.name"), "`limit` and `after` page through rows and cannot be columns");
        }
        if all.iter().filter(|other| other.name.eq_ignore_ascii_case(&raw.name)).count() > 1 {
            self.issue(&format!("{key}.name"), format!("the column `{}` stands here twice", raw.name));
        }
        let ty = ColumnType::parse(&raw.ty).unwrap_or_else(|| {
            let hint = suggestion(&raw.ty, ColumnType::NAMES);
            self.issue(&format!("{key}.type"), format!("unknown type `{}`{hint}", raw.ty));
            ColumnType::Text
        });
        Column { name: raw.name.clone(), ty, nullable: raw.nullable }
    }

    fn place(&mut self, key: &str, name: &str, columns: &[Column]) -> Option<usize> {
        let place = columns.iter().position(|column| column.name == name);
        if place.is_none() {
            let hint = suggestion(name, columns.iter().map(|column| column.name.as_str()));
            self.issue(key, format!("there is no column `{name}`{hint}"));
        }
        place
    }

    fn places(&mut self, key: &str, names: &[String], columns: &[Column]) -> Vec<usize> {
        let mut places = Vec::new();
        for name in names {
            if let Some(place) = self.place(key, name, columns) {
                if places.contains(&place) {
                    self.issue(key, format!("`{name}` stands here twice"));
                } else {
                    places.push(place);
                }
            }
        }
        places
    }

    fn mode(&mut self, key: &str, raw: &RawTable, columns: &[Column], places: &[usize]) -> Mode {
        if raw.mode != "append" && raw.key.is_empty() {
            self.issue(&format!("{key}.key"), format!("the mode `{}` needs a key", raw.mode));
        }
        let options = [
            ("newest_by", raw.newest_by.is_some(), "newest-wins"),
            ("sum", !raw.sum.is_empty(), "sum"),
            ("counted_by", !raw.counted_by.is_empty(), "sum"),
            ("hashdiff", raw.hashdiff.is_some(), "satellite"),
            ("load", raw.load.is_some(), "satellite"),
            ("children", !raw.children.is_empty(), "satellite"),
            ("start", raw.start.is_some(), "satellite"),
            ("end", raw.end.is_some(), "satellite"),
            ("content", raw.content.is_some(), "once"),
        ];
        for (option, given, mode) in options {
            if given && raw.mode != mode {
                self.issue(&format!("{key}.{option}"), format!("goes with mode = \"{mode}\" only"));
            }
        }
        let named = |check: &mut Self, option: &str, name: &Option<String>| match name {
            Some(name) => check.place(&format!("{key}.{option}"), name, columns).unwrap_or(0),
            None => {
                check.issue(key, format!("the mode `{}` needs `{option} = \"column\"`", raw.mode));
                0
            }
        };
        match raw.mode.as_str() {
            "append" => Mode::Append,
            "first-wins" => Mode::FirstWins,
            "last-wins" => Mode::LastWins,
            "newest-wins" => Mode::NewestWins { by: named(self, "newest_by", &raw.newest_by) },
            "satellite" => {
                let children = self.places(&format!("{key}.children"), &raw.children, columns);
                for column in children.iter().filter_map(|place| columns.get(*place)) {
                    if column.nullable || !column.ty.can_be_key() {
                        let message = format!(
                            "`{}` is part of the primary key: not nullable, no double or json",
                            column.name
                        );
                        self.issue(&format!("{key}.children"), message);
                    }
                }
                let mode = Mode::Satellite {
                    hashdiff: named(self, "hashdiff", &raw.hashdiff),
                    load: named(self, "load", &raw.load),
                    children,
                    effective: self.effective(key, raw, columns),
                };
                if let Mode::Satellite { load, .. } = &mode {
                    let load = *load;
                    use ColumnType::{Bigint, Date, Integer, Timestamp, Timestamptz};
                    let ordered = |ty| matches!(ty, Timestamptz | Timestamp | Date | Bigint | Integer);
                    if columns.get(load).is_some_and(|column| !ordered(column.ty) || column.nullable) {
                        self.issue(
                            &format!("{key}.load"),
                            "must be a date, a timestamp or an integer, not nullable",
                        );
                    }
                }
                mode
            }
            "sum" => {
                let sum = self.places(&format!("{key}.sum"), &raw.sum, columns);
                if raw.sum.is_empty() {
                    self.issue(key, "the mode `sum` needs `sum = [\"column\"]`");
                }
                for &place in &sum {
                    let Some(column) = columns.get(place) else { continue };
                    if !column.ty.can_be_summed() || column.nullable || places.contains(&place) {
                        let message =
                            format!("`{}` must be a number, not nullable, not in the key", column.name);
                        self.issue(&format!("{key}.sum"), message);
                    }
                }
                Mode::Sum { columns: sum, counted: self.counted(key, raw, columns, places).map(Box::new) }
            }
            "once" => {
                let content = match &raw.content {
                    Some(names) => self.places(&format!("{key}.content"), names, columns),
                    None => (0..columns.len()).collect(),
                };
                Mode::Once { content: content.into_iter().filter(|place| !places.contains(place)).collect() }
            }
            unknown => {
                let hint = suggestion(unknown, MODES);
                self.issue(&format!("{key}.mode"), format!("unknown mode `{unknown}`{hint}"));
                Mode::Append
            }
        }
    }

    fn effective(&mut self, key: &str, raw: &RawTable, columns: &[Column]) -> Option<Effective> {
        let (start, end) = match (&raw.start, &raw.end) {
            (None, None) => return None,
            (Some(start), Some(end)) => (start, end),
            _ => {
                self.issue(key, "`start` and `end` go together");
                return None;
            }
        };
        if !raw.children.is_empty() {
            self.issue(&format!("{key}.children"), "a state with a start and an end is one row");
        }
        let place = |check: &mut Self, option: &str, name: &str| {
            let at = format!("{key}.{option}");
            let place = check.place(&at, name, columns)?;
            use ColumnType::{Date, Timestamp, Timestamptz};
            let fits =
                |column: &Column| matches!(column.ty, Date | Timestamp | Timestamptz) && !column.nullable;
            if !columns.get(place).is_some_and(fits) {
                check.issue(&at, "must be a date or a timestamp, not nullable");
            }
            Some(place)
        };
        let effective = Effective { start: place(self, "start", start)?, end: place(self, "end", end)? };
        let ty = |place: usize| columns.get(place).map(|column| column.ty);
        if ty(effective.start) != ty(effective.end) {
            self.issue(&format!("{key}.end"), "must be of the type of `start`");
        }
        Some(effective)
    }

    fn counted(
        &mut self,
        key: &str,
        raw: &RawTable,
        columns: &[Column],
        places: &[usize],
    ) -> Option<Counted> {
        if raw.counted_by.is_empty() {
            return None;
        }
        let key = format!("{key}.counted_by");
        let all: Vec<&RawColumn> = raw.columns.iter().chain(&raw.counted_by).collect();
        let mut by = Vec::new();
        for (place, column) in raw.counted_by.iter().enumerate() {
            let at = format!("{key}[{place}]");
            let column = self.column(&at, column, &all);
            if !column.ty.can_be_key() || column.nullable {
                let message = "what tells events apart is neither nullable nor a double or json";
                self.issue(&at, format!("`{}`: {message}", column.name));
            }
            by.push(column);
        }
        let counted = Counted::new(&raw.name, columns, places, by, raw.create);
        if counted.ledger.name.split('.').any(|part| part.len() > NAME_LENGTH_MAX) {
            let message = format!(
                "what has been counted is kept in a table `{}`, and that name is too long",
                counted.ledger.name
            );
            self.issue(&key, message);
        }
        Some(counted)
    }
}
