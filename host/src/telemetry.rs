//! Names of metrics, in one place; logging to stderr.

use metrics::{Label, counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Records that went through, by what became of them (`outcome`: `worked`, `dead-letter`, `parked`, `duplicate`).
pub const RECORDS: &str = "gristmill_records_total";
/// Batches committed.
pub const BATCHES: &str = "gristmill_batches_total";
/// Rows written or confirmed, by table.
pub const ROWS: &str = "gristmill_rows_total";
/// Dead letters, by code.
pub const DEAD_LETTERS: &str = "gristmill_dead_letters_total";
/// Batches published.
pub const PUBLISHED: &str = "gristmill_published_batches_total";
/// Time of one batch, by step (`transform`, `commit`, `publish`).
pub const STEP_SECONDS: &str = "gristmill_step_seconds";
/// From a record's timestamp to the commit of what it causes.
pub const RECORD_TO_COMMIT_SECONDS: &str = "gristmill_record_to_commit_seconds";
/// Processor time in guests, by stage.
pub const GUEST_MICROSECONDS: &str = "gristmill_guest_microseconds_total";
/// Tries that failed and are repeated, by step.
pub const RETRIES: &str = "gristmill_retries_total";
/// Mails put into the store.
pub const MAILS: &str = "gristmill_mails_total";
/// Records between the lane's next offset and the log's end.
pub const LAG: &str = "gristmill_lag_records";
/// Keys that were looked up.
pub const LOOKUP_KEYS: &str = "gristmill_lookup_keys_total";
/// Files of watched folders.
pub const WATCHED_FILES: &str = "gristmill_watched_files_total";
/// Linear memory of a pipeline's guests.
pub const GUEST_MEMORY: &str = "gristmill_guest_memory_bytes";
/// Lanes that this host owns.
pub const LANES: &str = "gristmill_lanes";

/// How often what histograms were given is counted into their buckets. Until then each value stands by itself, and a host
/// whose metrics nobody asks for would keep them all.
const UPKEEP: Duration = Duration::from_secs(1);

/// Installs the recorder of metrics, and a thread that keeps it small; the handle renders them for `/metrics`.
///
/// # Errors
/// If one is installed already, or the system gives no more threads.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let buckets = [
        0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
        600.0,
    ];
    let handle = PrometheusBuilder::new().set_buckets(&buckets)?.install_recorder()?;
    metrics::describe_counter!(RECORDS, "Records that went through, by what became of them");
    metrics::describe_counter!(BATCHES, "Batches committed");
    metrics::describe_counter!(ROWS, "Rows written or confirmed, by table");
    metrics::describe_counter!(DEAD_LETTERS, "Dead letters, by code");
    metrics::describe_counter!(PUBLISHED, "Batches published");
    metrics::describe_counter!(MAILS, "Mails put into the store");
    metrics::describe_counter!(RETRIES, "Tries that failed and are repeated, by step");
    metrics::describe_counter!(GUEST_MICROSECONDS, "Processor time in guests, by stage");
    metrics::describe_histogram!(STEP_SECONDS, "Time of one batch, by step");
    metrics::describe_histogram!(
        RECORD_TO_COMMIT_SECONDS,
        "From a record's timestamp to the commit of what it causes"
    );
    metrics::describe_counter!(WATCHED_FILES, "Files of watched folders, by what became of them");
    metrics::describe_counter!(LOOKUP_KEYS, "Keys that were looked up, by what became of them");
    metrics::describe_gauge!(LAG, "Records between a lane's next offset and the log's end");
    metrics::describe_gauge!(GUEST_MEMORY, "Linear memory of a pipeline's guests, all lanes of this host");
    metrics::describe_gauge!(LANES, "Lanes that this host owns");
    let upkeep = handle.clone();
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(UPKEEP);
            upkeep.run_upkeep();
        }
    })?;
    Ok(handle)
}

/// Logs to stderr what `GRISTMILL_TRACE` asks for (`info` unless set).
pub fn install_logging(default: &str) {
    let filter = EnvFilter::try_from_env("GRISTMILL_TRACE").unwrap_or_else(|_| EnvFilter::new(default));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}

/// Adds to a counter of a pipeline.
pub fn count(name: &'static str, pipeline: &str, label: Option<(&'static str, &str)>, by: u64) {
    if by > 0 {
        counter!(name, labels(pipeline, label)).increment(by);
    }
}

/// Times one step of a batch.
pub fn step(pipeline: &str, step: &'static str, time: Duration) {
    histogram!(STEP_SECONDS, labels(pipeline, Some(("step", step)))).record(time.as_secs_f64());
}

/// Notes how old records are when what they cause is committed: of each batch a few, each standing for its
/// neighbours, so that the cost does not grow with the batch.
pub fn record_to_commit(pipeline: &str, timestamps_ms: &[i64], now_ms: i64) {
    const SAMPLES: usize = 16;
    let histogram = histogram!(RECORD_TO_COMMIT_SECONDS, labels(pipeline, None));
    for part in timestamps_ms.chunks(timestamps_ms.len().div_ceil(SAMPLES).max(1)) {
        if let Some(timestamp_ms) = part.get(part.len() / 2) {
            let age_ms = now_ms.saturating_sub(*timestamp_ms).max(0);
            histogram.record_many(Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64(), part.len());
        }
    }
}

/// Sets a gauge of one partition.
pub fn partition_gauge(name: &'static str, pipeline: &str, partition: i32, value: f64) {
    gauge!(name, labels(pipeline, Some(("partition", &partition.to_string())))).set(value);
}

fn labels(pipeline: &str, label: Option<(&'static str, &str)>) -> Vec<Label> {
    let mut labels = vec![Label::new("pipeline", pipeline.to_owned())];
    labels.extend(label.map(|(name, value)| Label::new(name, value.to_owned())));
    labels
}
