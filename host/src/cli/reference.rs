//! `gristmill reference load FILE`: keys and values for lookups, into the server that pipelines ask.

use crate::config::Settings;
use crate::lookup::KeyValues;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Entries that are written in one call.
const CHUNK: usize = 1_000;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Writes the entries of a file to where lookups are answered from (GRISTMILL_LOOKUP): a line each,
    /// {"key": "…", "value": …}
    Load {
        /// The file
        file: PathBuf,
        /// Before each key, as in the lookup's `prefix`
        #[arg(long, default_value = "")]
        prefix: String,
    },
}

/// A line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<'a> {
    key: String,
    /// A text is written as it is, anything else as its JSON.
    #[serde(borrow)]
    value: &'a RawValue,
}

/// A key and its value.
type Pair = (Vec<u8>, Vec<u8>);

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let Command::Load { file, prefix } = command;
    let (store, _) = settings.open_store().await?;
    let keys = settings.open_lookup(&store)?;
    let count = load_into(keys.as_ref(), &file, &prefix).await?;
    println!("{count} entries");
    Ok(())
}

/// Loads a file; answers how many entries.
pub(super) async fn load_into(keys: &dyn KeyValues, file: &Path, prefix: &str) -> anyhow::Result<usize> {
    let opened = std::fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (mut chunk, mut total) = (Vec::new(), 0);
    for (number, line) in std::io::BufReader::new(opened).lines().enumerate() {
        let line = line.with_context(|| format!("{}:{}", file.display(), number + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        chunk.push(entry(&line, prefix).with_context(|| format!("{}:{}", file.display(), number + 1))?);
        if chunk.len() == CHUNK {
            total += put(keys, &mut chunk).await?;
        }
    }
    Ok(total + put(keys, &mut chunk).await?)
}

fn entry(line: &str, prefix: &str) -> anyhow::Result<Pair> {
    let entry: Entry<'_> =
        serde_json::from_str(line).context("not an entry like {\"key\": \"…\", \"value\": …}")?;
    let value = match serde_json::from_str::<String>(entry.value.get()) {
        Ok(text) => text.into_bytes(),
        Err(_) => entry.value.get().as_bytes().to_vec(),
    };
    Ok((format!("{prefix}{}", entry.key).into_bytes(), value))
}

async fn put(keys: &dyn KeyValues, chunk: &mut Vec<Pair>) -> anyhow::Result<usize> {
    let count = chunk.len();
    if count > 0
        && let Err(message) = keys.put_many(std::mem::take(chunk)).await
    {
        bail!("the lookups' server (GRISTMILL_LOOKUP) did not take them: {message}");
    }
    Ok(count)
}
