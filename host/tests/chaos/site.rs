//! One run's own place: a database, topics, a group, a folder, and how its hosts are started.

use super::facts::{Database, Topics};
use super::hosts::{Hosts, Recipe};
use super::options::Options;
use super::servers::{Servers, repository};
use gristmill::config::Settings;
use gristmill::log::Log;
use gristmill::store::Store;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Partitions of the source, unless a scenario wants another number.
pub const PARTITIONS: i32 = 4;

pub struct Site {
    pub name: String,
    pub folder: PathBuf,
    pub partitions: i32,
    pub database: Database,
    pub store: Arc<dyn Store>,
    pub log: Arc<dyn Log>,
    /// Kafka's address without the proxy; `None` on the embedded set.
    pub bootstrap: Option<String>,
    pub runtime: Handle,
    recipe: Option<Recipe>,
}

/// The folder of modules: as `cargo xtask` says, or where it builds them.
fn modules() -> String {
    std::env::var("GRISTMILL_TEST_MODULES").unwrap_or_else(|_| {
        let beside = Path::new(env!("CARGO_BIN_EXE_gristmill")).ancestors().nth(2).unwrap().join("modules");
        beside.display().to_string()
    })
}

/// A folder that stays when something went wrong.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("gristmill-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn unique(what: &str) -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    format!("chaos-{what}-{}", nanos / 1_000_000 % 1_000_000_000)
}

fn write_spec(folder: &Path, name: &str, partitions: i32) -> PathBuf {
    let path = folder.join("pipeline.toml");
    let spec = include_str!("pipeline.toml").replace("NAME", name).replace("MODULES", &modules());
    let spec = spec.replace("partitions = 4", &format!("partitions = {partitions}"));
    std::fs::write(&path, spec).unwrap();
    path
}

impl Site {
    /// A place on the real set.
    pub fn real(
        runtime: &Handle,
        servers: &Servers,
        options: &Options,
        what: &str,
        partitions: i32,
        broken: Option<&str>,
    ) -> Self {
        let name = unique(what);
        let folder = folder(&name);
        let spec = write_spec(&folder, &name, partitions);
        let own = name.replace('-', "_");
        let bootstrap = format!("127.0.0.1:{}", servers.kafka_port);
        let direct = servers.database(&own, false);
        let settings = Settings {
            log: Some(format!("kafka://{bootstrap}")),
            store: Some(direct.clone()),
            ..Settings::default()
        };
        let (pool, (store, log)) = runtime.block_on(async {
            let base = sqlx::PgPool::connect(&servers.database("gristmill", false)).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {own}")))
                .execute(&base)
                .await
                .unwrap();
            let pool = PgPoolOptions::new().max_connections(4).connect(&direct).await.unwrap();
            (pool, settings.open().await.unwrap())
        });
        let mut variables = vec![
            ("GRISTMILL_LOG", format!("kafka://127.0.0.1:{}", servers.kafka.port)),
            ("GRISTMILL_STORE", servers.database(&own, true)),
            ("GRISTMILL_LOOKUP", "store:".to_owned()),
            ("GRISTMILL_MAIL", format!("smtp://127.0.0.1:{}", servers.smtp.port)),
            ("GRISTMILL_SESSION_TIMEOUT_MS", options.session_ms.to_string()),
            ("GRISTMILL_MAIL_LEASE_MS", "2000".to_owned()),
        ];
        variables.extend(broken.map(|rule| ("GRISTMILL_BREAK", rule.to_owned())));
        let database = Database::Postgres(pool);
        let recipe = Some(Recipe { variables, spec, folder: folder.clone() });
        let runtime = runtime.clone();
        Site { name, folder, partitions, database, store, log, bootstrap: Some(bootstrap), runtime, recipe }
    }

    /// A place on the embedded set, its data in this folder.
    pub fn embedded(runtime: &Handle, data: &Path) -> Self {
        let name = unique("embedded");
        let folder = folder(&name);
        let spec = write_spec(&folder, &name, PARTITIONS);
        let file = data.join("gristmill.db");
        let settings = Settings {
            log: Some("journal:".to_owned()),
            store: Some(format!("sqlite:{}", file.display())),
            ..Settings::default()
        };
        let (pool, (store, log)) = runtime.block_on(async {
            let opened = settings.open().await.unwrap();
            let pool = SqlitePoolOptions::new().max_connections(2);
            let reading = SqliteConnectOptions::new().filename(&file).read_only(true);
            (pool.connect_with(reading).await.unwrap(), opened)
        });
        let variables = vec![
            ("GRISTMILL_LOG", "journal:".to_owned()),
            ("GRISTMILL_STORE", format!("sqlite:{}", file.display())),
            ("GRISTMILL_MAIL", format!("file:{}", data.join("mail").display())),
            ("GRISTMILL_MAIL_LEASE_MS", "2000".to_owned()),
        ];
        let database = Database::Sqlite(pool);
        let recipe = Some(Recipe { variables, spec, folder: folder.clone() });
        let (partitions, runtime) = (PARTITIONS, runtime.clone());
        Site { name, folder, partitions, database, store, log, bootstrap: None, runtime, recipe }
    }

    /// The places for this site's hosts, all empty; once.
    pub fn hosts(&mut self) -> Hosts {
        Hosts::new(self.recipe.take().unwrap())
    }

    pub fn topic(&self) -> String {
        format!("{}.in", self.name)
    }

    pub fn topics(&self) -> Topics {
        match &self.bootstrap {
            Some(bootstrap) => Topics::Kafka { bootstrap: bootstrap.clone(), positions: BTreeMap::new() },
            None => {
                Topics::Journal { log: self.log.clone(), seen: HashSet::new(), runtime: self.runtime.clone() }
            }
        }
    }
}

/// A small disk of its own: a tmpfs, taken away at the end.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this user must not mount.
    pub fn mount() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("gristmill-chaos-disk-").tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=320m", "gristmill-chaos"]).arg(folder.path());
        mount.output().is_ok_and(|output| output.status.success()).then_some(SmallDisk(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        use std::io::Write;
        let Ok(mut file) = std::fs::File::create(self.ballast()) else { return };
        for size in [1 << 20, 4_096, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    pub fn free(&self) {
        let _ = std::fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

/// Where examples and guests are; for messages.
pub fn again(options: &Options, set: &str, from: usize, count: usize) -> String {
    let folder = repository();
    format!(
        "cd {} && cargo xtask chaos --seed {} --set {set} --from {from} --faults {count}",
        folder.display(),
        options.seed
    )
}
