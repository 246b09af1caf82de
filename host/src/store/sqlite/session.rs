//! Statements on a SQLite connection, inside a transaction or not.

use crate::effect::Cell;
use crate::store::fault::{self, Fault, State};
use crate::store::rows::Rows;
use crate::store::sql::{Arg, BatchLine, Dialect, On, Row, Sql, Tx, Value};
use crate::store::value::shown;
use crate::store::{Error, Refusal};
use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Decode, Row as _, Sqlite, Transaction, TypeInfo, ValueRef};
use std::borrow::Cow;

pub const KIND: &str = "SQLite";

/// SQLite takes 32,766 arguments; fewer in one statement are faster.
const ARGS_MAX: usize = 4_000;

/// Rows per statement, falling: only so many different statements per table stay prepared.
const PARTS: [usize; 4] = [256, 32, 4, 1];

/// A transaction.
pub type Writer = On<Transaction<'static, Sqlite>>;

/// Turns what sqlx reports into a fault, with the SQLSTATE that PostgreSQL would have given.
pub fn fault(doing: &str, error: &sqlx::Error) -> Fault {
    fault::from_sqlx(KIND, doing, error, || {
        let database = error.as_database_error();
        let code: u32 = database.and_then(|error| error.code()?.parse().ok()).unwrap_or(0);
        let message = database.map_or("", |error| error.message());
        state(code, message)
    })
}

/// The same for statements that no row can be blamed for.
pub fn store_error(doing: &str, error: &sqlx::Error) -> Error {
    fault(doing, error).into_error()
}

/// The nearest SQLSTATE to a result code, and what SQLite's words say of constraint and column.
fn state(code: u32, message: &str) -> State {
    let detail = message.split_once("failed: ").map(|(_, detail)| detail.trim());
    let column = detail.and_then(|detail| detail.rsplit('.').next()).map(str::to_owned);
    let named = detail.map(str::to_owned);
    let of = |sqlstate: &str, constraint: Option<String>, column: Option<String>| State {
        sqlstate: sqlstate.to_owned(),
        table: None,
        constraint,
        column,
    };
    match (code, code & 0xff) {
        (275, _) => match detail.and_then(|detail| detail.strip_prefix("gristmill_")?.split_once('_')) {
            // Made by this host in place of a type that SQLite does not have.
            Some((sqlstate, column)) => of(sqlstate, None, Some(column.to_owned())),
            None => of("23514", named, None),
        },
        (1299, _) => of("23502", None, column),
        (787, _) => of("23503", None, None),
        (1555 | 2067, _) => of("23505", named, None),
        (3091, _) => of("22P02", None, None),
        (1811, _) => of("P0001", None, None),
        (_, 18) => of("22001", None, None),
        (_, 20) => of("22P02", None, None),
        (_, 19) => of("23000", named, None),
        (_, 5 | 6) => of("55P03", None, None),
        (_, 7 | 9 | 10 | 13 | 14) => of("58030", None, None),
        _ => of("42000", None, None),
    }
}

/// SQLite has no schemas: `gristmill.lanes` is the table `gristmill_lanes`.
fn local(sql: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql.replace("gristmill.", "gristmill_"))
}

fn query<'a>(sql: &str, args: &[Arg<'_>]) -> Query<'a, Sqlite, SqliteArguments> {
    let mut query = sqlx::query(local(sql));
    for arg in args {
        query = match arg {
            Arg::Int(value) => query.bind(*value),
            Arg::Text(value) => query.bind(value.map(str::to_owned)),
            Arg::Bytes(value) => query.bind(value.map(<[u8]>::to_vec)),
        };
    }
    query
}

fn doing(sql: &str) -> String {
    sql.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
}

fn names(columns: &[usize]) -> String {
    let mut names: Vec<String> = columns.iter().map(|place| format!("c{place}")).collect();
    names.push("i".to_owned());
    names.join(", ")
}

fn places(columns: &[usize], part: usize) -> String {
    let one = format!("({})", vec!["?"; columns.len() + 1].join(", "));
    vec![one; part].join(", ")
}

fn arguments(
    rows: &Rows<'_>,
    columns: &[usize],
    part: std::ops::Range<usize>,
) -> Result<SqliteArguments, sqlx::error::BoxDynError> {
    let mut args = SqliteArguments::default();
    for place in part {
        for &column in columns {
            let cell = rows.cell(column, place);
            bind(&mut args, shown(rows.ty(column), cell), cell)?;
        }
        args.add(i64::try_from(place)?)?;
    }
    Ok(args)
}

fn bind(
    args: &mut SqliteArguments,
    value: Value<'_>,
    cell: Cell<'_>,
) -> Result<(), sqlx::error::BoxDynError> {
    match value {
        Value::Null if cell != Cell::Null => Err(format!("{cell:?} cannot be stored").into()),
        Value::Null => args.add(None::<i64>),
        Value::Int(value) => args.add(value),
        Value::Float(value) => args.add(value),
        Value::Text(text) => args.add(text.into_owned()),
        Value::Bytes(bytes) => args.add(bytes.into_owned()),
    }
}

