//! What the checks run on: a fresh store each, SQLite in a temporary file or PostgreSQL in a database of its own.

use gristmill::effect::{
    ColumnData, Effects, Failure, Mail, MessageValues, Messages, TableRows, Texts, Values,
};
use gristmill::record::{Batch, Blobs, LaneId};
use gristmill::spec::{ColumnType, Spec};
use gristmill::store::{Committed, Error, Fence, LaneState, Origin, Store, TableQuery, Work, open};
use serde_json::Value as Json;
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A store of its own, and a way to speak SQL with it.
#[derive(Clone)]
pub struct World {
    pub store: Arc<dyn Store>,
    url: String,
}

/// Runs a check on SQLite.
pub async fn on_sqlite<F: Future<Output = ()> + Send + 'static>(check: impl FnOnce(World) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("store.db").display());
    let store = open(&url).await.unwrap();
    store.migrate().await.unwrap();
    check(World { store, url }).await;
}

/// Runs a check on PostgreSQL, in a database that is dropped whatever happens.
pub async fn on_postgres<F: Future<Output = ()> + Send + 'static>(check: impl FnOnce(World) -> F) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = match std::env::var("GRISTMILL_TEST_STORE") {
        Ok(server) => server,
        Err(_) if std::env::var("GRISTMILL_TEST_EMBEDDED_ONLY").is_ok_and(|only| only == "1") => return,
        Err(_) => panic!(
            "GRISTMILL_TEST_STORE is not set: `cargo xtask test` sets it; GRISTMILL_TEST_EMBEDDED_ONLY=1 leaves \
             PostgreSQL out"
        ),
    };
    let name = format!("gristmill_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
    let mut admin = PgConnection::connect(&server).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    let url = url.to_string();
    let store = open(&url).await.unwrap();
    store.migrate().await.unwrap();
    let ended = tokio::spawn(check(World { store, url })).await;
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut admin).await.unwrap();
    if let Err(error) = ended {
        std::panic::resume_unwind(error.into_panic());
    }
}

impl World {
    pub fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Runs SQL as a DBA would.
    pub async fn sql(&self, sql: &str) {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// A lane of partition 0, taken over.
    pub async fn lane(&self, spec: &Arc<Spec>) -> Lane {
        self.lane_of(spec, 0).await
    }

    /// A lane, taken over.
    pub async fn lane_of(&self, spec: &Arc<Spec>, partition: i32) -> Lane {
        self.store.prepare_tables(spec).await.unwrap();
        let id = LaneId {
            pipeline: spec.name.as_str().into(),
            topic: spec.source.topic.as_str().into(),
            partition,
        };
        let state = self.store.take_over(&id).await.unwrap();
        Lane { world: self.clone(), spec: Arc::clone(spec), id, state, offset: 0 }
    }

    /// All rows of a table.
    pub async fn rows(&self, spec: &Spec, table: &str) -> Vec<Json> {
        let table = spec.tables.iter().find(|found| found.name == table).unwrap();
        let query = TableQuery { limit: 100_000, ..TableQuery::default() };
        self.store.read_table(table, &query).await.unwrap().rows
    }
}

/// A lane in a test: it knows where it stands.
pub struct Lane {
    pub world: World,
    pub spec: Arc<Spec>,
    pub id: LaneId,
    pub state: LaneState,
    pub offset: i64,
}

impl Lane {
    pub fn fence(&self) -> Fence {
        Fence {
            epoch: self.state.epoch,
            batch: self.state.batch,
            next_offset: self.state.next_offset.unwrap_or(0),
            published: self.state.published,
        }
    }

    /// Work of so many records that come from the log.
    pub fn work(&self, records: usize, effects: Effects) -> Work {
        let mut batch = Batch::new(&self.id.topic, self.id.partition);
        for n in 0..records {
            let offset = self.offset + n as i64;
            batch.push(
                offset,
                1_700_000_000_000 + offset,
                Some(b"key"),
                Some(format!("value {offset}").as_bytes()),
            );
            batch.push_header("n", Some(&[n as u8, 0]));
        }
        let next_offset = self.offset + records as i64;
        Work { batch, origin: Origin::Log { next_offset }, effects, stages: Vec::new() }
    }

    pub async fn try_commit(&mut self, work: Work) -> Result<Committed, Error> {
        let work = Arc::new(work);
        let committed = self.world.store.commit(&self.spec, &self.id, self.fence(), &work).await?;
        self.state.batch = committed.batch;
        self.state.next_offset = Some(committed.next_offset);
        self.offset = committed.next_offset;
        Ok(committed)
    }

    /// Commits rows of one table, each of a record of its own.
    pub async fn write(&mut self, table: &str, rows: &[&[V]]) -> Committed {
        let numbered: Vec<(u32, &[V])> = rows.iter().enumerate().map(|(n, row)| (n as u32, *row)).collect();
        let effects = Effects { rows: vec![piece(&self.spec, table, &numbered)], ..Effects::default() };
        let work = self.work(rows.len(), effects);
        self.try_commit(work).await.unwrap()
    }

