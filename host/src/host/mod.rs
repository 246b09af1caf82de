//! A host: store, log and mail opened, its pipelines at work, its HTTP interface up; and all of it ended in order.

mod checker;
pub mod explain;
mod follow;
mod overview;
mod works;

use self::checker::SandboxChecker;
use self::follow::Follower;
use self::overview::Overview;
use self::works::Works;
use crate::catalog::registry::Registry;
use crate::catalog::wake::Wake;
use crate::config::Settings;
use crate::control::auth::Policy;
use crate::control::tls::Tls;
use crate::control::{self, AppState, IngestLimits};
use crate::deploy::Deployer;
use crate::intake::Watcher;
use crate::log::Log;
use crate::mail::{Relay, Settings as RelaySettings};
use crate::sites::Sites;
use crate::spec::Spec;
use crate::store::Store;
#[cfg(feature = "native-stages")]
use crate::transform::Pipeline as Transform;
use anyhow::{Context, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a change of the catalog may go unheard: notifications come at once, but may get lost.
const LOOK: Duration = Duration::from_secs(1);

/// A host that is ready to work.
pub struct Host {
    /// Its store.
    pub store: Arc<dyn Store>,
    /// Its log.
    pub log: Arc<dyn Log>,
    /// Its pipelines.
    pub sites: Arc<Sites>,
    /// What is done with modules and pipelines.
    pub registry: Arc<Registry>,
    /// Ends it: lanes drain, requests finish, the relay stops.
    pub stop: CancellationToken,
    works: Arc<Works>,
    wake: Wake,
    /// Whether it works the pipelines of the catalog.
    follows: bool,
    deployer: Mutex<Option<Deployer>>,
    mail: Arc<dyn crate::mail::Transport>,
    mail_committed: Arc<Notify>,
    relay: RelaySettings,
    tls: Option<Tls>,
    open_ingest: bool,
}

/// What a host is to work.
#[derive(Default)]
pub struct Orders {
    /// Pipelines whose specs are files: they stay as they are until the host ends.
    pub specs: Vec<Arc<Spec>>,
    /// Also the pipelines of the catalog, whichever there are at a moment.
    pub catalog: bool,
}

impl From<Vec<Arc<Spec>>> for Orders {
    fn from(specs: Vec<Arc<Spec>>) -> Self {
        Orders { specs, catalog: false }
    }
}

impl Host {
    /// Opens everything and checks that it fits: modules compile and accept their configuration, tables are made or
    /// verified. Pipelines of the catalog are opened when the host has started.
    ///
    /// # Errors
    /// The first thing that does not fit, and what to do.
    pub async fn open(settings: &Settings, orders: impl Into<Orders>) -> anyhow::Result<Self> {
        let orders = orders.into();
        let (host, specs) = Self::empty(settings, orders).await?;
        for spec in specs {
            let site = host.works.open(spec, 0).await?;
            host.sites.put(site);
        }
        Ok(host)
    }

    /// The same with other stages: `adapt` gets each pipeline's stages, loaded and checked.
    ///
    /// # Errors
    /// As [`Host::open`], and what `adapt` says.
    #[cfg(feature = "native-stages")]
    pub async fn open_adapted(
        settings: &Settings,
        specs: Vec<Arc<Spec>>,
        adapt: impl Fn(Transform) -> anyhow::Result<Transform>,
    ) -> anyhow::Result<Self> {
        let (host, specs) = Self::empty(settings, specs.into()).await?;
        for spec in specs {
            let site = host.works.open_adapted(spec, 0, &adapt).await?;
            host.sites.put(site);
        }
        Ok(host)
    }

    /// A host without pipelines, and those that it is to have.
    async fn empty(settings: &Settings, orders: Orders) -> anyhow::Result<(Self, Vec<Arc<Spec>>)> {
        for (place, spec) in orders.specs.iter().enumerate() {
            if orders.specs.iter().take(place).any(|other| other.name == spec.name) {
                bail!("two pipelines are called `{}`", spec.name);
            }
        }
        let tls = settings.tls()?;
        let mail = settings.open_mail()?;
        let (store, log) = settings.open().await?;
        let sources = settings.open_sources(&store)?;
        let engine = settings.open_engine()?;
        let (taken_up, wake, sites) = (Arc::new(Notify::new()), Wake::default(), Arc::new(Sites::default()));
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let (stop, mail_committed) = (CancellationToken::new(), Arc::new(Notify::new()));
        let works = Works {
            store: store.clone(),
            log: log.clone(),
            engine: engine.clone(),
            sources: sources.clone(),
            guest_calls: cores.max(2),
            mail_committed: mail_committed.clone(),
            taken_up: taken_up.clone(),
            stop: stop.clone(),
        };
        let registry = Arc::new(Registry {
            store: store.clone(),
            engine: engine.clone(),
            meter: settings.open_meter()?,
            policy: settings.policy()?,
            sites: sites.clone(),
            sources,
            wake: wake.clone(),
            checks: Semaphore::new(1),
        });
        let deployer = Deployer {
            host: host_name(),
            store: store.clone(),
            engine,
            sites: sites.clone(),
            follows: orders.catalog,
            taken_up,
            wake: wake.clone(),
        };
        let mut relay = RelaySettings::default();
        if let Some(lease_ms) = settings.mail_lease_ms {
            relay.lease_ms = i64::from(lease_ms.max(1));
        }
        let host = Host {
            store,
            log,
            sites,
            registry,
            stop,
            works: Arc::new(works),
            wake,
            follows: orders.catalog,
            deployer: Mutex::new(Some(deployer)),
            mail,
            mail_committed,
            relay,
            tls,
            open_ingest: settings.open_ingest.unwrap_or(false),
        };
        Ok((host, orders.specs))
    }

    /// Starts the pipelines and the mail relay.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(&self) -> anyhow::Result<Running> {
        for site in self.sites.all() {
            site.start()?;
            let spec = site.spec();
            for watch in &spec.watches {
                let folder = spec.folder.as_deref().unwrap_or(Path::new(".")).join(&watch.folder);
                let (pipeline, log) = (spec.name.clone(), self.log.clone());
                let watcher = Watcher { pipeline, folder, watch: watch.clone(), log };
                tokio::spawn(watcher.run(self.stop.child_token()));
            }
        }
        let relay = Relay {
            store: self.store.clone(),
            transport: self.mail.clone(),
            wake: self.mail_committed.clone(),
            settings: self.relay,
        };
        if let Some(deployer) = self.deployer.lock().take() {
            tokio::spawn(deployer.run(self.stop.child_token()));
        }
        let follower = self.follows.then(|| {
            let (store, works) = (self.store.clone(), self.works.clone());
            let follower = Follower::new(store, works, self.sites.clone(), self.wake.clone());
            tokio::spawn(follower.run(self.stop.child_token()))
        });
        tokio::spawn(listen(self.store.clone(), self.wake.clone(), self.stop.child_token()));
        let relay_stop = CancellationToken::new();
        let relay = tokio::spawn(relay.run(relay_stop.clone()));
        Ok(Running { sites: self.sites.clone(), follower, relay, relay_stop })
    }

    /// What the HTTP interface stands on.
    pub fn app_state(&self, limits: IngestLimits, metrics: PrometheusHandle) -> AppState {
        AppState {
            store: self.store.clone(),
            log: self.log.clone(),
            specs: self.sites.specs(),
            checker: Arc::new(SandboxChecker { sites: self.sites.clone(), idle: Arc::default() }),
            status: Arc::new(Overview(self.sites.clone())),
            registry: self.registry.clone(),
            limits,
            // Where it listens is known when it does.
            policy: Policy { loopback: false, open_ingest: self.open_ingest },
            metrics,
        }
    }

    /// Makes the topics that pipelines read and that their routes write, so that records can come in before any lane
    /// is there.
    ///
    /// # Errors
    /// What the log says; it may not be there yet.
    pub async fn ensure_topics(&self) -> Result<(), crate::log::Error> {
        for site in self.sites.all() {
            let source = &site.spec().source;
            let topic = crate::log::NewTopic {
                name: source.topic.clone(),
                partitions: source.partitions,
                replication: source.replication,
            };
            if self.log.partitions(&topic.name).await?.is_none() {
                self.log.ensure_topic(&topic).await?;
            }
        }
        Ok(())
    }

    /// Serves HTTP until the host is stopped.
    ///
    /// # Errors
    /// Routes that contradict each other, or the listener.
    pub fn serve(&self, listener: TcpListener, state: AppState) -> JoinHandle<Result<(), control::Error>> {
        tokio::spawn(control::serve(listener, self.tls.clone(), state, self.stop.clone()))
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Tells, for an address to listen on, what whoever set it so may not have meant.
    pub fn warn_about_doors(&self, address: std::net::SocketAddr) {
        if control::auth::is_loopback(address.ip()) {
            return;
        }
        if self.tls.is_none() {
            tracing::warn!(
                %address,
                "the HTTP interface can be reached from other machines and speaks no TLS: tokens and records can be \
                 read on the way. Set GRISTMILL_TLS_CERT and GRISTMILL_TLS_KEY, or let only something reach it that \
                 speaks TLS for it"
            );
        }
        if self.open_ingest {
            tracing::warn!(%address, "GRISTMILL_OPEN_INGEST: whoever reaches this address can send records");
        }
    }
}

/// A name for this run of this host: people find the machine by it, and no two runs share it.
fn host_name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = machine.trim();
    let machine = if machine.is_empty() { "host" } else { machine };
    let run = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
    format!("{machine}-{}-{:06x}", std::process::id(), run & 0xff_ffff)
}

