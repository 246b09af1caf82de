//! Settings of the process: flags, then environment, then a settings file, then defaults. Secrets may lie in files:
//! `GRISTMILL_STORE_FILE` names a file that holds what `GRISTMILL_STORE` would.

use crate::catalog::check::Policy;
use crate::catalog::signature::TrustedKeys;
use crate::control::tls::Tls;
use crate::log::kafka::{KafkaLog, KafkaSettings, Properties};
use crate::log::{Log, journal::Journal};
use crate::lookup::{KeyValues, Redis, Reference, Sources};
use crate::secrets::Secrets;
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::database::Database;
use crate::store::{self, Store};
use crate::tls::Roots;
use crate::transform::{CompileLimits, Engine};
use anyhow::{Context, bail};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

/// The environment variables that this host reads, as `compose.yaml` and the documentation may name them.
pub const ENVIRONMENT: [&str; 25] = [
    "GRISTMILL_REQUIRE_SIGNATURE",
    "GRISTMILL_TRUSTED_KEYS",
    "GRISTMILL_UPLOAD_WASI",
    "GRISTMILL_UPLOAD_BYTES_MAX",
    "GRISTMILL_MAIL_LEASE_MS",
    "GRISTMILL_CACHE",
    "GRISTMILL_SECRETS",
    "GRISTMILL_LOG",
    "GRISTMILL_STORE",
    "GRISTMILL_LOOKUP",
    "GRISTMILL_MAIL",
    "GRISTMILL_LISTEN",
    "GRISTMILL_TLS_CERT",
    "GRISTMILL_TLS_KEY",
    "GRISTMILL_OPEN_INGEST",
    "GRISTMILL_MODULES",
    "GRISTMILL_DATA",
    "GRISTMILL_SETTINGS",
    "GRISTMILL_SESSION_TIMEOUT_MS",
    "GRISTMILL_INGEST_RECORDS_PER_SECOND_MAX",
    "GRISTMILL_TRACE",
    "GRISTMILL_CA_FILE",
    "GRISTMILL_KAFKA_PROPERTIES",
    "GRISTMILL_KAFKA_USERNAME",
    "GRISTMILL_KAFKA_PASSWORD",
];

const KAFKA_PROPERTIES: &str = "GRISTMILL_KAFKA_PROPERTIES";

