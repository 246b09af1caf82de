//! Databases of runs, by psql: what is needed of it is little, and `\copy` is psql's own.

use anyhow::{Context, bail};
use std::path::Path;
use std::process::Command;

/// A database of one run; dropped at its end, however that comes.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes a new one on the server that `url` leads to.
    pub(crate) fn create(url: &str, name: &str) -> anyhow::Result<Self> {
        psql(url, &format!("CREATE DATABASE {name}"))?;
        // What runs before have written is not this run's cost.
        psql(url, "CHECKPOINT")?;
        Ok(Database { server: url.to_owned(), name: name.to_owned() })
    }

    pub(crate) fn url(&self) -> String {
        let (address, query) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let server = address.rsplit_once('/').map_or(address, |(server, _)| server);
        format!("{server}/{}{}{query}", self.name, if query.is_empty() { "" } else { "?" })
    }

    /// Writes a table's rows into a file.
    pub(crate) fn export(&self, table: &str, file: &Path) -> anyhow::Result<()> {
        psql(&self.url(), &format!("\\copy {table} TO '{}'", file.display())).map(drop)
    }

    /// Loads a file's rows into a table; answers the seconds that it took.
    pub(crate) fn import(&self, table: &str, file: &Path) -> anyhow::Result<f64> {
        let script = format!("\\timing on\n\\copy {table} FROM '{}'", file.display());
        let printed = psql(&self.url(), &script)?;
        milliseconds(&printed)
            .map(|ms| ms / 1_000.0)
            .with_context(|| format!("psql printed no time: {printed}"))
    }

    pub(crate) fn count(&self, table: &str) -> anyhow::Result<u64> {
        Ok(psql(&self.url(), &format!("SELECT count(*) FROM {table}"))?.trim().parse()?)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Err(error) = psql(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name))
        {
            eprintln!("{error:#}");
        }
    }
}

/// The number in `Time: 123.456 ms (00:00.123)`.
fn milliseconds(printed: &str) -> Option<f64> {
    let line = printed.lines().rev().find_map(|line| line.strip_prefix("Time: "))?;
    line.split(' ').next()?.parse().ok()
}

/// Runs a script; answers what it prints.
pub(crate) fn psql(url: &str, script: &str) -> anyhow::Result<String> {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]);
    // One `-c` each: a line with a backslash must stand alone.
    for line in script.lines() {
        command.args(["-c", line]);
    }
    let output = command.output().context("cannot start psql (Debian: postgresql-client)")?;
    if !output.status.success() {
        bail!("psql: {script}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn psqls_time_is_read() {
        assert_eq!(super::milliseconds("x\nTime: 1234.500 ms (00:01.235)\n"), Some(1234.5));
        assert_eq!(super::milliseconds("x\n"), None);
    }
}
