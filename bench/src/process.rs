//! A host as a process of its own, and what it costs: processor time by kind of thread, memory, progress.

use anyhow::{Context, bail};
use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a host may take to end.
const END_MAX: Duration = Duration::from_secs(60);

/// What a host stands on.
pub(crate) struct Setup {
    pub(crate) log: String,
    pub(crate) store: String,
    /// Where lookups are answered, if not from the store.
    pub(crate) lookup: Option<String>,
    pub(crate) modules: PathBuf,
    /// For mail, and for what the host has to say.
    pub(crate) folder: PathBuf,
}

/// A host at work.
pub(crate) struct HostProcess {
    child: Child,
    address: String,
    said: PathBuf,
}

/// Processor seconds, by what they were spent on.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct Cpu {
    pub(crate) guests: f64,
    pub(crate) host: f64,
    pub(crate) store_client: f64,
    pub(crate) log_client: f64,
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.guests + self.host + self.store_client + self.log_client
    }

    /// What was spent since `before`, for each of `parts`.
    pub(crate) fn since(self, before: Cpu, parts: f64) -> Cpu {
        Cpu {
            guests: (self.guests - before.guests) / parts,
            host: (self.host - before.host) / parts,
            store_client: (self.store_client - before.store_client) / parts,
            log_client: (self.log_client - before.log_client) / parts,
        }
    }
}

/// How far a host is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) records: u64,
    pub(crate) published: u64,
    pub(crate) guest_seconds: f64,
    pub(crate) retries: u64,
}

/// How a host works its stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stages {
    /// In the sandbox, as it ships.
    Guests,
    /// In the sandbox; what is compiled is told to `perf`, in `/tmp/perf-<process>.map`.
    NamedGuests,
    /// Without the sandbox.
    Native,
}

