//! What the figures were measured on.

use crate::database::psql;
use crate::pipelines::repository;
use anyhow::ensure;
use procfs::Current as _;
use std::process::Command;

/// Facts that figures mean nothing without.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Machine {
    date: String,
    git_commit: String,
    rustc: String,
    /// Whether this program and the native twins are built as they ship: if not, the figures mean nothing.
    release_build: bool,
    kernel: String,
    processor: String,
    cores: usize,
    memory_mib: u64,
    /// Of the last minute, when the run began: what else the machine was doing.
    load_average: f32,
    postgres: String,
    fsync: String,
    synchronous_commit: String,
}

impl Machine {
    /// Asks this machine, and the database's server.
    ///
    /// # Errors
    /// Commits would cost less than they do in production.
    pub(crate) fn look(store: &str) -> anyhow::Result<Self> {
        let ask = |sql: &str| psql(store, sql).map(|text| text.trim().to_owned());
        let processor = procfs::CpuInfo::current()?.model_name(0).unwrap_or("unknown").to_owned();
        let (fsync, synchronous_commit) = (ask("SHOW fsync")?, ask("SHOW synchronous_commit")?);
        ensure!(
            fsync == "on" && synchronous_commit == "on",
            "the database's server does not wait for its disk (fsync, synchronous_commit): its figures mean nothing"
        );
        Ok(Machine {
            date: time::OffsetDateTime::now_utc().format(&time::format_description::well_known::Rfc3339)?,
            git_commit: first_line("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            rustc: first_line("rustc", &["--version"]),
            release_build: !cfg!(debug_assertions),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            processor,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: procfs::Meminfo::current()?.mem_total >> 20,
            load_average: procfs::LoadAverage::current()?.one,
            postgres: ask("SHOW server_version")?,
            fsync,
            synchronous_commit,
        })
    }

    /// In one line.
    pub(crate) fn line(&self) -> String {
        let build = if self.release_build { "" } else { "A DEBUG BUILD, ITS FIGURES MEAN NOTHING: " };
        format!(
            "{build}{} cores ({}), {} MiB, Linux {}, PostgreSQL {} (fsync {}), {}, commit {}, load {:.1} at the start",
            self.cores,
            self.processor,
            self.memory_mib,
            self.kernel,
            self.postgres,
            self.fsync,
            self.rustc,
            self.git_commit,
            self.load_average
        )
    }
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(repository()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}