/// Where things are. Flags go before the environment, which goes before the settings file.
#[derive(Clone, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where records come from and messages go: kafka://host:port (several, separated by commas) | journal: (in the
    /// store's file) | journal:FILE
    #[arg(long, env = "GRISTMILL_LOG", global = true, value_name = "URL", hide_env_values = true)]
    pub log: Option<String>,
    /// Where rows go: postgres://user:password@host/database | sqlite:FILE
    #[arg(long, env = "GRISTMILL_STORE", global = true, value_name = "URL", hide_env_values = true)]
    pub store: Option<String>,
    /// Where lookups are answered: redis://user:password@host:port | rediss://… (TLS) | store: (the store's reference
    /// table)
    #[arg(long, env = "GRISTMILL_LOOKUP", global = true, value_name = "URL", hide_env_values = true)]
    pub lookup: Option<String>,
    /// How mail goes out: smtp://user:password@host:port?tls=required (STARTTLS) | smtps://… | smtp://host:port |
    /// file:FOLDER (one .eml file each)
    #[arg(long, env = "GRISTMILL_MAIL", global = true, value_name = "URL", hide_env_values = true)]
    pub mail: Option<String>,
    /// Root certificates (PEM) that servers' certificates are checked against, beside the system's
    #[arg(long, env = "GRISTMILL_CA_FILE", global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// librdkafka's properties, for all clients of the log: name=value, on lines of their own or with `;` between them
    #[arg(long, env = KAFKA_PROPERTIES, global = true, value_name = "TEXT", hide_env_values = true)]
    #[serde(skip)]
    pub kafka_properties: Option<String>,
    /// The user of the log: librdkafka's sasl.username
    #[arg(
        long,
        env = "GRISTMILL_KAFKA_USERNAME",
        global = true,
        value_name = "USER",
        hide_env_values = true
    )]
    pub kafka_username: Option<String>,
    /// The user's password: librdkafka's sasl.password. Better in the environment: what is typed, others can see
    #[arg(
        long,
        env = "GRISTMILL_KAFKA_PASSWORD",
        global = true,
        value_name = "PASSWORD",
        hide_env_values = true
    )]
    pub kafka_password: Option<String>,
    /// librdkafka's properties, in the settings file.
    #[arg(skip)]
    pub kafka: Option<toml::Table>,
    /// The address of the HTTP interface
    #[arg(long, env = "GRISTMILL_LISTEN", global = true, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// The HTTP interface's certificate and its chain, PEM: it speaks TLS with it, and nothing else
    #[arg(long, env = "GRISTMILL_TLS_CERT", global = true, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, env = "GRISTMILL_TLS_KEY", global = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Take records over HTTP from everybody, without a token: true | false
    #[arg(long, env = "GRISTMILL_OPEN_INGEST", global = true, value_name = "BOOL", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new())]
    pub open_ingest: Option<bool>,
    /// The folder of the embedded set, where nothing else is said
    #[arg(long, env = "GRISTMILL_DATA", global = true, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// The folder that keeps compiled modules: private to this user
    #[arg(long, env = "GRISTMILL_CACHE", global = true, value_name = "FOLDER")]
    pub cache: Option<PathBuf>,
    /// The folder of the secrets that specs name, a file for each: guests have digests made with them and never see them
    #[arg(long, env = "GRISTMILL_SECRETS", global = true, value_name = "FOLDER")]
    pub secrets: Option<PathBuf>,
    /// How long a silent host keeps its partitions, milliseconds (brokers allow 6000 or more unless told otherwise)
    #[arg(long, env = "GRISTMILL_SESSION_TIMEOUT_MS", global = true, value_name = "MS")]
    pub session_timeout_ms: Option<u32>,
    /// For how long a host has a mail to itself while it sends it, milliseconds: after that a host that died is taken
    /// to be dead, and the mail is sent by another. Not below the slowest server's answer
    #[arg(long, env = "GRISTMILL_MAIL_LEASE_MS", global = true, value_name = "MS")]
    pub mail_lease_ms: Option<u32>,
    /// Take no module without a signature by a trusted key
    #[arg(long, env = "GRISTMILL_REQUIRE_SIGNATURE", global = true, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub require_signature: Option<bool>,
    /// The folder of the public keys that modules may be signed with: NAME.pem or NAME.pub
    #[arg(long, env = "GRISTMILL_TRUSTED_KEYS", global = true, value_name = "FOLDER")]
    pub trusted_keys: Option<PathBuf>,
    /// Take modules that import WASI; it grants them nothing
    #[arg(long, env = "GRISTMILL_UPLOAD_WASI", global = true, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub upload_wasi: Option<bool>,
    /// The largest module that is taken, bytes
    #[arg(long, env = "GRISTMILL_UPLOAD_BYTES_MAX", global = true, value_name = "BYTES")]
    pub upload_bytes_max: Option<u64>,
    /// Records that the HTTP interface takes for one topic in a second
    #[arg(long, env = "GRISTMILL_INGEST_RECORDS_PER_SECOND_MAX", global = true, value_name = "N")]
    pub ingest_records_per_second_max: Option<u32>,
    /// A TOML file with these settings, under the flags' names with `_` for `-`
    #[arg(long, env = "GRISTMILL_SETTINGS", global = true, value_name = "FILE")]
    #[serde(skip)]
    pub settings: Option<PathBuf>,
    /// The program that compiles modules in processes of its own: this one; in this process if absent
    #[arg(skip)]
    #[serde(skip)]
    pub compiler: Option<PathBuf>,
}

