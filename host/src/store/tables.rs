//! Reading the pipelines' tables: filtered, in pages, by key. Both databases give the same JSON.

use super::fault::Fault;
use super::parsed::{Parsed, column, parse};
use super::rows::Rows;
use super::sql::{Arg, Dialect, Sql, Value};
use super::statements::{
    collation, column_name, matching, qualified, quoted, shown as shown_column, table_name,
};
use super::value::shown;
use super::{Error, FilterOp, TablePage, TableQuery};
use crate::effect::TableRows;
use crate::spec::{ColumnType, Piece, Table, View};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as TOKEN};
use serde_json::json;
use std::borrow::Cow;

/// The hidden column that numbers the rows of an `append` table that the host has made.
pub const SEQUENCE: &str = "gristmill_seq";

/// What a page is ordered by.
enum Order {
    /// The table's unique columns.
    Unique(Vec<usize>),
    /// The hidden column.
    Sequence,
    /// Nothing that could be relied on: one page, no next.
    None,
}

/// An argument that outlives the statement's text.
enum Bound {
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A statement being put together.
struct Select<'t> {
    dialect: Dialect,
    table: &'t Table,
    conditions: Vec<String>,
    bound: Vec<Bound>,
}

/// A view's statement, with the names of tables as this store has them.
fn from_view(dialect: Dialect, view: &View) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Table(name) => qualified(dialect, name),
    };
    format!("({})", view.sql.iter().map(piece).collect::<String>())
}

/// Reads a page of a table. `sequence`: whether it has the hidden column.
pub async fn read(
    sql: &mut dyn Sql,
    table: &Table,
    query: &TableQuery,
    sequence: bool,
) -> Result<TablePage, Error> {
    let from = table_name(sql.dialect(), table);
    page(sql, table, &from, query, sequence).await
}

/// Reads a page of a view.
pub async fn read_view(sql: &mut dyn Sql, view: &View, query: &TableQuery) -> Result<TablePage, Error> {
    let from = from_view(sql.dialect(), view);
    page(sql, &view.shape, &from, query, false).await
}

/// Asks a view for no row: whether its statement can be run, and has its columns.
pub async fn check_view(sql: &mut dyn Sql, view: &View) -> Result<(), Error> {
    let query = TableQuery { limit: 0, ..TableQuery::default() };
    read_view(sql, view, &query).await.map(drop).map_err(|error| Error::Unfit {
        message: format!("the view `{}` cannot be read: {error}", view.shape.name),
    })
}

async fn page(
    sql: &mut dyn Sql,
    table: &Table,
    from: &str,
    query: &TableQuery,
    sequence: bool,
) -> Result<TablePage, Error> {
    let unique = table.unique();
    let order = match (unique.is_empty(), sequence) {
        (false, _) => Order::Unique(unique),
        (true, true) => Order::Sequence,
        (true, false) => Order::None,
    };
    let mut select = Select { dialect: sql.dialect(), table, conditions: Vec::new(), bound: Vec::new() };
    for filter in &query.filters {
        select.filter(filter.column, filter.op, &filter.value)?;
    }
    if let Some(after) = &query.after {
        select.after(&order, after)?;
    }
    let text = select.text(from, &order, query.limit);
    let args: Vec<Arg<'_>> = select.bound.iter().map(Bound::arg).collect();
    let rows = sql.fetch(&text, &args).await.map_err(Fault::into_error)?;
    let full = rows.len() > query.limit as usize;
    let mut page = TablePage::default();
    for row in rows.iter().take(query.limit as usize) {
        page.rows.push(object(table, &row.0));
    }
    let last = (query.limit as usize).checked_sub(1).and_then(|last| rows.get(last));
    if let (true, Some(last)) = (full, last) {
        page.next = match &order {
            Order::Unique(columns) => {
                let mut end = Vec::new();
                for place in columns {
                    end.push(text_of(table, *place, last.value(*place)));
                }
                Some(TOKEN.encode(json!(end).to_string()))
            }
            Order::Sequence => Some(TOKEN.encode(last.int(table.columns.len()).to_string())),
            Order::None => None,
        };
    }
    Ok(page)
}

impl Bound {
    fn arg(&self) -> Arg<'_> {
        match self {
            Bound::Int(value) => Arg::from(*value),
            Bound::Text(text) => Arg::from(text.as_str()),
            Bound::Bytes(bytes) => Arg::from(bytes.as_slice()),
        }
    }
}

