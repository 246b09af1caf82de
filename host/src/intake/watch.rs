//! Watched folders: a file that is dropped there becomes records, once it is complete.
//!
//! ```text
//! inbox/sales.csv ──> inbox/working/sales.csv ──> inbox/done/sales.csv      and done/sales.csv.report.json
//!                                            └──> inbox/failed/sales.csv    and failed/sales.csv.report.json
//! ```
//!
//! A file is complete when it has not changed for a while. It is read to its end before the first record is appended, so that
//! of a file that cannot be read nothing is taken. One host at a time watches a folder (it holds a lock there). A host that
//! dies in the middle of a file leaves it in `working/`, and whoever watches next takes it once more from its beginning:
//! records get in *at least once*, and a table with the mode `once`, or another that knows them again, makes it once.

use super::file::{CHUNK, FileFormat, RecordFile, append};
use crate::log::{Log, NewRecord};
use crate::spec::Watch;
use crate::telemetry;
use anyhow::Context;
use serde_json::json;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long to wait for a lock, a folder or a log that is not there.
const WAIT: Duration = Duration::from_secs(2);
const LOCK: &str = ".gristmill.lock";
/// How names of files end that somebody still writes.
const UNFINISHED: [&str; 4] = [".tmp", ".part", ".partial", ".filepart"];

/// A folder that is watched for a pipeline.
pub struct Watcher {
    /// The pipeline, for people.
    pub pipeline: String,
    /// The folder.
    pub folder: PathBuf,
    /// What becomes of its files.
    pub watch: Watch,
    /// Where the records go.
    pub log: Arc<dyn Log>,
}

/// How a file looked.
type Seen = (u64, Option<SystemTime>);

impl Watcher {
    /// Watches until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut said = String::new();
        while !stop.is_cancelled() {
            let Err(error) = self.hold(&stop).await else { return };
            let text = format!("{error:#}");
            if text != said {
                tracing::warn!(pipeline = self.pipeline, folder = %self.folder.display(), "not watched: {text}");
                said = text;
            }
            pause(WAIT, &stop).await;
        }
    }

    /// Watches while the folder and its lock are there.
    async fn hold(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        for below in ["working", "done", "failed"] {
            std::fs::create_dir_all(self.folder.join(below))
                .with_context(|| format!("the folder {below} cannot be made"))?;
        }
        let lock = File::create(self.folder.join(LOCK)).context("the lock cannot be made")?;
        lock.try_lock().context("another host watches it")?;
        tracing::info!(pipeline = self.pipeline, folder = %self.folder.display(), "watched");
        // What a host before this one has left.
        for name in names(&self.folder.join("working"))? {
            self.take(&name, stop).await?;
        }
        let mut seen: HashMap<OsString, (Seen, Instant)> = HashMap::new();
        while !stop.is_cancelled() {
            let mut complete = Vec::new();
            let mut there = HashMap::new();
            for name in names(&self.folder)? {
                let Ok(meta) = std::fs::metadata(self.folder.join(&name)) else { continue };
                let look = (meta.len(), meta.modified().ok());
                let since = seen.get(&name).filter(|(before, _)| *before == look).map(|(_, since)| *since);
                let since = since.unwrap_or_else(Instant::now);
                if since.elapsed() >= Duration::from_millis(self.watch.settle_ms) {
                    complete.push(name);
                } else {
                    there.insert(name, (look, since));
                }
            }
            seen = there;
            complete.sort();
            for name in complete {
                let working = self.folder.join("working").join(&name);
                if std::fs::rename(self.folder.join(&name), working).is_ok() {
                    self.take(&name, stop).await?;
                }
            }
            pause(LOOK, stop).await;
        }
        Ok(())
    }

    /// Takes a file that is in `working/`; it stays there if the host is stopped meanwhile.
    async fn take(&self, name: &OsString, stop: &CancellationToken) -> anyhow::Result<()> {
        let (path, start) = (self.folder.join("working").join(name), Instant::now());
        let format = FileFormat::of(&path);
        let file = path.clone();
        let checked =
            tokio::task::spawn_blocking(move || RecordFile { file: &file, format, key: None }.check());
        let outcome = match checked.await? {
            Err(error) => Err(error),
            Ok(_) => match self.append(&path, format, stop).await {
                Ok(Some(records)) => Ok(records),
                Ok(None) => return Ok(()),
                Err(error) => Err(error),
            },
        };
        let (below, records, error) = match &outcome {
            Ok(records) => ("done", *records, None),
            Err(error) => {
                ("failed", 0, Some(format!("{error:#}").replace(&format!("{}: ", path.display()), "")))
            }
        };
        let report = json!({
            "file": name.to_string_lossy(), "topic": self.watch.topic, "records": records, "error": error,
            "seconds": (start.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
        });
        let target = free(&self.folder.join(below), name);
        std::fs::write(with_ending(&target, ".report.json"), format!("{report:#}\n"))
            .context("the report cannot be written")?;
        std::fs::rename(&path, &target).context("the file cannot be moved")?;
        metrics::counter!(telemetry::WATCHED_FILES, "pipeline" => self.pipeline.clone(), "outcome" => below)
            .increment(1);
        match outcome {
            Ok(records) => {
                tracing::info!(pipeline = self.pipeline, file = %target.display(), records, "taken");
            }
            Err(error) => {
                tracing::warn!(pipeline = self.pipeline, file = %target.display(), "not taken: {error:#}");
            }
        }
        Ok(())
    }

    /// Appends all records, waiting for the log as long as it takes. `None`: stopped meanwhile.
    async fn append(
        &self,
        path: &Path,
        format: FileFormat,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<usize>> {
        let source = RecordFile { file: path, format, key: self.watch.key.as_ref() };
        let (mut records, mut total) = (source.records()?, 0);
        loop {
            let chunk = records.by_ref().take(CHUNK).map(|record| record.map(|(_, record)| record));
            let chunk = chunk.collect::<Result<Vec<NewRecord>, _>>();
            let chunk = chunk.with_context(|| format!("after {total} records, which are in the log"))?;
            if chunk.is_empty() {
                return Ok(Some(total));
            }
            let count = chunk.len();
            while let Err(error) = append(&self.log, &self.watch.topic, chunk.clone()).await {
                tracing::warn!(pipeline = self.pipeline, file = %path.display(), "waits for the log: {error}");
                pause(WAIT, stop).await;
                if stop.is_cancelled() {
                    return Ok(None);
                }
            }
            total += count;
        }
    }
}

async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

/// The files of a folder that are to be taken.
fn names(folder: &Path) -> anyhow::Result<Vec<OsString>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let file = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let text = name.to_string_lossy();
        let unfinished = text.starts_with('.') || UNFINISHED.iter().any(|ending| text.ends_with(ending));
        (entry.file_type().is_ok_and(|ty| ty.is_file()) && !unfinished).then_some(name)
    };
    Ok(entries.filter_map(|entry| entry.ok().and_then(file)).collect())
}

/// A name that is not there yet: a file of the same name may have come before.
fn free(folder: &Path, name: &OsString) -> PathBuf {
    let plain = folder.join(name);
    let there = |path: &Path| path.exists() || with_ending(path, ".report.json").exists();
    if !there(&plain) {
        return plain;
    }
    (2_u32..).map(|n| with_ending(&plain, &format!(".{n}"))).find(|path| !there(path)).unwrap_or(plain)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(ending);
    PathBuf::from(text)
}