/// Tells the host of what is changed in the catalog.
async fn listen(store: Arc<dyn Store>, wake: Wake, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            () = store.catalog_changed(LOOK) => wake.all(),
        }
    }
}

/// The parts of a host that are at work.
pub struct Running {
    sites: Arc<Sites>,
    follower: Option<JoinHandle<()>>,
    relay: JoinHandle<()>,
    relay_stop: CancellationToken,
}

impl Running {
    /// Whether every pipeline has ended, and none can come.
    pub fn ended(&self) -> bool {
        self.follower.is_none() && self.sites.all().iter().all(|site| site.ended())
    }

    /// Waits for all parts to end; to be called after [`Host::stop`] is cancelled, or when all pipelines have ended.
    ///
    /// # Errors
    /// Why pipelines stopped by themselves.
    pub async fn join(self) -> anyhow::Result<()> {
        if let Some(follower) = self.follower {
            follower.await.context("the follower of the catalog ended by a panic")?;
        }
        let mut reasons = Vec::new();
        for site in self.sites.all() {
            if let Err(why) = tokio::task::spawn_blocking(move || site.join()).await? {
                reasons.push(why);
            }
        }
        // Mails of the last batches: what is not sent in time waits in the store for the next host.
        self.relay_stop.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(35), self.relay).await;
        if reasons.is_empty() { Ok(()) } else { Err(anyhow::anyhow!(reasons.join("\n"))) }
    }
}