fn row(row: &SqliteRow) -> Result<Row, Fault> {
    let value = |place| -> Result<Value<'static>, sqlx::Error> {
        let raw = row.try_get_raw(place)?;
        if raw.is_null() {
            return Ok(Value::Null);
        }
        let ty = raw.type_info().name().to_owned();
        let value = match ty.as_str() {
            "INTEGER" | "BOOLEAN" => <i64 as Decode<Sqlite>>::decode(raw).map(Value::Int),
            "REAL" => <f64 as Decode<Sqlite>>::decode(raw).map(Value::Float),
            "BLOB" => <Vec<u8> as Decode<Sqlite>>::decode(raw).map(|bytes| Value::Bytes(Cow::Owned(bytes))),
            _ => <String as Decode<Sqlite>>::decode(raw).map(|text| Value::Text(Cow::Owned(text))),
        };
        value.map_err(sqlx::Error::Decode)
    };
    let values: Result<Vec<_>, _> = (0..row.len()).map(value).collect();
    values.map(Row).map_err(|error| fault("reading an answer", &error))
}

#[async_trait]
impl Sql for SqliteConnection {
    async fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, Fault> {
        let done = query(sql, args).execute(self).await.map_err(|error| fault(&doing(sql), &error))?;
        Ok(done.rows_affected())
    }

    async fn fetch(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, Fault> {
        let rows = query(sql, args).fetch_all(self).await.map_err(|error| fault(&doing(sql), &error))?;
        rows.iter().map(row).collect()
    }

    async fn with_rows(&mut self, rows: &Rows<'_>, columns: &[usize], tail: &str) -> Result<Vec<Row>, Fault> {
        let (mut found, mut done) = (Vec::new(), 0);
        while done < rows.len() {
            let room = (rows.len() - done).min((ARGS_MAX / (columns.len() + 1)).max(1));
            let part = PARTS.into_iter().find(|part| *part <= room).unwrap_or(1);
            let failed = |error: &sqlx::Error| fault(&rows.table.name, error);
            let args = arguments(rows, columns, done..done + part)
                .map_err(|error| failed(&sqlx::Error::Encode(error)))?;
            let sql = AssertSqlSafe(format!(
                "WITH v({}) AS (VALUES {}) {tail}",
                names(columns),
                places(columns, part)
            ));
            let answer =
                sqlx::query_with(sql, args).fetch_all(&mut *self).await.map_err(|error| failed(&error))?;
            for row_found in &answer {
                found.push(row(row_found)?);
            }
            done += part;
        }
        Ok(found)
    }

    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }
}

const FORGET: &str =
    "DELETE FROM gristmill.outbox WHERE pipeline = $1 AND topic = $2 AND partition = $3 AND batch <= $4";
const LINE: &str = "INSERT INTO gristmill.batches (pipeline, topic, partition, batch, epoch, origin, records, \
     first_offset, last_offset, next_offset, stages, counts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const OUTBOX: &str = "INSERT INTO gristmill.outbox (pipeline, topic, partition, batch, next_offset, value) \
     VALUES ($1, $2, $3, $4, $5, $6)";

#[async_trait]
impl Tx for Writer {
    async fn savepoint(&mut self) -> Result<(), Fault> {
        self.execute("SAVEPOINT one_group", &[]).await.map(|_| ())
    }

    async fn check_deferred(&mut self) -> Result<(), Fault> {
        let violated =
            self.fetch("SELECT \"table\", parent FROM pragma_foreign_key_check LIMIT 1", &[]).await?;
        let Some(row) = violated.first() else { return Ok(()) };
        Err(Fault::Refused(Refusal {
            table: row.text(0),
            sqlstate: "23503".to_owned(),
            constraint: None,
            column: None,
            message: format!("FOREIGN KEY constraint failed: no such row in {}", row.text(1)),
        }))
    }

    async fn release(&mut self) -> Result<(), Fault> {
        self.execute("RELEASE SAVEPOINT one_group", &[]).await.map(|_| ())
    }

    async fn rollback_to(&mut self) -> Result<(), Fault> {
        self.execute("ROLLBACK TO SAVEPOINT one_group", &[]).await?;
        self.release().await
    }

    async fn finish(&mut self, line: &BatchLine<'_>) -> Result<(), Fault> {
        let (pipeline, topic) = (Arg::from(&*line.lane.pipeline), Arg::from(&*line.lane.topic));
        let partition = Arg::from(i64::from(line.lane.partition));
        self.execute(FORGET, &[pipeline, topic, partition, Arg::from(line.published)]).await?;
        let args = [
            pipeline,
            topic,
            partition,
            Arg::from(line.batch),
            Arg::from(line.epoch),
            Arg::from(line.origin),
            Arg::from(line.records),
            Arg::Int(line.first_offset),
            Arg::Int(line.last_offset),
            Arg::from(line.next_offset),
            Arg::from(line.stages),
            Arg::from(line.counts),
        ];
        self.execute(LINE, &args).await?;
        if !line.outbox.is_empty() {
            let (batch, next_offset) = (Arg::from(line.batch), Arg::from(line.next_offset));
            let args = [pipeline, topic, partition, batch, next_offset, Arg::from(line.outbox)];
            self.execute(OUTBOX, &args).await?;
        }
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), Fault> {
        self.0.commit().await.map_err(|error| fault("commit", &error))
    }

    async fn rollback(self: Box<Self>) {
        if let Err(error) = self.0.rollback().await {
            tracing::warn!(%error, "a rollback failed: its connection is given up");
        }
    }
}
