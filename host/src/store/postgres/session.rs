//! Statements on a PostgreSQL connection, inside a transaction or not.

use super::array::{Array, travel};
use crate::spec::ColumnType;
use crate::store::Error;
use crate::store::fault::{self, Fault, State};
use crate::store::rows::Rows;
use crate::store::sql::{Arg, BatchLine, Dialect, On, Row, Sql, Tx, Value};
use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgConnection, PgDatabaseError, PgRow, PgValueRef};
use sqlx::query::Query;
use sqlx::{Arguments, AssertSqlSafe, Postgres, Row as _, Transaction, TypeInfo, ValueRef};
use std::borrow::Cow;

pub const KIND: &str = "PostgreSQL";

/// A transaction.
pub type Writer = On<Transaction<'static, Postgres>>;

/// Turns what sqlx reports into a fault; `doing` is the table, or what was being done.
pub fn fault(doing: &str, error: &sqlx::Error) -> Fault {
    fault::from_sqlx(KIND, doing, error, || {
        let database = error.as_database_error();
        let postgres = database.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        let owned = |text: Option<&str>| text.map(str::to_owned);
        State {
            sqlstate: postgres.map_or_else(String::new, |error| error.code().to_owned()),
            table: postgres.and_then(|error| owned(error.table())),
            constraint: postgres.and_then(|error| owned(error.constraint())),
            column: postgres.and_then(|error| owned(error.column())),
        }
    })
}

/// The same for statements that no row can be blamed for.
pub fn store_error(doing: &str, error: &sqlx::Error) -> Error {
    fault(doing, error).into_error()
}

fn query<'a>(sql: &str, args: &[Arg<'_>]) -> Query<'a, Postgres, PgArguments> {
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for arg in args {
        query = match arg {
            Arg::Int(value) => query.bind(*value),
            Arg::Text(value) => query.bind(value.map(str::to_owned)),
            Arg::Bytes(value) => query.bind(value.map(<[u8]>::to_vec)),
        };
    }
    query
}

/// The first words of a statement, to say what was being done.
fn doing(sql: &str) -> String {
    sql.split_whitespace().take(4).collect::<Vec<_>>().join(" ")
}

/// `v`: the columns as arrays, unnested side by side, with the row's number from 0.
fn source(rows: &Rows<'_>, columns: &[usize]) -> String {
    let mut arrays = Vec::new();
    let mut names = Vec::new();
    let mut shown = Vec::new();
    for (n, &place) in columns.iter().enumerate() {
        let travel = travel(rows.ty(place));
        arrays.push(format!("${}::{}[]", n + 1, travel.name));
        names.push(format!("c{place}"));
        shown.push(match (travel.cast, rows.ty(place)) {
            (_, ColumnType::Numeric(Some((precision, scale)))) => {
                format!("u.c{place}::numeric({precision},{scale}) AS c{place}")
            }
            (Some(cast), _) => format!("u.c{place}::{cast} AS c{place}"),
            (None, _) => format!("u.c{place}"),
        });
    }
    format!(
        "SELECT {}, u.i - 1 AS i FROM UNNEST({}) WITH ORDINALITY AS u({}, i)",
        shown.join(", "),
        arrays.join(", "),
        names.join(", ")
    )
}

fn row(row: &PgRow) -> Result<Row, Fault> {
    let values = (0..row.len()).map(|place| {
        let raw = row.try_get_raw(place)?;
        value(raw).map_err(sqlx::Error::Decode)
    });
    let values: Result<Vec<Value<'static>>, sqlx::Error> = values.collect();
    values.map(Row).map_err(|error| fault("reading an answer", &error))
}

