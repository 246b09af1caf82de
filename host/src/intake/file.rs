//! Files of records: read once, from the first to the last record, and appended to a topic in pieces.

use super::KeyRule;
use super::csv;
use crate::log::{Error as LogError, Log, NewRecord};
use anyhow::Context;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Records that are appended in one call.
pub(super) const CHUNK: usize = 1_000;

/// How records stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FileFormat {
    /// One in each line, byte for byte; empty lines are skipped
    Lines,
    /// One in each row, a JSON object of texts; the first row names the columns
    Csv,
}

impl FileFormat {
    /// What a file's name says.
    pub fn of(file: &Path) -> Self {
        match file.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("csv") => FileFormat::Csv,
            _ => FileFormat::Lines,
        }
    }
}

/// A file of records.
#[derive(Clone, Copy, Debug)]
pub struct RecordFile<'f> {
    /// Where it is.
    pub file: &'f Path,
    /// How records stand in it.
    pub format: FileFormat,
    /// How a record's key is made; a record whose value holds none has no key.
    pub key: Option<&'f KeyRule>,
}

type Values = Box<dyn Iterator<Item = Result<(u64, Vec<u8>), csv::Error>> + Send>;

impl RecordFile<'_> {
    /// The records' values, each with its line. An error is the last thing that is told.
    fn values(&self) -> anyhow::Result<Values> {
        let file = self.file.display();
        let opened = File::open(self.file).with_context(|| format!("{file} cannot be read"))?;
        Ok(match self.format {
            FileFormat::Csv => {
                let mut rows = csv::Rows::new(opened).with_context(|| file.to_string())?;
                Box::new(std::iter::from_fn(move || {
                    let row = rows.next()?;
                    Some(row.map(|row| (rows.line(), row)))
                }))
            }
            FileFormat::Lines => {
                let lines = BufReader::new(opened).split(b'\n').zip(1_u64..);
                Box::new(lines.filter_map(|(line, number)| {
                    let mut line = match line {
                        Ok(line) => line,
                        Err(error) => {
                            let reason = format!("it cannot be read: {error}");
                            return Some(Err(csv::Error { line: number, reason }));
                        }
                    };
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                    (!line.is_empty()).then_some(Ok((number, line)))
                }))
            }
        })
    }

    /// The records, with their keys, each with its line. An error is the last thing that is told.
    ///
    /// # Errors
    /// A file that cannot be opened, or has no first row.
    pub fn records(
        &self,
    ) -> anyhow::Result<impl Iterator<Item = Result<(u64, NewRecord), csv::Error>> + Send> {
        let key = self.key.cloned();
        Ok(self.values()?.map(move |value| {
            let (line, value) = value?;
            let key = key.as_ref().and_then(|rule| rule.key(&value).ok());
            Ok((line, NewRecord { key, value: Some(value), ..NewRecord::default() }))
        }))
    }

    /// Reads the file to its end, and keeps nothing of it; answers how many records there are.
    ///
    /// # Errors
    /// The file and the line that cannot be read.
    pub fn check(&self) -> anyhow::Result<usize> {
        let mut count = 0;
        for value in self.values()? {
            value.with_context(|| self.file.display().to_string())?;
            count += 1;
        }
        Ok(count)
    }
}

/// Appends a file's records to a topic, in order; answers how many, once the log has acknowledged all of them.
///
/// # Errors
/// The file and line that cannot be read, or what the log says; and where the records that are not in the log begin.
pub async fn append_file(log: &Arc<dyn Log>, topic: &str, source: &RecordFile<'_>) -> anyhow::Result<usize> {
    let file = source.file.display();
    let (mut chunk, mut total, mut first) = (Vec::new(), 0, 1);
    for record in source.records()? {
        let told = || format!("{file}; {total} records before it are in the log");
        let (line, record) = record.with_context(told)?;
        if chunk.is_empty() {
            first = line;
        }
        chunk.push(record);
        if chunk.len() == CHUNK {
            total += append_from(log, topic, source, first, std::mem::take(&mut chunk)).await?;
        }
    }
    Ok(total + append_from(log, topic, source, first, chunk).await?)
}

/// Appends one chunk of a file.
async fn append_from(
    log: &Arc<dyn Log>,
    topic: &str,
    source: &RecordFile<'_>,
    first: u64,
    chunk: Vec<NewRecord>,
) -> anyhow::Result<usize> {
    let (count, file) = (chunk.len(), source.file.display());
    let told =
        || format!("{file}, in the {count} records from line {first} on; the lines before are in the log");
    append(log, topic, chunk).await.with_context(told)
}

/// Appends records; waits while the log has too much on its way. Answers how many.
///
/// # Errors
/// What the log says: some of the records may be there.
pub async fn append(log: &Arc<dyn Log>, topic: &str, records: Vec<NewRecord>) -> Result<usize, LogError> {
    let count = records.len();
    if count == 0 {
        return Ok(0);
    }
    loop {
        match log.append(topic, records.clone()).await {
            Err(LogError::Busy) => tokio::time::sleep(Duration::from_millis(20)).await,
            outcome => return outcome.map(|_| count),
        }
    }
}