impl Select<'_> {
    fn filter(&mut self, place: usize, op: FilterOp, value: &str) -> Result<(), Error> {
        let op = match op {
            FilterOp::Eq => "=",
            FilterOp::Ne => "<>",
            FilterOp::Lt => "<",
            FilterOp::Le => "<=",
            FilterOp::Gt => ">",
            FilterOp::Ge => ">=",
        };
        let value = self.bind(place, value)?;
        let condition = format!("{} {op} {value}", self.comparable(place));
        self.conditions.push(condition);
        Ok(())
    }

    fn after(&mut self, order: &Order, token: &str) -> Result<(), Error> {
        let unknown =
            || Error::BadRequest("`after` is no page of this table: pass on what `next` gave".to_owned());
        let decoded =
            TOKEN.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(unknown)?;
        let condition = match order {
            Order::Unique(columns) => {
                let end: Vec<String> = serde_json::from_str(&decoded).map_err(|_| unknown())?;
                if end.len() != columns.len() {
                    return Err(unknown());
                }
                let mut values = Vec::new();
                for (place, value) in columns.iter().zip(&end) {
                    values.push(self.bind(*place, value).map_err(|_| unknown())?);
                }
                let columns: Vec<String> = columns.iter().map(|place| self.comparable(*place)).collect();
                format!("({}) > ({})", columns.join(", "), values.join(", "))
            }
            Order::Sequence => {
                self.bound.push(Bound::Int(decoded.parse().map_err(|_| unknown())?));
                format!("t.{} > ${}", quoted(SEQUENCE), self.bound.len())
            }
            Order::None => return Err(unknown()),
        };
        self.conditions.push(condition);
        Ok(())
    }

    /// A column as it is compared and ordered.
    fn comparable(&self, place: usize) -> String {
        let name = format!("t.{}", column_name(self.table, place));
        match (self.dialect, self.table.columns.get(place).map(|column| column.ty)) {
            (Dialect::Sqlite, Some(ColumnType::Numeric(_))) => format!("CAST({name} AS REAL)"),
            _ => format!("{name}{}", collation(self.dialect, self.table, place)),
        }
    }

    /// Binds a text as a value of the column's type and answers its place in the statement.
    fn bind(&mut self, place: usize, text: &str) -> Result<String, Error> {
        let column = self
            .table
            .columns
            .get(place)
            .ok_or_else(|| Error::BadRequest(format!("table {} has no such column", self.table.name)))?;
        let wrong = || {
            Error::BadRequest(format!("column `{}` is of type {}: not a value of it", column.name, column.ty))
        };
        let parsed = parse(self.table, column, text).ok_or_else(wrong)?;
        let bound = match shown(column.ty, parsed.cell()) {
            Value::Int(value) => Bound::Int(value),
            Value::Float(value) => Bound::Text(value.to_string()),
            Value::Text(text) => Bound::Text(text.into_owned()),
            Value::Bytes(bytes) => Bound::Bytes(bytes.into_owned()),
            Value::Null => return Err(wrong()),
        };
        self.bound.push(bound);
        let n = self.bound.len();
        Ok(match (self.dialect, column.ty) {
            (Dialect::Postgres, ColumnType::Boolean) => format!("(${n} <> 0)"),
            (Dialect::Postgres, ColumnType::Uuid) => format!("${n}::uuid"),
            (Dialect::Postgres, ColumnType::Date) => format!("${n}::date"),
            (Dialect::Postgres, ColumnType::Timestamptz) => format!("${n}::timestamptz"),
            (Dialect::Postgres, ColumnType::Timestamp) => format!("${n}::timestamp"),
            (Dialect::Postgres, ColumnType::Numeric(_)) => format!("${n}::numeric"),
            (Dialect::Postgres, ColumnType::Double) => format!("${n}::double precision"),
            (Dialect::Sqlite, ColumnType::Numeric(_) | ColumnType::Double) => format!("CAST(${n} AS REAL)"),
            _ => format!("${n}"),
        })
    }

    fn text(&self, from: &str, order: &Order, limit: u32) -> String {
        let shown: Vec<String> = (0..self.table.columns.len())
            .map(|place| shown_column(self.dialect, self.table, place))
            .collect();
        let mut shown = shown.join(", ");
        let order = match order {
            Order::Unique(columns) => {
                let columns: Vec<String> = columns.iter().map(|place| self.comparable(*place)).collect();
                format!(" ORDER BY {}", columns.join(", "))
            }
            Order::Sequence => {
                shown.push_str(&format!(", t.{}", quoted(SEQUENCE)));
                format!(" ORDER BY t.{}", quoted(SEQUENCE))
            }
            Order::None => String::new(),
        };
        let conditions = match self.conditions.join(" AND ") {
            none if none.is_empty() => none,
            some => format!(" WHERE {some}"),
        };
        format!("SELECT {shown} FROM {from} AS t{conditions}{order} LIMIT {}", u64::from(limit) + 1)
    }
}

