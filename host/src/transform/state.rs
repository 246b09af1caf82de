//! What the host keeps for one guest instance, and the functions that the guest may call: `log`, `hashing`,
//! `lookup`.

use super::bindings::gristmill::transform::{hashing, log, lookup, types};
use super::memory::GuestMemory;
use super::wasi::Wasi;
use crate::lookup::{Answers, Lookups};
use crate::secrets::{Algorithm, ByName};
use md5::{Digest, Md5};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::bail;

/// The longest line that a guest may log, bytes; the rest of it is cut off.
const LINE_BYTES_MAX: usize = 2_000;

/// The host's side of one guest instance.
pub struct GuestState {
    pub(super) limits: GuestMemory,
    pub(super) wasi: Option<Box<Wasi>>,
    /// Pipeline and stage, for the operator who reads the guest's lines.
    place: Arc<str>,
    lookups: Option<Arc<dyn Lookups>>,
    /// The secrets that it may have digests made with.
    pub(super) secrets: Arc<ByName>,
    /// The lookups of the guest's plan; it may ask no other.
    pub(super) allowed_lookups: HashSet<String>,
    /// The processor time of its thread at which the call that runs is ended.
    pub(super) stop_at: Duration,
    /// Whether nothing is logged.
    pub(super) quiet: bool,
    log_lines_left: u32,
    log_lines_dropped: u32,
    /// The last line that the guest printed in its last call.
    pub(super) printed: String,
    /// Set when a lookup's source could not be reached: the call was ended for no fault of the guest.
    pub(super) unavailable: Option<String>,
}

impl GuestState {
    pub(super) fn new(place: Arc<str>, memory_bytes_max: u64, lookups: Option<Arc<dyn Lookups>>) -> Self {
        let memory = usize::try_from(memory_bytes_max).unwrap_or(usize::MAX);
        GuestState {
            limits: GuestMemory::new(memory),
            wasi: None,
            place,
            lookups,
            secrets: Arc::default(),
            allowed_lookups: HashSet::new(),
            stop_at: Duration::ZERO,
            quiet: false,
            log_lines_left: 0,
            log_lines_dropped: 0,
            printed: String::new(),
            unavailable: None,
        }
    }

    /// Begins a call: the guest may log so many lines in it.
    pub(super) fn begin_call(&mut self, log_lines_max: u32) {
        self.log_lines_left = log_lines_max;
        self.log_lines_dropped = 0;
        self.unavailable = None;
        self.limits.refused = false;
    }

    /// Ends a call: what the guest printed goes to its log, and how many lines were dropped is said.
    pub(super) fn end_call(&mut self) {
        self.printed = self.wasi.as_ref().map(|wasi| wasi.take_printed()).unwrap_or_default();
        for line in std::mem::take(&mut self.printed).lines() {
            self.write_line(log::Level::Info, line);
            self.printed = line.to_owned();
        }
        if self.log_lines_dropped > 0 {
            tracing::warn!(place = %self.place, dropped = self.log_lines_dropped, "guest logged too many lines");
        }
        self.log_lines_dropped = 0;
    }
}

impl types::Host for GuestState {}

impl log::Host for GuestState {
    fn log(&mut self, level: log::Level, text: String) -> wasmtime::Result<()> {
        self.write_line(level, &text);
        Ok(())
    }
}

impl GuestState {
    /// One line for the operator, if the guest has any left in this call.
    fn write_line(&mut self, level: log::Level, text: &str) {
        if self.quiet {
            return;
        }
        if self.log_lines_left == 0 {
            self.log_lines_dropped = self.log_lines_dropped.saturating_add(1);
            return;
        }
        self.log_lines_left -= 1;
        let line = text.get(..text.floor_char_boundary(LINE_BYTES_MAX)).unwrap_or("").escape_debug();
        let place = &self.place;
        match level {
            log::Level::Debug => tracing::debug!(target: "gristmill::guest", %place, "{line}"),
            log::Level::Info => tracing::info!(target: "gristmill::guest", %place, "{line}"),
            log::Level::Warn => tracing::warn!(target: "gristmill::guest", %place, "{line}"),
            log::Level::Error => tracing::error!(target: "gristmill::guest", %place, "{line}"),
        }
    }
}

impl hashing::Host for GuestState {
    fn digest_many(
        &mut self,
        algorithm: hashing::Algorithm,
        values: hashing::Blobs,
    ) -> wasmtime::Result<Vec<u8>> {
        let append: fn(&mut Vec<u8>, &[u8]) = match algorithm {
            hashing::Algorithm::Md5 => |out, value| out.extend_from_slice(&Md5::digest(value)),
            // Where the processor has no instructions for them, these are twice as fast as code in Rust alone.
            hashing::Algorithm::Sha1 => {
                |out, value| out.extend_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, value).as_ref())
            }
            hashing::Algorithm::Sha256 => |out, value| out.extend_from_slice(digest(&SHA256, value).as_ref()),
        };
        each(&values, append)
    }

    fn keyed_digest_many(
        &mut self,
        secret: String,
        algorithm: hashing::Algorithm,
        values: hashing::Blobs,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let Some(known) = self.secrets.get(&secret) else {
            return Ok(Err(format!(
                "the pipeline's spec lets this stage use no secret `{}`: name both in a [[secret]]",
                super::ended::bounded(&secret)
            )));
        };
        let algorithm = match algorithm {
            hashing::Algorithm::Md5 => Algorithm::Md5,
            hashing::Algorithm::Sha1 => Algorithm::Sha1,
            hashing::Algorithm::Sha256 => Algorithm::Sha256,
        };
        match known.keyed(algorithm) {
            Ok(keyed) => each(&values, |out, value| keyed.append(out, value)).map(Ok),
            Err(what) => Ok(Err(what)),
        }
    }
}

/// What `append` makes of each value, end to end.
fn each(values: &hashing::Blobs, append: impl Fn(&mut Vec<u8>, &[u8])) -> wasmtime::Result<Vec<u8>> {
    let mut digests = Vec::with_capacity(values.ends.len() * 32);
    let mut start = 0;
    for end in values.ends.iter().map(|end| *end as usize) {
        let Some(value) = values.data.get(start..end) else {
            bail!("digests: the ends do not ascend or lie beyond the data");
        };
        append(&mut digests, value);
        start = end;
    }
    Ok(digests)
}

impl lookup::Host for GuestState {
    fn get_many(&mut self, table: String, keys: Vec<Vec<u8>>) -> wasmtime::Result<Answers> {
        if !self.allowed_lookups.contains(&table) {
            bail!("get-many: the plan does not name the lookup `{table}`");
        }
        let Some(lookups) = &self.lookups else { bail!("get-many: no lookups here") };
        match lookups.get_many(&table, &keys) {
            Ok(answers) => Ok(answers),
            Err(error) => {
                self.unavailable = Some(error.to_string());
                bail!("the lookup's source cannot be reached")
            }
        }
    }
}
