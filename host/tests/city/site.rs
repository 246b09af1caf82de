//! One run's own place: a database, a topic, a group, a folder; hosts as processes.

use gristmill::config::Settings;
use gristmill::log::Log;
use gristmill::spec::Spec;
use gristmill::store::{Store, TableQuery};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ACTING: &str = r#"
version = 1
name = "NAME"
[source]
topic = "NAME.in"
partitions = 2
[[stage]]
name = "act"
module = "MODULES/test/misbehave.wasm"
[[table]]
name = "items"
mode = "append"
columns = [{ name = "id", type = "bigint" }, { name = "note", type = "text", nullable = true }]
[[output]]
name = "out"
topic = "NAME.out"
[dead_letters]
topic = "NAME.dlq"
[limits]
message_bytes_max = 1000
guest_time_ms_max = 2000
guest_memory_bytes_max = 33554432
effects_bytes_max = 8388608
"#;

/// Which parts a run stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    Embedded,
    Real,
}

/// A run's own place; removed at its end.
pub struct Site {
    pub set: Set,
    pub name: String,
    pub folder: tempfile::TempDir,
    pub settings: Settings,
    pub spec_path: PathBuf,
    /// Specs that its hosts work besides.
    pub more: Vec<PathBuf>,
    /// More of the program's environment.
    pub environment: Vec<(String, String)>,
    database: Option<String>,
    /// What its hosts are asked with.
    pub token: Option<String>,
}

/// The server of a test, by its environment variable.
pub fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"))
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

impl Site {
    /// A place for city-orders, its names made this run's own and its batches small enough to be many.
    pub fn city(set: Set, test: &str) -> Self {
        let example = repository().join("examples/city-orders");
        let spec = std::fs::read_to_string(example.join("pipeline.toml")).unwrap();
        let site = Self::new(set, test, &spec, |spec, name| {
            spec.replace("\"product_orders", &format!("\"{name}.product_orders"))
                .replace("name = \"city-orders\"", &format!("name = \"{name}\""))
                .replace("topic = \"{}\"", &format!("topic = \"{name}.{{}}\""))
                .replace("orders@gristmill.example", &format!("{name}@gristmill.example"))
                .replace("batch_records_max = 2_000", "batch_records_max = 40")
        });
        for file in ["order.schema.json", "route.toml"] {
            std::fs::copy(example.join(file), site.folder.path().join(file)).unwrap();
        }
        site
    }

    /// A place for a guest that does what each record asks for (`guests/misbehave`), on the real set. A record with
    /// `to` is a row, in a table that would show a double, and a message.
    pub fn acting(test: &str) -> Self {
        let modules = crate::sandbox::modules().display().to_string();
        Self::new(Set::Real, test, ACTING, |spec, name| {
            spec.replace("NAME", name).replace("MODULES", &modules)
        })
    }

    /// The same on any set, with so many partitions and with a module of the test's own, `stamp`.
    pub fn acting_with(test: &str, set: Set, partitions: i32, code: &[u8]) -> Self {
        let mut site = Self::new(set, test, ACTING, |spec, name| {
            spec.replace("NAME", name)
                .replace("MODULES/test/misbehave.wasm", "stamp.wasm")
                .replace("partitions = 2", &format!("partitions = {partitions}"))
        });
        std::fs::write(site.folder.path().join("stamp.wasm"), code).unwrap();
        let token = site.must(&["token", "create", "tests", "--role", "admin"]);
        site.token = Some(token.trim().to_owned());
        site
    }

    /// A place for a spec.
    pub fn new(set: Set, test: &str, spec: &str, rename: impl Fn(&str, &str) -> String) -> Self {
        tell_failures_at_once();
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("{test}-{}", nanos % 10_000_000_000);
        let folder = tempfile::tempdir().unwrap();
        let spec_path = folder.path().join("pipeline.toml");
        std::fs::write(&spec_path, rename(spec, &name)).unwrap();
        let mut database = None;
        let settings = match set {
            Set::Embedded => Settings {
                log: Some("journal:".to_owned()),
                store: Some(format!("sqlite:{}", folder.path().join("gristmill.db").display())),
                mail: Some(format!("file:{}", folder.path().join("mail").display())),
                ..Settings::default()
            },
            Set::Real => {
                let base = server("GRISTMILL_TEST_STORE");
                let own = name.replace('-', "_");
                sql(&base, &format!("CREATE DATABASE {own}"));
                let mut store = url::Url::parse(&base).unwrap();
                store.set_path(&own);
                database = Some(own);
                Settings {
                    log: Some(server("GRISTMILL_TEST_LOG")),
                    store: Some(store.to_string()),
                    mail: Some(server("GRISTMILL_TEST_MAIL")),
                    session_timeout_ms: Some(1_500),
                    ..Settings::default()
                }
            }
        };
        Site {
            set,
            name,
            folder,
            settings,
            spec_path,
            more: Vec::new(),
            environment: Vec::new(),
            database,
            token: None,
        }
    }

