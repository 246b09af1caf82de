//! Where a benchmark takes place: its topics, databases and folders, and what a run in them is.

use crate::backlog::{self, Backlog};
use crate::database::Database;
use crate::drain::{Drained, drain};
use crate::load::{self, Expected};
use crate::pipelines::{self, Names, Pipeline};
use crate::process::{Setup, Stages};
use anyhow::{Context, bail};
use gristmill::config::Settings;
use gristmill::generate::Scenario;
use gristmill::log::Log;
use gristmill::lookup::{KeyValues, Redis};
use gristmill::spec::Spec;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;

/// Partitions of source topics, unless their number is what is measured.
pub(crate) const PARTITIONS: i32 = 4;

/// Where things are.
#[derive(Clone, clap::Args)]
pub(crate) struct Place {
    /// The folder of results, and of what runs leave behind while they are at it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// A Kafka cluster: kafka://host:port
    #[arg(long, env = "GRISTMILL_TEST_LOG", value_name = "URL")]
    pub(crate) log: String,
    /// A PostgreSQL server on which databases may be made: postgres://user:password@host/database
    #[arg(long, env = "GRISTMILL_TEST_STORE", value_name = "URL", hide_env_values = true)]
    pub(crate) store: String,
    /// A Redis server: redis://host:port; what order-vault looks up is written there
    #[arg(long, env = "GRISTMILL_TEST_LOOKUP", value_name = "URL", hide_env_values = true)]
    pub(crate) lookup: Option<String>,
    /// The folder of modules
    #[arg(long, env = "GRISTMILL_TEST_MODULES", value_name = "FOLDER")]
    pub(crate) modules: PathBuf,
}

/// A benchmark at work. What it makes on the servers is named by `id`, and goes with it.
pub(crate) struct Bench {
    pub(crate) id: String,
    pub(crate) place: Place,
    pub(crate) folder: PathBuf,
    pub(crate) runtime: Runtime,
    pub(crate) log: Arc<dyn Log>,
    /// Records in each Kafka backlog, by topic.
    written: BTreeMap<String, u64>,
}

/// A run that is ready to begin: a spec in a folder of its own, and a new database.
pub(crate) struct Ready {
    pub(crate) spec: PathBuf,
    pub(crate) setup: Setup,
    pub(crate) database: Database,
}