fn value(raw: PgValueRef<'_>) -> Result<Value<'static>, sqlx::error::BoxDynError> {
    use sqlx::Decode;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let ty = raw.type_info().name().to_owned();
    Ok(match ty.as_str() {
        "INT8" => Value::Int(<i64 as Decode<Postgres>>::decode(raw)?),
        "INT4" => Value::Int(<i32 as Decode<Postgres>>::decode(raw)?.into()),
        "INT2" => Value::Int(<i16 as Decode<Postgres>>::decode(raw)?.into()),
        "BOOL" => Value::Int(<bool as Decode<Postgres>>::decode(raw)?.into()),
        "FLOAT8" => Value::Float(<f64 as Decode<Postgres>>::decode(raw)?),
        "BYTEA" => Value::Bytes(Cow::Owned(<Vec<u8> as Decode<Postgres>>::decode(raw)?)),
        _ => Value::Text(Cow::Owned(<String as Decode<Postgres>>::decode(raw)?)),
    })
}

#[async_trait]
impl Sql for PgConnection {
    async fn execute(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<u64, Fault> {
        let done = query(sql, args).execute(self).await.map_err(|error| fault(&doing(sql), &error))?;
        Ok(done.rows_affected())
    }

    async fn fetch(&mut self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<Row>, Fault> {
        let rows = query(sql, args).fetch_all(self).await.map_err(|error| fault(&doing(sql), &error))?;
        rows.iter().map(row).collect()
    }

    async fn with_rows(&mut self, rows: &Rows<'_>, columns: &[usize], tail: &str) -> Result<Vec<Row>, Fault> {
        let mut args = PgArguments::default();
        for column in columns {
            let added = args.add(Array::new(rows, *column));
            added.map_err(|error| fault(&rows.table.name, &sqlx::Error::Encode(error)))?;
        }
        let sql = format!("WITH v AS ({}) {tail}", source(rows, columns)).replacen(") ,", "),", 1);
        let query = sqlx::query_with(AssertSqlSafe(sql), args);
        let found = query.fetch_all(&mut *self).await.map_err(|error| fault(&rows.table.name, &error))?;
        found.iter().map(row).collect()
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }
}

/// Outbox and ledger in one round trip.
const FINISH: &str = "WITH gone AS (DELETE FROM gristmill.outbox \
     WHERE pipeline = $1 AND topic = $2 AND partition = $3 AND batch <= $12), \
     line AS (INSERT INTO gristmill.batches (pipeline, topic, partition, batch, epoch, origin, records, \
     first_offset, last_offset, next_offset, stages, counts) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13)) \
     INSERT INTO gristmill.outbox (pipeline, topic, partition, batch, next_offset, value) \
     SELECT $1, $2, $3, $4, $10, $14 WHERE $14 IS NOT NULL";

impl Writer {
    /// Several statements without arguments in one round trip.
    async fn simply(&mut self, statements: &'static str) -> Result<(), Fault> {
        let done = sqlx::raw_sql(statements).execute(&mut *self.0).await;
        done.map(|_| ()).map_err(|error| fault("savepoint", &error))
    }
}

#[async_trait]
impl Tx for Writer {
    async fn savepoint(&mut self) -> Result<(), Fault> {
        self.simply("SAVEPOINT gristmill").await
    }

    async fn check_deferred(&mut self) -> Result<(), Fault> {
        // Deferred again afterwards: within the next group too the order of its rows must not matter.
        self.simply("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED").await
    }

    async fn release(&mut self) -> Result<(), Fault> {
        self.simply("RELEASE SAVEPOINT gristmill").await
    }

    async fn rollback_to(&mut self) -> Result<(), Fault> {
        self.simply("ROLLBACK TO SAVEPOINT gristmill; RELEASE SAVEPOINT gristmill").await
    }

    async fn finish(&mut self, line: &BatchLine<'_>) -> Result<(), Fault> {
        let outbox = (!line.outbox.is_empty()).then_some(line.outbox);
        let args = [
            Arg::from(&*line.lane.pipeline),
            Arg::from(&*line.lane.topic),
            Arg::from(i64::from(line.lane.partition)),
            Arg::from(line.batch),
            Arg::from(line.epoch),
            Arg::from(line.origin),
            Arg::from(line.records),
            Arg::Int(line.first_offset),
            Arg::Int(line.last_offset),
            Arg::from(line.next_offset),
            Arg::from(line.stages),
            Arg::from(line.published),
            Arg::from(line.counts),
            Arg::Bytes(outbox),
        ];
        self.execute(FINISH, &args).await.map(|_| ())
    }

    async fn commit(self: Box<Self>) -> Result<(), Fault> {
        self.0.commit().await.map_err(|error| fault("commit", &error))
    }

    async fn rollback(self: Box<Self>) {
        if let Err(error) = self.0.rollback().await {
            tracing::warn!(%error, "a rollback failed: its connection is given up, the server rolls back by itself");
        }
    }
}
