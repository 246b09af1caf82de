//! Where the time goes: a host is sampled by `perf` while it drains the benchmark's load, and its functions are listed
//! by the time that was spent in them. perf's software clock needs no counters of the processor, so that it works in
//! virtual machines too.

use crate::drain::watch;
use crate::load;
use crate::pipelines::Pipeline;
use crate::process::{HostProcess, Stages};
use crate::site::{Bench, Place, say};
use anyhow::{Context, bail};
use comfy_table::{CellAlignment, Table, presets};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Samples per second and core: not a round number, or it would beat in time with what runs on round ones.
const SAMPLES_PER_SECOND: &str = "997";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What is run
    #[arg(long, value_enum, default_value = "core")]
    pipeline: Pipeline,
    /// Records that drain meanwhile
    #[arg(long, default_value_t = 500_000)]
    records: u64,
    /// Work the stages natively, without the sandbox
    #[arg(long)]
    natively: bool,
    /// How many functions are listed
    #[arg(long, default_value_t = 50)]
    functions: usize,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut bench = Bench::open(&arguments.place)?;
    bench.fill(&bench.backlog(arguments.pipeline), arguments.records)?;
    let samples = bench.place.out.join("profile.perf");
    let names = record(&bench, arguments, &samples)?;
    let printed = script(&samples)?;
    // Native stages need none.
    let _ = std::fs::remove_file(names);
    let samples: Vec<Sample<'_>> = printed.lines().filter_map(sample).collect();
    if samples.is_empty() {
        bail!(
            "perf took no sample; is `perf record -e cpu-clock` allowed here (kernel.perf_event_paranoid)?"
        );
    }
    let text = listing(&samples, arguments.functions);
    let path = bench.place.out.join("profile.txt");
    std::fs::write(&path, &text)?;
    println!("{text}\n{}", path.display());
    Ok(())
}

/// Lets a host drain the backlog; perf looks on from its first commit.
/// Answers the file that names what was compiled.
fn record(bench: &Bench, arguments: &Arguments, samples: &Path) -> anyhow::Result<PathBuf> {
    let ready = bench.ready(arguments.pipeline, "profile", |_| {})?;
    let expected = load::expected(arguments.records);
    let stages = if arguments.natively { Stages::Native } else { Stages::NamedGuests };
    let mut host = HostProcess::start(&ready.setup, &[&ready.spec], stages)?;
    while host.progress()?.is_none_or(|progress| progress.records == 0) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut perf = Command::new("perf")
        .args([
            "record",
            "-q",
            "-e",
            "cpu-clock",
            "-F",
            SAMPLES_PER_SECOND,
            "-p",
            &host.id().to_string(),
            "-o",
        ])
        .arg(samples)
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start perf (Debian: linux-perf)")?;
    let drained = watch(&mut host, expected.records)?;
    say(&format!("{:.0} records per second while it was sampled", drained.records_per_second));
    let map = format!("/tmp/perf-{}.map", host.id());
    host.stop()?;
    // perf ends with what it watches.
    if !perf.wait()?.success() {
        bail!("perf failed; is `perf record -e cpu-clock` allowed here (kernel.perf_event_paranoid)?");
    }
    Ok(map.into())
}

fn script(samples: &Path) -> anyhow::Result<String> {
    let output = Command::new("perf")
        .args(["script", "--no-inline", "-F", "comm,ip,sym,dso", "-i"])
        .arg(samples)
        .output()
        .context("cannot start perf")?;
    if !output.status.success() {
        bail!("perf script: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// One sample: whose code it met, and the function.
#[derive(Debug, PartialEq)]
struct Sample<'a> {
    owner: &'static str,
    function: &'a str,
}

/// Reads `thread  7f00 function (file)`.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (head, file) = line.trim_end().strip_suffix(')')?.rsplit_once(" (")?;
    let mut words = head.trim_start().splitn(2, char::is_whitespace);
    let _thread = words.next()?;
    let function = words.next()?.trim_start().split_once(' ').map_or("[unknown]", |(_, function)| function);
    let function = function.rsplit_once("+0x").map_or(function, |(function, _)| function);
    let function = without_hash(without_place(function));
    let owner = owner(function, file);
    Some(Sample { owner, function })
}

/// `wasm[0]::function[7]::core::fmt::write` without its place in the module.
fn without_place(function: &str) -> &str {
    let named = function.strip_prefix("wasm[").and_then(|rest| rest.split_once("]::function["));
    named.and_then(|(_, rest)| rest.split_once("]::")).map_or(function, |(_, name)| name)
}

/// `core::fmt::write::h0123456789abcdef` without what the compiler adds to tell instances apart.
fn without_hash(function: &str) -> &str {
    match function.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => function,
    }
}