    /// Writes rows of records that cause several each.
    pub async fn write_records(&mut self, table: &str, records: &[Vec<Vec<V>>]) -> Committed {
        let numbered = records.iter().enumerate();
        let numbered: Vec<(u32, &[V])> =
            numbered.flat_map(|(n, rows)| rows.iter().map(move |row| (n as u32, row.as_slice()))).collect();
        let effects = Effects { rows: vec![piece(&self.spec, table, &numbered)], ..Effects::default() };
        let work = self.work(records.len(), effects);
        self.try_commit(work).await.unwrap()
    }

    pub async fn rows(&self, table: &str) -> Vec<Json> {
        self.world.rows(&self.spec, table).await
    }

    /// One column of all rows, as a JSON text.
    pub async fn column(&self, table: &str, column: &str) -> String {
        let values: Vec<Json> = self.rows(table).await.iter().map(|row| row[column].clone()).collect();
        Json::from(values).to_string()
    }
}

/// A value in a test.
#[derive(Clone, Debug)]
pub enum V {
    Null,
    I(i64),
    T(String),
    F(f64),
    B(bool),
    Bytes(Vec<u8>),
}

impl From<&str> for V {
    fn from(text: &str) -> Self {
        V::T(text.to_owned())
    }
}

impl From<i64> for V {
    fn from(value: i64) -> Self {
        V::I(value)
    }
}

/// A spec with these tables.
pub fn spec(tables: &str) -> Arc<Spec> {
    let text = format!(
        "version = 1\nname = \"test\"\n[source]\ntopic = \"in\"\n[[stage]]\nname = \"s\"\nmodule = \"m\"\n{tables}"
    );
    Arc::new(Spec::parse("spec.toml", text, Path::new(".")).unwrap_or_else(|error| panic!("{error:?}")))
}

/// Rows of a table, each with its record. Numbers for numeric, dates (days) and times (microseconds) go by the column.
pub fn piece(spec: &Spec, table: &str, rows: &[(u32, &[V])]) -> TableRows {
    let place = spec.tables.iter().position(|found| found.name == table).unwrap();
    let columns = spec.tables[place].given().enumerate();
    let columns =
        columns.map(|(n, column)| Some(data(column.ty, rows.iter().map(|row| row.1.get(n).unwrap()))));
    TableRows { table: place, records: rows.iter().map(|row| row.0).collect(), columns: columns.collect() }
}

fn data<'a>(ty: ColumnType, values: impl Iterator<Item = &'a V>) -> ColumnData {
    let values: Vec<&V> = values.collect();
    let nulls = (0..values.len()).filter(|n| matches!(values[*n], V::Null)).map(|n| n as u32).collect();
    let int = |v: &&V| if let V::I(value) = v { *value } else { 0 };
    let mut texts = Texts::default();
    let mut blobs = Blobs::default();
    for value in &values {
        texts.push(if let V::T(text) = value { text } else { "" });
        blobs.push(if let V::Bytes(bytes) = value { bytes } else { &[] });
    }
    let values = match ty {
        ColumnType::Smallint | ColumnType::Integer | ColumnType::Bigint => {
            Values::Int(values.iter().map(int).collect())
        }
        ColumnType::Double => {
            Values::Float(values.iter().map(|v| if let V::F(value) = v { *value } else { 0.0 }).collect())
        }
        ColumnType::Boolean => Values::Boolean(values.iter().map(|v| matches!(v, V::B(true))).collect()),
        ColumnType::Bytes => Values::Bytes(blobs),
        ColumnType::Timestamp | ColumnType::Timestamptz => {
            Values::Timestamp(values.iter().map(int).collect())
        }
        ColumnType::Date => Values::Date(values.iter().map(|v| int(v) as i32).collect()),
        ColumnType::Numeric(_) => Values::Decimal(texts),
        ColumnType::Json => Values::Json(texts),
        ColumnType::Text | ColumnType::Varchar(_) | ColumnType::Uuid => Values::Text(texts),
    };
    ColumnData { values, nulls }
}

/// A mail of a record.
pub fn mail(record: u32) -> Mail {
    Mail { record, to: vec!["a@example.org".into()], subject: "s\0".into(), text: "t".into(), html: None }
}

/// One message per record, its value being its record's.
pub fn messages(records: &[u32]) -> Messages {
    Messages {
        output: 0,
        records: records.to_vec(),
        topics: None,
        keys: None,
        no_key: vec![],
        values: MessageValues::Same,
        no_value: vec![],
        headers: vec![],
    }
}

/// A failure by a guest.
pub fn failure(verdict: gristmill::effect::Verdict, code: &str) -> Failure {
    Failure::one(verdict, "validate", "abc", code, format!("because {code}"))
}

/// All dead letters.
pub fn letters() -> gristmill::store::DeadLetterQuery {
    gristmill::store::DeadLetterQuery { limit: 10_000, ..Default::default() }
}