impl Bench {
    pub(crate) fn open(place: &Place) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let id = format!("bench{}", time::OffsetDateTime::now_utc().unix_timestamp());
        let place = Place { out: std::path::absolute(&place.out)?, ..place.clone() };
        let folder = place.out.join(&id);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // The store is of no interest here: opening the two together wants one.
        let store = Some(format!("sqlite:{}", folder.join("unused.db").display()));
        let settings = Settings { log: Some(place.log.clone()), store, ..Settings::default() };
        let (_, log) = runtime.block_on(settings.open())?;
        Ok(Bench { id, place, folder, runtime, log, written: BTreeMap::new() })
    }

    /// Writes what an example looks up to where it is looked up.
    pub(crate) fn load_reference(&self, scenario: Scenario) -> anyhow::Result<()> {
        let url = self.place.lookup.as_ref().context("the examples need a Redis (--lookup)")?;
        let redis = Redis::new(url).map_err(anyhow::Error::msg)?;
        let entries = scenario.reference().into_iter();
        let entries = entries.map(|made| (made.key.into_bytes(), made.value.into_bytes())).collect();
        self.runtime.block_on(redis.put_many(entries)).map_err(anyhow::Error::msg)
    }

    /// Kafka, PostgreSQL and, for what is looked up, Redis.
    fn setup(&self, database: &Database, folder: PathBuf) -> Setup {
        Setup {
            log: self.place.log.clone(),
            store: database.url(),
            lookup: self.place.lookup.clone(),
            modules: self.place.modules.clone(),
            folder,
        }
    }

    /// The three pipelines of order-vault, joined by topics, ready to begin, the first one from a topic.
    pub(crate) fn ready_joined(
        &self,
        run: &str,
        topic: &str,
    ) -> anyhow::Result<(Vec<PathBuf>, Setup, Database)> {
        let folder = self.folder.join(run);
        let (group, prefix) = (format!("{}-{run}", self.id), self.id.clone());
        let specs = pipelines::write_joined(&self.names(&group, topic, &prefix), &folder)?;
        let database = self.database(run)?;
        let setup = self.setup(&database, folder);
        Ok((specs, setup, database))
    }

    /// The name of a topic of this benchmark's own.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.id)
    }

    /// The backlog of a pipeline.
    pub(crate) fn backlog(&self, pipeline: Pipeline) -> Backlog {
        let topic = self.topic(pipeline.backlog());
        Backlog {
            topic,
            partitions: PARTITIONS,
            make: Arc::new(move |number| load::record(pipeline, number)),
        }
    }

    /// Brings a backlog in Kafka to so many records.
    pub(crate) fn fill(&mut self, backlog: &Backlog, records: u64) -> anyhow::Result<()> {
        let written = self.written.entry(backlog.topic.clone()).or_default();
        if *written < records {
            let start = Instant::now();
            self.runtime.block_on(backlog::append(&self.log, backlog, *written..records))?;
            say(&format!(
                "{} records written to {} in {:.1} s",
                records - *written,
                backlog.topic,
                start.elapsed().as_secs_f64()
            ));
            *written = records;
        }
        Ok(())
    }

    /// The names of a run.
    fn names<'a>(&'a self, group: &'a str, topic: &'a str, prefix: &'a str) -> Names<'a> {
        Names { pipeline: group, topic, prefix, modules: &self.place.modules }
    }

    /// Writes the spec of a run that is called `run` into a folder of its own; `change` has the last word.
    pub(crate) fn spec(
        &self,
        pipeline: Pipeline,
        run: &str,
        change: impl FnOnce(&mut toml::Table),
    ) -> anyhow::Result<(PathBuf, PathBuf)> {
        let folder = self.folder.join(run);
        let (group, prefix) = (format!("{}-{run}", self.id), format!("{}.out", self.id));
        let topic = self.topic(pipeline.backlog());
        let names = self.names(&group, &topic, &prefix);
        Ok((pipelines::write_spec(pipeline, &names, &folder, change)?, folder))
    }

    /// A new database for a run.
    pub(crate) fn database(&self, run: &str) -> anyhow::Result<Database> {
        Database::create(&self.place.store, &format!("{}_{}", self.id, run.replace('-', "_")))
    }

    /// A run on Kafka and PostgreSQL, ready to begin.
    pub(crate) fn ready(
        &self,
        pipeline: Pipeline,
        run: &str,
        change: impl FnOnce(&mut toml::Table),
    ) -> anyhow::Result<Ready> {
        let (spec, folder) = self.spec(pipeline, run, change)?;
        let database = self.database(run)?;
        let setup = self.setup(&database, folder);
        Ok(Ready { spec, setup, database })
    }

    /// A run from a backlog in Kafka into a new database, which is handed back.
    pub(crate) fn real(
        &self,
        ready: Ready,
        stages: Stages,
        expected: Expected,
    ) -> anyhow::Result<(Drained, Database)> {
        let drained = drain(&self.runtime, &ready.setup, &ready.spec, stages, expected)?;
        std::fs::remove_dir_all(ready.setup.folder)?;
        Ok((drained, ready.database))
    }

    /// The journal and SQLite in one file, copied from one that holds the backlog.
    pub(crate) fn embedded(
        &self,
        pipeline: Pipeline,
        run: &str,
        expected: Expected,
    ) -> anyhow::Result<Drained> {
        let full = self.folder.join(format!("{}.db", pipeline.backlog()));
        if !full.exists() {
            let settings = Settings {
                log: Some("journal:".to_owned()),
                store: Some(format!("sqlite:{}", full.display())),
                ..Settings::default()
            };
            let (_, log) = self.runtime.block_on(settings.open())?;
            self.runtime.block_on(backlog::append(&log, &self.backlog(pipeline), 0..expected.records))?;
        }
        let (spec, folder) = self.spec(pipeline, run, |_| {})?;
        let file = folder.join("gristmill.db");
        copy_database(&full, &file)?;
        let setup = Setup {
            log: "journal:".to_owned(),
            store: format!("sqlite:{}", file.display()),
            lookup: self.place.lookup.clone(),
            modules: self.place.modules.clone(),
            folder: folder.clone(),
        };
        let drained = drain(&self.runtime, &setup, &spec, Stages::Guests, expected)?;
        std::fs::remove_dir_all(folder)?;
        Ok(drained)
    }

    /// Loads a file of rows into a table as the host makes it; answers rows per second.
    pub(crate) fn copy(&self, pipeline: Pipeline, run: &str, expected: Expected) -> anyhow::Result<f64> {
        let (spec, _) = self.spec(pipeline, run, |_| {})?;
        let spec = Spec::read(&spec)?;
        let table = spec.tables.first().context("a spec without a table")?;
        let database = self.database(run)?;
        let settings = Settings {
            log: Some(self.place.log.clone()),
            store: Some(database.url()),
            ..Settings::default()
        };
        self.runtime.block_on(async {
            let (store, _) = settings.open().await?;
            anyhow::Ok(store.prepare_tables(&spec).await?)
        })?;
        let seconds = database.import(&table.name, &self.rows_file(pipeline))?;
        let rows = database.count(&table.name)?;
        if rows != expected.rows {
            bail!("\\copy loaded {rows} rows instead of {}", expected.rows);
        }
        Ok(rows as f64 / seconds)
    }

    fn rows_file(&self, pipeline: Pipeline) -> PathBuf {
        self.folder.join(format!("{}.copy", pipeline.backlog()))
    }

    /// Keeps the rows of the first run for `\copy`.
    pub(crate) fn keep_rows(&self, pipeline: Pipeline, database: &Database) -> anyhow::Result<()> {
        let file = self.rows_file(pipeline);
        if file.exists() { Ok(()) } else { database.export(pipeline.table(), &file) }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let removed = self.runtime.block_on(backlog::remove_topics(&self.place.log, &self.log, &self.id));
        if let Err(error) = removed {
            eprintln!("topics that begin with {} are left behind: {error:#}", self.id);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A SQLite file and what belongs to it.
fn copy_database(from: &Path, to: &Path) -> anyhow::Result<()> {
    for ending in ["", "-wal"] {
        let (from, to) = (format!("{}{ending}", from.display()), format!("{}{ending}", to.display()));
        if Path::new(&from).exists() {
            std::fs::copy(&from, &to).with_context(|| format!("cannot copy {from}"))?;
        }
    }
    Ok(())
}

/// Tells a person how far it is.
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
