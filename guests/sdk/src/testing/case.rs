//! Cases as files: a configuration, records, and what they should cause (`guests/README.md`).

use super::{Answers, Caused, TestRecord, run_with};
use crate::Transform;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// One folder of `cases/`.
#[derive(Debug)]
pub struct Case {
    folder: PathBuf,
    config: String,
    records: Vec<TestRecord>,
    answers: Answers,
}

/// One line of `records.ndjson`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Option<String>,
    /// A JSON value; its compact text is the record's value.
    value: Option<Value>,
    /// The record's value as it is.
    text: Option<String>,
    /// The record's value where it is no text.
    base64: Option<String>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    timestamp_ms: i64,
}

impl Line {
    fn into_record(self) -> Result<TestRecord, String> {
        let value = match (self.value, self.text, self.base64) {
            (None, None, None) => None,
            (Some(value), None, None) => Some(value.to_string().into_bytes()),
            (None, Some(text), None) => Some(text.into_bytes()),
            (None, None, Some(text)) => Some(crate::base64::decode(&text).ok_or("not base64")?),
            _ => return Err("give one of `value`, `text` and `base64`".to_owned()),
        };
        let header =
            |(name, value): (String, Value)| (name, value.as_str().map(|text| text.as_bytes().to_vec()));
        Ok(TestRecord {
            key: self.key.map(String::into_bytes),
            value,
            headers: self.headers.into_iter().map(header).collect(),
            timestamp_ms: self.timestamp_ms,
        })
    }
}

impl Case {
    /// Reads a case's files.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let records = read(&folder.join("records.ndjson"))?;
        let lines = records.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let record = |(number, line): (usize, &str)| {
            let at =
                |error: String| format!("{}/records.ndjson line {}: {error}", folder.display(), number + 1);
            let line: Line = serde_json::from_str(line).map_err(|error| at(error.to_string()))?;
            line.into_record().map_err(at)
        };
        let mut answers = Answers::default();
        let lookups = folder.join("lookups.json");
        if lookups.exists() {
            let tables: Map<String, Value> = parse(&lookups)?;
            for (table, entries) in &tables {
                for (key, value) in entries.as_object().into_iter().flatten() {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    answers = answers.with(table, key.as_str(), text);
                }
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            config: read(&folder.join("config.json"))?,
            records: lines.map(record).collect::<Result<_, String>>()?,
            answers,
        })
    }

    /// Compares what the records cause with `expected.json`; the error shows what they cause. With `BLESS` in the
    /// environment the file is written instead: read the difference before you commit it.
    pub fn check<T: Transform>(&self) -> Result<(), String> {
        let at = |error: String| format!("{}: {error}", self.folder.display());
        let caused = run_with::<T>(&self.config, &self.records, &self.answers).map_err(at)?;
        let shown = serde_json::to_string_pretty(&caused).map_err(|error| at(error.to_string()))?;
        let path = self.folder.join("expected.json");
        if std::env::var_os("BLESS").is_some() {
            return fs::write(&path, shown + "\n").map_err(|error| at(error.to_string()));
        }
        if caused == parse::<Vec<Caused>>(&path)? {
            return Ok(());
        }
        Err(format!("{} expects something else than\n{shown}", path.display()))
    }
}

/// Checks every case below a folder and gives their number; the error tells of all that differ.
pub fn run_cases<T: Transform>(folder: impl AsRef<Path>) -> Result<usize, String> {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut folders: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    folders.sort();
    let wrong: Vec<_> = folders
        .iter()
        .filter_map(|folder| Case::read(folder).and_then(|case| case.check::<T>()).err())
        .collect();
    if wrong.is_empty() { Ok(folders.len()) } else { Err(wrong.join("\n\n")) }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    serde_json::from_str(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}
