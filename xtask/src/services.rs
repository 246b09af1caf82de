//! Real servers for tests: Apache Kafka, PostgreSQL, Redis and an SMTP sink, each on loopback, with data,
//! log and address in one folder, apart from whatever else runs on the machine. Each can be spoken to in plaintext
//! without a password, as most tests do, and with TLS and a password.
//!
//! `up` starts what is not up, and may be called at any time; `down` ends what `up` started and nothing
//! else. A server is known by its pid *and* its start time, so that a number used again is never killed.

mod certificates;
mod folder;
mod kafka;
mod mail;
pub(crate) mod postgres;
mod process;
mod redis;
mod service;
mod urls;

use std::path::PathBuf;

use anyhow::{Context, Result};

pub(crate) use folder::Folder;
pub(crate) use service::Service;
use urls::Origin;

use crate::{packages, progress, workspace};

/// The versions that `up` brings; compose.yaml must name the same (see `compose.rs`).
pub(crate) const KAFKA_VERSION: &str = "4.1.1";
/// Debian 12's; where only another one is installed, that is taken.
pub(crate) const POSTGRES_MAJOR: u32 = 15;

/// What is to be done, and in which folder.
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    pub(crate) action: Action,
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    Up,
    Down { purge: bool },
    Restart(Service),
    Kill(Service),
}

/// Servers that answer: where they are, and which of them this call has started.
pub(crate) struct Running {
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) started: Vec<Service>,
}

pub(crate) fn carry_out(order: Order) -> Result<()> {
    let folder = Folder::open(order.dir)?;
    match order.action {
        Action::Up => {
            let running = up(&folder)?;
            for (name, value) in &running.variables {
                println!("{name}={value}");
            }
            progress::say(&format!("ready; for a shell: . {}", folder.env_file().display()));
            Ok(())
        }
        Action::Down { purge } => down(&folder, &Service::ALL, purge),
        Action::Restart(service) => restart(&folder, service),
        Action::Kill(service) => kill(&folder, service),
    }
}

/// Brings up what is not up yet, all of it or nothing, and writes the addresses to the folder's `env` file.
pub(crate) fn up(folder: &Folder) -> Result<Running> {
    let _lock = folder.lock()?;
    let mut to_start = Vec::new();
    for service in Service::ALL {
        match urls::origin(folder, service)? {
            Origin::Elsewhere(url) => {
                urls::check_reachable(service, &url)?;
                progress::say(&format!("{}: using {url}", service.name()));
            }
            Origin::Here if process::running(folder, service)?.is_some() => {}
            Origin::Here => to_start.push(service),
        }
    }
    packages::install(&service::missing_packages(&to_start))?;
    let kafka_libs = kafka::libs()?;
    certificates::prepare(folder)?;
    if let Err(error) = start_all(folder, &to_start) {
        to_start.iter().try_for_each(|service| process::stop(folder, *service))?;
        return Err(error);
    }
    let variables = urls::variables(folder, &kafka_libs)?;
    folder.write_env(&variables)?;
    Ok(Running { variables, started: to_start })
}

/// Side by side: Kafka takes longest, and the others are up before it.
fn start_all(folder: &Folder, services: &[Service]) -> Result<()> {
    let outcomes: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            services.iter().map(|service| scope.spawn(move || start(folder, *service))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(died()))).collect()
    });
    outcomes.into_iter().collect()
}

fn died() -> anyhow::Error {
    anyhow::anyhow!("a thread that starts a server died")
}

fn start(folder: &Folder, service: Service) -> Result<()> {
    let port = folder.free_port(service.name())?;
    service.prepare(folder, port).with_context(|| format!("cannot prepare {}", service.name()))?;
    process::start(folder, service, port)
}

/// Ends those of `services` that run here; data stays unless `purge`.
pub(crate) fn down(folder: &Folder, services: &[Service], purge: bool) -> Result<()> {
    let _lock = folder.lock()?;
    for service in services {
        process::stop(folder, *service)?;
        if purge {
            service.purge(folder)?;
        }
    }
    if purge && *services == Service::ALL {
        folder.purge(certificates::NAME)?;
        folder.forget()?;
    }
    Ok(())
}

fn restart(folder: &Folder, service: Service) -> Result<()> {
    let _lock = folder.lock()?;
    process::stop(folder, service)?;
    certificates::prepare(folder)?;
    start(folder, service)?;
    // It keeps its port, unless somebody else has taken it meanwhile.
    folder.write_env(&urls::variables(folder, &kafka::libs()?)?)
}

fn kill(folder: &Folder, service: Service) -> Result<()> {
    let _lock = folder.lock()?;
    process::kill(folder, service)
}

/// The folder that services live in, unless an argument names another.
fn default_folder() -> PathBuf {
    workspace::variable("GRISTMILL_SERVICES_DIR")
        .map_or_else(|| workspace::root().join(".gristmill/services"), PathBuf::from)
}