impl HostProcess {
    /// Starts this program's `host`.
    pub(crate) fn start(setup: &Setup, specs: &[&Path], stages: Stages) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let said = setup.folder.join("host.log");
        let mut command = Command::new(std::env::current_exe()?);
        let natively = (stages == Stages::Native).then_some("--natively");
        command.arg("host").args(specs).args(natively);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("GRISTMILL_") {
                command.env_remove(name);
            }
        }
        if stages == Stages::NamedGuests {
            command.env("GRISTMILL_PERF_MAP", "1");
        }
        if let Some(lookup) = &setup.lookup {
            command.env("GRISTMILL_LOOKUP", lookup);
        }
        let child = command
            .env("GRISTMILL_LOG", &setup.log)
            .env("GRISTMILL_STORE", &setup.store)
            .env("GRISTMILL_MAIL", format!("file:{}", setup.folder.join("mail").display()))
            .env("GRISTMILL_DATA", setup.folder.join("data"))
            .env("GRISTMILL_MODULES", &setup.modules)
            .env("GRISTMILL_LISTEN", &address)
            .env("GRISTMILL_TRACE", "warn")
            .stdout(Stdio::null())
            .stderr(File::create(&said)?)
            .spawn()
            .context("cannot start the host")?;
        Ok(HostProcess { child, address, said })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How far it is; nothing while it is not up yet.
    pub(crate) fn progress(&mut self) -> anyhow::Result<Option<Progress>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the host ended by itself ({status}): {}", self.said());
        }
        let Ok(mut answer) = ureq::get(format!("http://{}/metrics", self.address)).call() else {
            return Ok(None);
        };
        Ok(Some(parse(&answer.body_mut().read_to_string()?)))
    }

    /// Its metrics, as Prometheus reads them.
    pub(crate) fn metrics(&self) -> anyhow::Result<String> {
        self.get("/metrics")
    }

    /// Whether its pipelines have joined their groups.
    pub(crate) fn is_ready(&self) -> bool {
        ureq::get(format!("http://{}/readyz", self.address)).call().is_ok()
    }

    /// How its pipelines are, in its own words.
    pub(crate) fn status(&self) -> anyhow::Result<String> {
        Ok(format!("{} {}", self.get("/v1/pipelines")?, self.said()))
    }

    /// Whether its lanes have published what they committed. The counters do not tell: what a lane that is taken over finds
    /// to be published is in none.
    pub(crate) fn has_published(&self) -> anyhow::Result<bool> {
        let list: List = serde_json::from_str(&self.get("/v1/pipelines")?)?;
        for Named { name } in list.pipelines {
            let shown: Shown = serde_json::from_str(&self.get(&format!("/v1/pipelines/{name}"))?)?;
            // A lane that the group is just giving out anew may have something left.
            if shown.lanes.is_empty() || shown.lanes.iter().any(|lane| lane.published != lane.batch) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn get(&self, path: &str) -> anyhow::Result<String> {
        Ok(ureq::get(format!("http://{}{path}", self.address)).call()?.body_mut().read_to_string()?)
    }

    /// Processor time since its start, by thread. Guests run on the lanes' threads: their own count is subtracted.
    pub(crate) fn cpu(&self, guest_seconds: f64) -> anyhow::Result<Cpu> {
        let process = Process::new(i32::try_from(self.id())?)?;
        let per_second = procfs::ticks_per_second() as f64;
        let seconds = |stat: &procfs::process::Stat| (stat.utime + stat.stime) as f64 / per_second;
        // Threads that have ended are in the whole only: they count as the host's.
        let whole = seconds(&process.stat()?);
        let mut cpu = Cpu { guests: guest_seconds, ..Cpu::default() };
        for task in process.tasks()?.flatten() {
            // A thread may end while it is looked at.
            let Ok(stat) = task.stat() else { continue };
            match kind(&stat.comm) {
                Kind::Log => cpu.log_client += seconds(&stat),
                Kind::Store => cpu.store_client += seconds(&stat),
                Kind::Host => {}
            }
        }
        cpu.host = whole - cpu.guests - cpu.log_client - cpu.store_client;
        Ok(cpu)
    }

    /// Resident memory now and at its peak, MiB.
    pub(crate) fn memory_mib(&self) -> anyhow::Result<(f64, f64)> {
        let status = Process::new(i32::try_from(self.id())?)?.status()?;
        let mib = |kib: Option<u64>| kib.unwrap_or(0) as f64 / 1_024.0;
        Ok((mib(status.vmrss), mib(status.vmhwm)))
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = Pid::from_raw(i32::try_from(self.id())?).context("a process without a number")?;
        kill_process(id, Signal::TERM)?;
        let start = Instant::now();
        while start.elapsed() < END_MAX {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the host ended badly ({status}): {}", self.said()),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        bail!("the host does not end: {}", self.said())
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap_or_default()
    }
}

/// What `GET /v1/pipelines` answers, as far as it is of interest here.
#[derive(serde::Deserialize)]
struct List {
    pipelines: Vec<Named>,
}

#[derive(serde::Deserialize)]
struct Named {
    name: String,
}

/// What `GET /v1/pipelines/{name}` answers, as far as it is of interest here.
#[derive(serde::Deserialize)]
struct Shown {
    lanes: Vec<Lane>,
}

#[derive(serde::Deserialize)]
struct Lane {
    batch: i64,
    published: i64,
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

enum Kind {
    Log,
    Store,
    Host,
}

/// Threads by their names, of which the kernel keeps 15 bytes. A commit runs on tokio's threads, and a lane's
/// thread waits for it; SQLite has threads of sqlx's. HTTP and mail are on tokio's threads too: next to nothing
/// here.
fn kind(thread: &str) -> Kind {
    let begins = |with: &[&str]| with.iter().any(|with| thread.starts_with(with));
    if begins(&["rdk:", "publish-", "source-"]) {
        Kind::Log
    } else if begins(&["tokio-", "commit-", "sqlx-"]) {
        Kind::Store
    } else {
        Kind::Host
    }
}

/// Sums what Prometheus' text format lists by label.
fn parse(metrics: &str) -> Progress {
    let sum = |name: &str| -> f64 {
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        metrics.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    // Parked records come back, and are counted then.
    let parked = metrics.lines().filter(|line| line.contains("outcome=\"parked\"")).filter_map(|line| {
        let of_records = line.starts_with(&format!("{}{{", gristmill::telemetry::RECORDS));
        of_records.then(|| line.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    let parked: f64 = parked.sum();
    Progress {
        records: (sum(gristmill::telemetry::RECORDS) - parked) as u64,
        published: sum(gristmill::telemetry::PUBLISHED) as u64,
        guest_seconds: sum(gristmill::telemetry::GUEST_MICROSECONDS) / 1e6,
        retries: sum(gristmill::telemetry::RETRIES) as u64,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn metrics_are_summed_by_name() {
        let text = "# HELP gristmill_records_total x\ngristmill_records_total{outcome=\"worked\"} 10\n\
            gristmill_records_total{outcome=\"dead-letter\"} 2\n\
            gristmill_records_total{outcome=\"parked\"} 7\ngristmill_records_total_more 5\n\
            gristmill_published_batches_total{pipeline=\"a\"} 3\n\
            gristmill_guest_microseconds_total{stage=\"a b\"} 1500000\n";
        let progress = super::parse(text);
        assert_eq!((progress.records, progress.published), (12, 3));
        assert!((progress.guest_seconds - 1.5).abs() < 1e-9);
    }
}
