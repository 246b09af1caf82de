//! Rows from rules.

use crate::choice::Choice;
use crate::config::{self, RecordPart};
use crate::kinds::ColumnType;
use crate::leaf::{Leaf, Value};
use crate::place::{Facts, Places};
use crate::template::Template;
use gristmill_sdk::{Column, Failure, Faults, Kind, Out, Place, Plan, Table, Timestamp};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One row of one table.
#[derive(Debug)]
pub struct RowRule {
    table: String,
    /// Where it stands in the configuration.
    at: String,
    cells: Vec<CellRule>,
    /// Known when all rows of all rules have been read.
    handle: Option<Table>,
}

/// How one cell is made.
#[derive(Debug)]
pub struct CellRule {
    name: String,
    source: Source,
    kind: Kind,
    nullable: bool,
}

#[derive(Debug)]
enum Source {
    Field { choice: Choice, kind: ColumnType, parse: bool, default: Option<Value<'static>> },
    Constant(Value<'static>),
    Template(Template),
    Record(RecordPart, ColumnType),
}

impl RowRule {
    pub(crate) fn compile(row: config::Row, places: &mut Places, at: String) -> Result<Self, String> {
        let mut cells = Vec::with_capacity(row.columns.len());
        for (name, column) in row.columns {
            let at = format!("{at}/columns/{name}");
            cells.push(CellRule::compile(name, column, places, &at)?);
        }
        if cells.is_empty() {
            return Err(format!("{at}/columns: a row needs columns"));
        }
        Ok(Self { table: row.table, at, cells, handle: None })
    }

    /// Adds the row, or its faults.
    pub(crate) fn write(&self, facts: &Facts<'_>, out: &mut Out<'_, '_>, faults: &mut Faults) {
        let Some(mut row) = self.handle.and_then(|table| out.begin_row(table)) else { return };
        for cell in &self.cells {
            let Some(place) = row.place() else { return };
            match cell.value(facts, faults) {
                Ok(Some(value)) => put(place, &value),
                Ok(None) => place.null(),
                Err(Refused) => place.fill(),
            }
        }
    }
}

/// The cell's faults are noted.
#[derive(Debug)]
pub struct Refused;

impl CellRule {
    /// Reads how a column is filled.
    pub fn compile(
        name: String,
        column: serde_json::Value,
        places: &mut Places,
        at: &str,
    ) -> Result<Self, String> {
        let column = match column {
            serde_json::Value::String(text) if places.is_pointer(&text) => {
                config::Column { pointer: Some(text), ..config::Column::default() }
            }
            serde_json::Value::String(_) => {
                return Err(format!(
                    "{at}: a pointer begins with / or @; a fixed text is {{ value = \"…\" }}"
                ));
            }
            other => serde_json::from_value(other).map_err(|error| format!("{at}: {error}"))?,
        };
        let nullable = column.nullable;
        let (source, kind) = source(column, places).map_err(|what| format!("{at}: {what}"))?;
        Ok(Self { name, source, kind, nullable })
    }

    /// The value for a record; its faults are added.
    pub fn value<'t>(&'t self, facts: &Facts<'t>, faults: &mut Faults) -> Result<Option<Value<'t>>, Refused> {
        match &self.source {
            Source::Constant(value) => Ok(Some(value.clone())),
            Source::Template(template) => match template.fill(facts, faults) {
                Some(text) => Ok(Some(Value::Text(text))),
                None => Err(Refused),
            },
            Source::Record(part, kind) => self.keep(of_record(*part, *kind, facts), faults),
            Source::Field { choice, kind, parse, default } => match choice.some(facts) {
                Some((leaf, field)) => {
                    let value = leaf.value(*kind, *parse).map(Some);
                    self.keep(value.map_err(|failure| facts.fault(field, failure)), faults)
                }
                None if default.is_some() => Ok(default.clone()),
                None if self.nullable => Ok(None),
                None => self.keep(choice.needed(facts).map(|_| None), faults),
            },
        }
    }

    fn keep<'t>(
        &self,
        value: Result<Option<Value<'t>>, Failure>,
        faults: &mut Faults,
    ) -> Result<Option<Value<'t>>, Refused> {
        match faults.keep(value) {
            Some(None) if !self.nullable => {
                faults.add(Failure::reject(
                    "missing-key",
                    format!("column `{}` needs the record's key", self.name),
                ));
                Err(Refused)
            }
            Some(value) => Ok(value),
            None => Err(Refused),
        }
    }
}

fn source(column: config::Column, places: &mut Places) -> Result<(Source, Kind), String> {
    let kind = column.kind.unwrap_or_default();
    if column.except.is_some() && column.first.is_none() {
        return Err("`except` belongs to `first`".to_owned());
    }
    let choice = match (&column.pointer, &column.first) {
        (Some(pointer), None) => Some(Choice::one(pointer, places)?),
        (None, Some(pointers)) => Some(Choice::of(pointers, column.except, places)?),
        (None, None) => None,
        (Some(_), Some(_)) => return Err("either `pointer` or `first`".to_owned()),
    };
    match (choice, column.value, column.template, column.record) {
        (Some(choice), None, None, None) => {
            let default = column.default.map(|value| constant(&value, kind)).transpose()?;
            Ok((Source::Field { choice, kind, parse: column.parse, default }, kind.kind()))
        }
        (None, Some(value), None, None) => Ok((Source::Constant(constant(&value, kind)?), kind.kind())),
        (None, None, Some(template), None) if column.kind.is_none() => {
            Ok((Source::Template(Template::parse(&template, places)?), Kind::Text))
        }
        (None, None, None, Some(part)) => record_source(part, column.kind, places),
        _ => {
            Err("give one of `pointer`, `first`, `value`, `template` (always a text) and `record`".to_owned())
        }
    }
}