/// A row as a JSON object.
fn object(table: &Table, values: &[Value<'_>]) -> serde_json::Value {
    let fields = table.columns.iter().zip(values).map(|(column, value)| {
        let value = match (column.ty, value) {
            (_, Value::Null) => serde_json::Value::Null,
            (ColumnType::Boolean, Value::Int(value)) => json!(*value != 0),
            (ColumnType::Double, Value::Int(value)) => json!(*value as f64),
            (ColumnType::Json, Value::Text(text)) => serde_json::from_str(text).unwrap_or(json!(text)),
            (_, Value::Int(value)) => json!(value),
            (_, Value::Float(value)) => json!(value),
            (_, Value::Text(text)) => json!(text),
            (_, Value::Bytes(bytes)) => json!(BASE64.encode(bytes)),
        };
        (column.name.clone(), value)
    });
    fields.collect::<serde_json::Map<_, _>>().into()
}

/// A key's value as [`parse`] reads it back.
fn text_of(table: &Table, place: usize, value: &Value<'_>) -> String {
    let boolean = table.columns.get(place).is_some_and(|column| column.ty == ColumnType::Boolean);
    match value {
        Value::Null => String::new(),
        Value::Int(value) if boolean => (*value != 0).to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => BASE64.encode(bytes),
    }
}

/// Counts a table's rows.
pub async fn count(sql: &mut dyn Sql, table: &Table) -> Result<u64, Error> {
    let text = format!("SELECT count(*) FROM {}", table_name(sql.dialect(), table));
    let rows = sql.fetch(&text, &[]).await.map_err(Fault::into_error)?;
    Ok(rows.first().map_or(0, |row| row.int(0).unsigned_abs()))
}

/// Answers by key with rows as JSON texts. A key of one column is given as its text, one of several as a JSON array of
/// texts. What is no value of the key's type is a key that no row has.
pub async fn lookup(
    sql: &mut dyn Sql,
    table: &Table,
    keys: &[Vec<u8>],
) -> Result<Vec<Option<Vec<u8>>>, Error> {
    if table.key.is_empty() || table.unique() != table.key {
        let message = format!("table {} cannot be looked up: several rows may have one key", table.name);
        return Err(Error::BadRequest(message));
    }
    let (mut asked, mut parsed) = (Vec::new(), vec![Vec::<Parsed>::new(); table.key.len()]);
    for (n, bytes) in keys.iter().enumerate() {
        if let Some(values) = key_values(table, bytes) {
            asked.push(n);
            parsed.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
        }
    }
    let mut columns = vec![None; table.columns.len()];
    for (place, values) in table.key.iter().zip(&parsed) {
        if let (Some(slot), Some(key)) = (columns.get_mut(*place), table.columns.get(*place)) {
            *slot = Some(column(key.ty, values));
        }
    }
    let records = (0..u32::try_from(asked.len()).unwrap_or(u32::MAX)).collect();
    let piece = TableRows { table: 0, records, columns };
    let rows = Rows::all(table, &piece);
    let all: Vec<usize> = (0..table.columns.len()).collect();
    let mut answers = vec![None; keys.len()];
    if rows.is_empty() {
        return Ok(answers);
    }
    let tail = matching(sql.dialect(), table, &table.key, &all);
    for row in sql.with_rows(&rows, &table.key, &tail).await.map_err(Fault::into_error)? {
        let slot =
            usize::try_from(row.int(0)).ok().and_then(|n| asked.get(n)).and_then(|n| answers.get_mut(*n));
        if let Some(slot) = slot {
            *slot = Some(object(table, row.0.get(1..).unwrap_or(&[])).to_string().into_bytes());
        }
    }
    Ok(answers)
}

/// A key's values, in the order of the key's columns.
fn key_values(table: &Table, bytes: &[u8]) -> Option<Vec<Parsed>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let texts = match table.key.len() {
        1 => vec![Cow::Borrowed(text)],
        _ => serde_json::from_str::<Vec<Cow<'_, str>>>(text).ok()?,
    };
    let columns = table.key.iter().map(|place| table.columns.get(*place));
    if texts.len() != table.key.len() {
        return None;
    }
    columns.zip(&texts).map(|(column, text)| parse(table, column?, text)).collect()
}