/// Whose code it is, as far as the name tells: what is generic is often named by the library that it comes from.
/// Compiled guests lie in memory that belongs to no file; perf then names the file that could tell their names.
fn owner(function: &str, file: &str) -> &'static str {
    let begins = |with: &[&str]| with.iter().any(|with| function.starts_with(with));
    let names = |crates: &[&str]| crates.iter().any(|name| function.contains(&format!("{name}::")));
    if file.contains("[kernel") || file == "[guest.kernel.kallsyms]" {
        "kernel"
    } else if file.contains("anon") || file.starts_with("[JIT]") || file.starts_with("/tmp/perf-") {
        "guests"
    } else if file.ends_with(".so") || file.contains(".so.") || file == "[vdso]" {
        "C library"
    } else if begins(&["rd_", "rdk_", "crc32c", "LZ4", "ZSTD"]) || names(&["rdkafka"]) {
        "librdkafka"
    } else if names(&["wasmtime", "wasmtime_environ", "cranelift_codegen"]) {
        "wasmtime"
    } else if names(&["gristmill_sdk", "native_core_orders", "native_validate", "native_route", "jsonschema"])
    {
        "guests' code, natively"
    } else if names(&["serde_json", "serde_core", "serde"]) {
        "serde"
    } else if begins(&["sqlite3", "btree", "vdbe"])
        || names(&["sqlx_core", "sqlx_postgres", "sqlx_sqlite", "tokio"])
    {
        "sqlx, tokio, SQLite"
    } else if names(&["gristmill"]) {
        "gristmill"
    } else {
        "other Rust and C code"
    }
}

fn listing(samples: &[Sample<'_>], functions: usize) -> String {
    let mut owners: BTreeMap<&str, usize> = BTreeMap::new();
    let mut by_function: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for sample in samples {
        *owners.entry(sample.owner).or_default() += 1;
        *by_function.entry((sample.owner, sample.function)).or_default() += 1;
    }
    let share = |count: usize| format!("{:.1} %", 100.0 * count as f64 / samples.len() as f64);
    let mut owners: Vec<_> = owners.into_iter().collect();
    owners.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut by_function: Vec<_> = by_function.into_iter().collect();
    by_function.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut whole = table(&["share", "whose code"]);
    for (owner, count) in owners {
        whole.add_row([share(count), owner.to_owned()]);
    }
    let mut single = table(&["share", "whose code", "function (its own time)"]);
    for ((owner, function), count) in by_function.into_iter().take(functions) {
        let function: String = function.chars().take(110).collect();
        single.add_row([share(count), owner.to_owned(), function]);
    }
    format!("{} samples of processor time\n{whole}\n{single}", samples.len())
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    if let Some(share) = table.column_mut(0) {
        share.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perfs_lines_are_read() {
        for (line, owner, function) in [
            (
                "feed-a-0      7f12 serde_json::de::parse::h0123456789abcdef (/x/gristmill-bench)",
                "serde",
                "serde_json::de::parse",
            ),
            (
                "feed-a-0      7f12 wasm[0]::function[7]::serde_json::de::parse::h0123456789abcdef+0x3d (/tmp/perf-77.map)",
                "guests",
                "serde_json::de::parse",
            ),
            ("feed-a-0      7f12 wasm[0]::function[8] (/tmp/perf-77.map)", "guests", "wasm[0]::function[8]"),
            ("rdk:broker1   7f12 rd_kafka_poll (/x/gristmill-bench)", "librdkafka", "rd_kafka_poll"),
            ("tokio-rt-work ffff do_syscall_64 ([kernel.kallsyms])", "kernel", "do_syscall_64"),
        ] {
            assert_eq!(sample(line), Some(Sample { owner, function }), "{line}");
        }
        assert_eq!(sample("no sample"), None);
    }
}