fn record_source(
    part: RecordPart,
    kind: Option<ColumnType>,
    places: &Places,
) -> Result<(Source, Kind), String> {
    let own = match part {
        RecordPart::Topic | RecordPart::Key => ColumnType::Text,
        RecordPart::Partition | RecordPart::Offset | RecordPart::Index => ColumnType::Int,
        RecordPart::Timestamp => ColumnType::Timestamp,
    };
    let kind = kind.unwrap_or(own);
    if kind != own && (part, kind) != (RecordPart::Key, ColumnType::Bytes) {
        return Err("only the key has a choice of type: text or bytes".to_owned());
    }
    if part == RecordPart::Index && !places.has_item() {
        return Err("`index` needs an item: the rule has no `each`".to_owned());
    }
    Ok((Source::Record(part, kind), kind.kind()))
}

fn of_record<'t>(
    part: RecordPart,
    kind: ColumnType,
    facts: &Facts<'t>,
) -> Result<Option<Value<'t>>, Failure> {
    let record = &facts.record;
    Ok(Some(match part {
        RecordPart::Topic => Value::Text(Cow::Borrowed(record.topic())),
        RecordPart::Partition => Value::Int(record.partition().into()),
        RecordPart::Offset => Value::Int(record.offset()),
        RecordPart::Timestamp => Value::Timestamp(Timestamp::from_millis(record.timestamp_ms())),
        RecordPart::Index => {
            Value::Int(facts.item.and_then(|(_, item)| i64::try_from(item.index).ok()).unwrap_or_default())
        }
        RecordPart::Key => {
            let Some(key) = record.key() else { return Ok(None) };
            if kind == ColumnType::Bytes {
                return Ok(Some(Value::Bytes(key.to_vec())));
            }
            let text = std::str::from_utf8(key);
            Value::Text(text.map_err(|_| Failure::reject("bad-key", "the record's key is not UTF-8"))?.into())
        }
    }))
}

/// A value that stands in the configuration.
fn constant(value: &serde_json::Value, kind: ColumnType) -> Result<Value<'static>, String> {
    let json = serde_json::to_string(value).map_err(|error| error.to_string())?;
    let raw = RawValue::from_string(json).map_err(|error| error.to_string())?;
    let value = Leaf(raw.get()).value(kind, true);
    value.map(into_owned).map_err(|_| format!("{} is not of the type {kind:?}", raw.get()))
}

fn into_owned(value: Value<'_>) -> Value<'static> {
    match value {
        Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
        Value::Json(text) => Value::Json(Cow::Owned(text.into_owned())),
        Value::Decimal(decimal) => Value::Decimal(decimal.into_owned()),
        Value::Int(int) => Value::Int(int),
        Value::Float(float) => Value::Float(float),
        Value::Boolean(boolean) => Value::Boolean(boolean),
        Value::Timestamp(timestamp) => Value::Timestamp(timestamp),
        Value::Date(date) => Value::Date(date),
        Value::Uuid(uuid) => Value::Uuid(uuid),
        Value::Bytes(bytes) => Value::Bytes(bytes),
    }
}

/// Writes a value into its cell.
pub fn put(place: Place<'_>, value: &Value<'_>) {
    match value {
        Value::Text(text) => place.text(text),
        Value::Int(int) => place.int(*int),
        Value::Float(float) => place.float(*float),
        Value::Boolean(boolean) => place.boolean(*boolean),
        Value::Timestamp(timestamp) => place.timestamp(timestamp.0),
        Value::Date(date) => place.date(date.0),
        Value::Decimal(decimal) => place.decimal(decimal.as_str()),
        Value::Json(text) => place.json(text),
        Value::Uuid(uuid) => place.fixed(&uuid.0),
        Value::Bytes(bytes) => place.bytes(bytes),
    }
}

/// Declares every table once, brings its rows' cells into one order, and hands each row its table.
pub fn declare<'r>(rows: impl IntoIterator<Item = &'r mut RowRule>, plan: &mut Plan) -> Result<(), String> {
    let mut rows: Vec<&mut RowRule> = rows.into_iter().collect();
    let mut tables: Vec<(String, Vec<Column>)> = Vec::new();
    for row in &mut rows {
        match tables.iter_mut().find(|(name, _)| *name == row.table) {
            None => tables.push((row.table.clone(), row.cells.iter().map(CellRule::column).collect())),
            Some((_, columns)) => row.fit(columns)?,
        }
    }
    for (name, columns) in tables {
        let table = plan.define_table(name.clone(), columns);
        rows.iter_mut().filter(|row| row.table == name).for_each(|row| row.handle = Some(table));
    }
    Ok(())
}

impl CellRule {
    /// The column's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The column as the plan declares it.
    pub fn column(&self) -> Column {
        Column::named(&self.name, self.kind, self.nullable)
    }
}

impl RowRule {
    fn fit(&mut self, columns: &mut [Column]) -> Result<(), String> {
        let place = |cell: &CellRule| columns.iter().position(|column| column.name == cell.name);
        let alike = |cell: &CellRule| {
            columns.iter().any(|column| column.name == cell.name && column.kind == cell.kind)
        };
        if self.cells.len() != columns.len() || !self.cells.iter().all(alike) {
            let at = &self.at;
            return Err(format!(
                "{at}: table `{}` has other columns or types in an earlier rule",
                self.table
            ));
        }
        self.cells.sort_by_key(place);
        for (cell, column) in self.cells.iter().zip(columns) {
            column.nullable |= cell.nullable;
        }
        Ok(())
    }
}