impl std::fmt::Debug for Settings {
    /// Nothing: most of them may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

impl Settings {
    /// Fills what flags and environment leave open from `*_FILE` variables and from the settings file.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds an unknown key.
    pub fn complete(mut self) -> anyhow::Result<Self> {
        for (name, value) in [
            ("GRISTMILL_LOG", &mut self.log),
            ("GRISTMILL_STORE", &mut self.store),
            ("GRISTMILL_LOOKUP", &mut self.lookup),
            ("GRISTMILL_MAIL", &mut self.mail),
            (KAFKA_PROPERTIES, &mut self.kafka_properties),
            ("GRISTMILL_KAFKA_USERNAME", &mut self.kafka_username),
            ("GRISTMILL_KAFKA_PASSWORD", &mut self.kafka_password),
        ] {
            let variable = format!("{name}_FILE");
            if let (None, Some(path)) = (&value, std::env::var_os(&variable)) {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("{variable}={}: cannot be read", Path::new(&path).display()))?;
                *value = Some(text.trim().to_owned());
                // A file's lines are lines, also where it has only one.
                if let (KAFKA_PROPERTIES, Some(text)) = (name, value) {
                    text.push('\n');
                }
            }
        }
        let Some(path) = &self.settings else { return Ok(self) };
        let shown = path.display();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("settings file {shown} cannot be read"))?;
        let file: Settings = toml::from_str(&text)
            .map_err(|error| anyhow::anyhow!("settings file {shown}{}", without_values(&error, &text)))?;
        Ok(Settings {
            log: self.log.or(file.log),
            store: self.store.or(file.store),
            lookup: self.lookup.or(file.lookup),
            mail: self.mail.or(file.mail),
            ca_file: self.ca_file.or(file.ca_file),
            kafka_properties: self.kafka_properties,
            kafka_username: self.kafka_username.or(file.kafka_username),
            kafka_password: self.kafka_password.or(file.kafka_password),
            kafka: file.kafka,
            listen: self.listen.or(file.listen),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            open_ingest: self.open_ingest.or(file.open_ingest),
            data: self.data.or(file.data),
            cache: self.cache.or(file.cache),
            secrets: self.secrets.or(file.secrets),
            session_timeout_ms: self.session_timeout_ms.or(file.session_timeout_ms),
            mail_lease_ms: self.mail_lease_ms.or(file.mail_lease_ms),
            ingest_records_per_second_max: self
                .ingest_records_per_second_max
                .or(file.ingest_records_per_second_max),
            require_signature: self.require_signature.or(file.require_signature),
            trusted_keys: self.trusted_keys.or(file.trusted_keys),
            upload_wasi: self.upload_wasi.or(file.upload_wasi),
            upload_bytes_max: self.upload_bytes_max.or(file.upload_bytes_max),
            settings: self.settings,
            compiler: self.compiler,
        })
    }

    fn folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| PathBuf::from(".gristmill/data"))
    }

    /// The folder that keeps compiled modules: in the user's cache, unless another one is named.
    pub fn cache_folder(&self) -> PathBuf {
        let named = self.cache.clone();
        let users =
            || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
        named
            .or_else(|| Some(users().or_else(home)?.join("gristmill/compiled")))
            .unwrap_or_else(|| self.folder().join("compiled"))
    }

    /// The sandbox, with its cache, compiling in processes of their own if this program can.
    ///
    /// # Errors
    /// What the platform refuses.
    pub fn open_engine(&self) -> anyhow::Result<Engine> {
        let engine = Engine::new(Some(&self.cache_folder())).context("the sandbox cannot be set up")?;
        Ok(self.compiling(engine))
    }

    /// A sandbox that counts fuel.
    ///
    /// # Errors
    /// What the platform refuses.
    pub fn open_meter(&self) -> anyhow::Result<Engine> {
        let engine = Engine::metered(Some(&self.cache_folder())).context("the sandbox cannot be set up")?;
        Ok(self.compiling(engine))
    }

    fn compiling(&self, engine: Engine) -> Engine {
        match &self.compiler {
            Some(program) => engine.compiling_with(program, CompileLimits::default()),
            None => engine,
        }
    }

    /// Which modules this host takes.
    ///
    /// # Errors
    /// Trusted keys that cannot be read, or signatures that are required without any key to check them with.
    pub fn policy(&self) -> anyhow::Result<Policy> {
        let trusted = self.trusted_keys.as_deref().map(TrustedKeys::read).transpose()?.unwrap_or_default();
        let require_signature = self.require_signature.unwrap_or(false);
        if require_signature && trusted.is_empty() {
            bail!(
                "GRISTMILL_REQUIRE_SIGNATURE needs keys to check with: GRISTMILL_TRUSTED_KEYS names their folder"
            );
        }
        let usual = Policy::default();
        Ok(Policy {
            require_signature,
            trusted,
            wasi: self.upload_wasi.unwrap_or(usual.wasi),
            code_bytes_max: self
                .upload_bytes_max
                .map_or(usual.code_bytes_max, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            ..usual
        })
    }

    /// The store's URL.
    pub fn store_url(&self) -> String {
        self.store
            .clone()
            .unwrap_or_else(|| format!("sqlite:{}", self.folder().join("gristmill.db").display()))
    }

    /// The log's URL.
    pub fn log_url(&self) -> String {
        self.log.clone().unwrap_or_else(|| "journal:".to_owned())
    }

    /// The lookups' URL.
    pub fn lookup_url(&self) -> String {
        self.lookup.clone().unwrap_or_else(|| "store:".to_owned())
    }

    /// The mail's URL.
    pub fn mail_url(&self) -> String {
        self.mail.clone().unwrap_or_else(|| format!("file:{}", self.folder().join("mail").display()))
    }

    /// The HTTP interface's address.
    ///
    /// # Errors
    /// If it is not `host:port`.
    pub fn listen_address(&self) -> anyhow::Result<SocketAddr> {
        let listen = self.listen.as_deref().unwrap_or("127.0.0.1:7171");
        listen.parse().with_context(|| format!("GRISTMILL_LISTEN: `{listen}` is not ADDRESS:PORT"))
    }

    /// Certificate and key of the HTTP interface, if it is to speak TLS.
    ///
    /// # Errors
    /// One without the other, and what cannot be read or does not go together.
    pub fn tls(&self) -> anyhow::Result<Option<Tls>> {
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(Tls::read(certificate, key)?)),
            _ => bail!("GRISTMILL_TLS_CERT and GRISTMILL_TLS_KEY go together: one of them is missing"),
        }
    }

    /// Opens the store and brings its own tables up to date; if it is a SQLite file, answers that too.
    ///
    /// # Errors
    /// A setting that names nothing, and a store that cannot be opened.
    pub async fn open_store(&self) -> anyhow::Result<(Arc<dyn Store>, Option<Arc<Database>>)> {
        let store_url = self.store_url();
        let mut database = None;
        let store: Arc<dyn Store> = if let Some(path) = store_url.strip_prefix("sqlite:") {
            let opened = open_database(Path::new(path)).await?;
            database = Some(opened.clone());
            Arc::new(SqliteStore::over_database(opened))
        } else {
            // The file itself is looked at first: what is wrong with it, the store would tell of each connection.
            let roots = self.roots()?;
            store::open_trusting(&store_url, roots.as_ref().map(Roots::path)).await?
        };
        store.migrate().await?;
        Ok((store, database))
    }

    /// Opens store and log, whichever they are; the store's own tables are brought up to date.
    ///
    /// # Errors
    /// Settings that name nothing, and a store that cannot be opened.
    pub async fn open(&self) -> anyhow::Result<(Arc<dyn Store>, Arc<dyn Log>)> {
        let log_url = self.log_url();
        let (store, database) = self.open_store().await?;
        let log: Arc<dyn Log> = if let Some(bootstrap) = log_url.strip_prefix("kafka://") {
            if bootstrap.contains('@') {
                bail!(
                    "GRISTMILL_LOG: kafka:// takes no user: set GRISTMILL_KAFKA_USERNAME, GRISTMILL_KAFKA_PASSWORD and \
                     {KAFKA_PROPERTIES}"
                );
            }
            Arc::new(KafkaLog::new(KafkaSettings {
                bootstrap: bootstrap.to_owned(),
                session_timeout_ms: self.session_timeout_ms.unwrap_or(6_000),
                properties: self.kafka_properties()?,
            })?)
        } else if let Some(path) = log_url.strip_prefix("journal:") {
            let database = match (path, database) {
                ("", Some(database)) => database,
                ("", None) => bail!("GRISTMILL_LOG=journal: needs a SQLite store, or a file: journal:FILE"),
                (path, _) => open_database(Path::new(path)).await?,
            };
            Arc::new(Journal::new(database, Handle::current()))
        } else {
            bail!("GRISTMILL_LOG: `{}` is not kafka://host:port or journal:", without_secrets(&log_url));
        };
        Ok((store, log))
    }

    /// What the lookups of all pipelines ask.
    ///
    /// # Errors
    /// A setting that names nothing.
    pub fn open_sources(&self, store: &Arc<dyn Store>) -> anyhow::Result<Sources> {
        Ok(Sources { keys: self.open_lookup(store)?, secrets: self.secrets() })
    }

    /// The secrets of this host.
    pub fn secrets(&self) -> Secrets {
        Secrets::of(self.secrets.clone())
    }

    /// The server of lookups.
    ///
    /// # Errors
    /// A setting that names nothing.
    pub fn open_lookup(&self, store: &Arc<dyn Store>) -> anyhow::Result<Arc<dyn KeyValues>> {
        let url = self.lookup_url();
        if url == "store:" {
            return Ok(Arc::new(Reference(store.clone())));
        }
        if !url.starts_with("redis://") && !url.starts_with("rediss://") {
            bail!("GRISTMILL_LOOKUP: `{}` is not redis://host:port or store:", without_secrets(&url));
        }
        let redis = Redis::trusting(&url, self.roots()?.as_ref());
        Ok(Arc::new(redis.map_err(|error| anyhow::anyhow!("GRISTMILL_LOOKUP: {error}"))?))
    }

    /// The way that mail goes out.
    ///
    /// # Errors
    /// A setting that names nothing.
    pub fn open_mail(&self) -> anyhow::Result<Arc<dyn crate::mail::Transport>> {
        Ok(crate::mail::open_trusting(&self.mail_url(), self.roots()?.as_ref())?)
    }

    /// The root certificates of `GRISTMILL_CA_FILE`.
    /// Root certificates of one's own, if a file is named.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn roots(&self) -> anyhow::Result<Option<Roots>> {
        self.ca_file.as_deref().map(|path| Roots::read(path).context("GRISTMILL_CA_FILE")).transpose()
    }

    /// librdkafka's properties, from wherever they are set; the environment goes before the settings file.
    fn kafka_properties(&self) -> anyhow::Result<Properties> {
        let mut properties = Properties::default();
        for (name, value, origin) in [
            ("sasl.username", &self.kafka_username, "GRISTMILL_KAFKA_USERNAME"),
            ("sasl.password", &self.kafka_password, "GRISTMILL_KAFKA_PASSWORD"),
        ] {
            if let Some(value) = value {
                properties.add(name, value, origin)?;
            }
        }
        if let Some(text) = &self.kafka_properties {
            let file = std::env::var_os(format!("{KAFKA_PROPERTIES}_FILE"));
            let origin = match file.filter(|_| std::env::var_os(KAFKA_PROPERTIES).is_none()) {
                Some(file) => format!("{KAFKA_PROPERTIES}_FILE={}", Path::new(&file).display()),
                None => KAFKA_PROPERTIES.to_owned(),
            };
            properties.add_text(text, &origin)?;
        }
        if let (Some(table), Some(file)) = (&self.kafka, &self.settings) {
            properties.add_table(table, &format!("settings file {}, [kafka]", file.display()))?;
        }
        Ok(properties.complete(self.roots()?.as_ref())?)
    }
}

async fn open_database(path: &Path) -> anyhow::Result<Arc<Database>> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    }
    Ok(Database::open(path).await?)
}

/// What is known to be no secret of a URL that names nothing we know: its scheme.
fn without_secrets(url: &str) -> String {
    url.split_once("://").map_or("…".to_owned(), |(scheme, _)| format!("{scheme}://…"))
}

/// What is wrong with a settings file, with its place, and without the values in it, of which any may be a secret.
fn without_values(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let place = before.map_or(String::new(), |before| format!(", line {}", before.matches('\n').count() + 1));
    let message = error.message();
    match (message.find('"'), message.rfind('"')) {
        (Some(from), Some(to)) if from < to => {
            let (start, end) = (message.get(..from).unwrap_or(""), message.get(to + 1..).unwrap_or(""));
            format!("{place}: {start}…{end}")
        }
        _ => format!("{place}: {message}"),
    }
}