    pub fn topic(&self) -> String {
        self.spec().source.topic
    }

    pub fn spec(&self) -> Spec {
        Spec::read(&self.spec_path).unwrap()
    }

    /// The program with this place's settings.
    pub fn gristmill(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
        command
            .env("GRISTMILL_LOG", self.settings.log.as_ref().unwrap())
            .env("GRISTMILL_STORE", self.settings.store.as_ref().unwrap())
            .env("GRISTMILL_MAIL", self.settings.mail.as_ref().unwrap())
            .env("GRISTMILL_SESSION_TIMEOUT_MS", "1500")
            .env("GRISTMILL_MAIL_LEASE_MS", "2000")
            .env("GRISTMILL_MODULES", crate::sandbox::modules())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.gristmill().args(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; answers what it printed.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gristmill {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Gives the pipelines other names, so that they read every record from offset 0 once more, over the same tables.
    pub fn rename_pipelines(&self) {
        let own = format!("\nname = \"{}", self.name);
        for path in std::iter::once(&self.spec_path).chain(&self.more) {
            let spec = std::fs::read_to_string(path).unwrap();
            // The pipeline's name is the first one of its spec.
            let again = spec.replacen(&own, &format!("{own}-again"), 1);
            assert_ne!(spec, again);
            std::fs::write(path, again).unwrap();
        }
    }

    /// Feeds the example's sample orders.
    pub fn ingest(&self, file: &Path) {
        let partitions = self.spec().source.partitions.to_string();
        let file = file.display().to_string();
        self.must(&["ingest", &self.topic(), &file, "--key", "/order_id", "--partitions", &partitions]);
    }

    /// A host on a port of its own; dies at the crash point if one is named.
    pub fn host(&self, crash_at: Option<&str>) -> Host {
        self.any_host(crash_at, &[])
    }

    /// A host with settings of its own.
    pub fn host_with(&self, variables: &[(&str, &str)]) -> Host {
        self.any_host(None, variables)
    }

    /// A host that works the pipelines of the catalog.
    pub fn host_of_catalog(&self) -> Host {
        self.host_of(None, &[], &[])
    }

    fn any_host(&self, crash_at: Option<&str>, variables: &[(&str, &str)]) -> Host {
        let specs: Vec<&PathBuf> = std::iter::once(&self.spec_path).chain(&self.more).collect();
        self.host_of(crash_at, variables, &specs)
    }

    fn host_of(
        &self,
        crash_at: Option<&str>,
        variables: &[(&str, &str)],
        specs: &[&std::path::PathBuf],
    ) -> Host {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = self.folder.path().join(format!("host-{port}.log"));
        let mut command = self.gristmill();
        command
            .arg("run")
            .args(specs)
            .env("GRISTMILL_LISTEN", format!("127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap());
        if let Some(rate) = self.settings.ingest_records_per_second_max {
            command.env("GRISTMILL_INGEST_RECORDS_PER_SECOND_MAX", rate.to_string());
        }
        if let Some(open) = self.settings.open_ingest {
            command.env("GRISTMILL_OPEN_INGEST", open.to_string());
        }
        if let Some(point) = crash_at {
            command.env("GRISTMILL_CRASH_AT", point);
        }
        command.envs(variables.iter().copied());
        Host {
            child: command.spawn().unwrap(),
            address: format!("127.0.0.1:{port}"),
            log,
            token: self.token.clone(),
        }
    }

    /// How far the pipeline is, in the store, the group and the log. A server that has much to do is asked again.
    pub fn status(&self) -> Value {
        self.status_of(&self.spec_path)
    }

    /// How many records wait for its pipelines.
    pub fn lag(&self) -> i64 {
        let specs = std::iter::once(&self.spec_path).chain(&self.more);
        let lag = |spec: &PathBuf| -> i64 {
            let status = self.status_of(spec);
            status["lanes"].as_array().unwrap().iter().filter_map(|lane| lane["lag"].as_i64()).sum()
        };
        specs.map(lag).sum()
    }

    fn status_of(&self, spec: &Path) -> Value {
        let start = Instant::now();
        loop {
            match self.try_status(spec) {
                Ok(status) => return status,
                Err(error) if start.elapsed() > Duration::from_secs(20) => panic!("pipeline status: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// The same, where a server may not answer for a moment.
    fn try_status(&self, spec: &Path) -> Result<Value, String> {
        let output = self.run(&["pipeline", "status", &spec.display().to_string(), "--json"]);
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Waits until all is committed, published, sent, and nothing is parked.
    #[track_caller]
    pub fn wait_until_done(&self, hosts: &mut [&mut Host]) {
        let start = Instant::now();
        // In the order in which records pass them: what the first one is done with, the next one has.
        let mut specs = std::iter::once(&self.spec_path).chain(&self.more).peekable();
        while let Some(spec) = specs.peek() {
            let status = self.try_status(spec);
            if status.as_ref().is_ok_and(|status| is_done(&Spec::read(spec).unwrap(), status)) {
                specs.next();
                continue;
            }
            if start.elapsed() > Duration::from_secs(180) {
                let logs: Vec<String> = hosts.iter().map(|host| host.log()).collect();
                panic!("not done after 180 s: {status:#?}\n{}", logs.join("\n---\n"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Store and log of this place, and a runtime to ask them in.
    pub fn open(&self) -> (tokio::runtime::Runtime, Arc<dyn Store>, Arc<dyn Log>) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (store, log) = runtime.block_on(self.settings.open()).unwrap();
        (runtime, store, log)
    }

    /// All rows of all tables of its pipelines, in the order of their keys.
    pub fn tables(&self) -> BTreeMap<String, Vec<Value>> {
        let (runtime, store, log) = self.open();
        let paths = std::iter::once(&self.spec_path).chain(&self.more);
        let specs: Vec<Spec> = paths.map(|path| Spec::read(path).unwrap()).collect();
        let tables = runtime.block_on(async {
            let mut tables = BTreeMap::new();
            for table in specs.iter().flat_map(|spec| &spec.tables) {
                let mut query = TableQuery { limit: 1_000, ..TableQuery::default() };
                let mut rows = Vec::new();
                loop {
                    let page = store.read_table(table, &query).await.unwrap();
                    rows.extend(page.rows);
                    match page.next {
                        Some(next) => query.after = Some(next),
                        None => break,
                    }
                }
                tables.insert(table.name.clone(), rows);
            }
            tables
        });
        drop((store, log));
        runtime.shutdown_background();
        tables
    }

    pub fn database_url(&self) -> String {
        self.settings.store.clone().unwrap()
    }
}

fn is_done(spec: &Spec, status: &Value) -> bool {
    let lanes = status["lanes"].as_array().unwrap();
    lanes.len() == usize::try_from(spec.source.partitions).unwrap()
        && lanes.iter().all(|lane| {
            lane["lag"] == 0
                && lane["group_offset"] == lane["next_offset"]
                && lane["group_batch"] == lane["batch"]
        })
        && status["parked"] == 0
        && status["mails"]["pending"] == 0
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(database) = &self.database {
            let base = server("GRISTMILL_TEST_STORE");
            let _ =
                std::panic::catch_unwind(|| sql(&base, &format!("DROP DATABASE {database} WITH (FORCE)")));
        }
    }
}

/// A test that fails says so when it does, not only at the end of all: the minutes between may be many.
fn tell_failures_at_once() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Elsewhere fakes panic on purpose.
            if panic.location().is_some_and(|place| place.file().contains("tests/city")) {
                let _ = writeln!(std::io::stderr(), "\n{panic}");
            }
            hook(panic);
        }));
    });
}

/// Runs a statement by psql.
#[track_caller]
pub fn sql(url: &str, statement: &str) -> String {
    let output =
        Command::new("psql").args([url, "-v", "ON_ERROR_STOP=1", "-qAtc", statement]).output().unwrap();
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A host process.
pub struct Host {
    child: Child,
    pub address: String,
    log: PathBuf,
    /// What it is asked with.
    pub token: Option<String>,
}

impl Host {
    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stderr, its end.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// All that it has written to stderr.
    pub fn whole_log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it is up: its pipelines have joined their groups.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        let start = Instant::now();
        while !matches!(ureq::get(format!("http://{}/readyz", self.address)).call(), Ok(answer) if answer.status() == 200)
        {
            assert!(self.child.try_wait().unwrap().is_none(), "the host ended: {}", self.log());
            assert!(start.elapsed() < Duration::from_secs(90), "the host is not ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits for it to end by itself; answers its exit code, `None` if a signal ended it.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < Duration::from_secs(60), "the host does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All rows that a path answers with, page by page. The path has a query.
    #[track_caller]
    pub fn rows(&self, path: &str) -> Vec<Value> {
        let (mut rows, mut next) = (Vec::new(), String::new());
        loop {
            let url = format!("http://{}{path}{next}", self.address);
            let text = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
            let page: Value = serde_json::from_str(&text).unwrap();
            rows.extend(page["rows"].as_array().unwrap().iter().cloned());
            match page["next"].as_str() {
                Some(after) => {
                    let after: String = url::form_urlencoded::byte_serialize(after.as_bytes()).collect();
                    next = format!("&after={after}");
                }
                None => return rows,
            }
        }
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop; answers its exit code.
    #[track_caller]
    pub fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.wait_for_end()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}
