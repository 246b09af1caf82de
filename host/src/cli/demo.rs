//! `gristmill demo`: an example's pipeline and its sample records on the embedded set, from nothing to a table of
//! what came out.

use super::{read_spec, run, show};
use crate::config::Settings;
use crate::control::auth::is_loopback;
use crate::host::Host;
use crate::intake::{self, FileFormat, KeyRule, RecordFile};
use crate::spec::{Route, Spec, TopicPattern};
use crate::telemetry;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// What an example's lookups are answered from.
const REFERENCE: &str = "reference.ndjson";

/// How long the demo's records may take before something must be wrong.
const TIME_MAX: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The example: a folder with pipeline.toml and sample records (*.ndjson or *.csv)
    #[arg(default_value = "examples/city-orders", value_name = "FOLDER")]
    example: PathBuf,
    /// Keep the host up afterwards, until SIGINT or SIGTERM
    #[arg(long)]
    serve: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What came out.
struct Facts {
    records: usize,
    rows: Vec<(String, u64)>,
    topics: Vec<(String, usize)>,
    mails: u64,
    dead_letters: Vec<(String, u64)>,
    seconds: f64,
}

pub(super) async fn run(settings: Settings, arguments: Arguments) -> anyhow::Result<()> {
    let spec = read_spec(&arguments.example.join("pipeline.toml"))?;
    let samples = samples(&arguments.example)?;
    let folder = settings.data.clone().unwrap_or_else(|| PathBuf::from(".gristmill/demo"));
    begin_anew(&folder)?;
    let address = settings.listen_address()?;
    // Something to try out: requests that can be typed as they stand. Only this machine gets that for nothing.
    let open_ingest = settings.open_ingest.unwrap_or_else(|| is_loopback(address.ip()));
    let settings = Settings {
        open_ingest: Some(open_ingest),
        log: Some("journal:".to_owned()),
        store: Some(format!("sqlite:{}", folder.join("gristmill.db").display())),
        lookup: Some("store:".to_owned()),
        mail: Some(format!("file:{}", folder.join("mail").display())),
        ..settings
    };
    let bar = progress_bar(arguments.json);
    bar.set_message("compiling the modules");
    let metrics = telemetry::install_metrics()?;
    let host = Host::open(&settings, vec![spec.clone()]).await?;
    host.ensure_topics().await?;
    let reference = arguments.example.join(REFERENCE);
    if reference.is_file() {
        bar.set_message("loading the reference data");
        let keys = settings.open_lookup(&host.store)?;
        super::reference::load_into(keys.as_ref(), &reference, "").await?;
    }
    bar.set_message("feeding the sample records");
    let source = RecordFile { file: &samples, format: FileFormat::of(&samples), key: record_key(&spec) };
    let records = intake::append_file(&host.log, &spec.source.topic, &source).await?;
    bar.set_length(records as u64);
    bar.set_message("working");
    let start = Instant::now();
    let running = host.start()?;
    let worked = wait_until_done(&host, &spec, &bar, start).await;
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    worked?;
    wait_for_mails(&host, &spec).await?;
    print(&facts(&host, &spec, records, seconds).await?, &folder, arguments.json)?;
    if arguments.serve {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("GRISTMILL_LISTEN: {address}"))?;
        host.warn_about_doors(listener.local_addr()?);
        let records = if open_ingest { "; it takes records without a token (--open-ingest)" } else { "" };
        eprintln!("serving {}://{} until Ctrl-C{records}", host.scheme(), listener.local_addr()?);
        let server = host.serve(listener, host.app_state(run::ingest_limits(&settings), metrics));
        run::wait_for_signal().await?;
        host.stop.cancel();
        server.await.context("the HTTP interface ended by a panic")??;
    }
    host.stop.cancel();
    running.join().await
}

/// The folder is the demo's own: what an earlier demo left there is removed, anything else is not.
fn begin_anew(folder: &Path) -> anyhow::Result<()> {
    const MARK: &str = "this-folder-is-the-demos";
    if folder.exists() {
        let ours = folder.join(MARK).exists() || std::fs::read_dir(folder)?.next().is_none();
        if !ours {
            bail!(
                "{} holds something else than an earlier demo: name another folder with --data",
                folder.display()
            );
        }
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    std::fs::write(folder.join(MARK), "")?;
    Ok(())
}

fn samples(example: &Path) -> anyhow::Result<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(example)
        .with_context(|| format!("{} cannot be read", example.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "ndjson" || extension == "csv"))
        .filter(|path| !path.ends_with(REFERENCE))
        .collect();
    found.sort();
    found
        .into_iter()
        .next()
        .with_context(|| format!("there are no sample records (*.ndjson, *.csv) in {}", example.display()))
}

/// Records get the key that the pipeline's own HTTP route would give them.
fn record_key(spec: &Spec) -> Option<&KeyRule> {
    spec.routes.iter().find_map(|route| match route {
        Route::Ingest { topic, key, .. } if *topic == spec.source.topic => key.as_ref(),
        _ => None,
    })
}

fn progress_bar(json: bool) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Waits until every record is committed and published, and none is parked.
async fn wait_until_done(
    host: &Host,
    spec: &Arc<Spec>,
    bar: &ProgressBar,
    start: Instant,
) -> anyhow::Result<()> {
    let site = host.sites.all().into_iter().next().context("no pipeline")?;
    let pipeline = &site.pipeline;
    loop {
        let lanes = pipeline.lanes().await;
        let at: i64 = lanes.iter().map(|lane| lane.next_offset).sum();
        bar.set_position(u64::try_from(at).unwrap_or(0));
        let done = i32::try_from(lanes.len()).ok() == host.log.partitions(&spec.source.topic).await?
            && lanes.iter().all(|lane| lane.lag == Some(0) && lane.published == lane.batch);
        if done && host.store.parked_count(&spec.name).await? == 0 {
            return Ok(());
        }
        if let crate::pipeline::State::Stopped(why) = pipeline.state() {
            bail!(why);
        }
        if start.elapsed() > TIME_MAX {
            let trouble = lanes.iter().find_map(|lane| lane.trouble.clone()).unwrap_or_default();
            bail!("not done after {} s; {trouble}", TIME_MAX.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_for_mails(host: &Host, spec: &Spec) -> anyhow::Result<()> {
    let start = Instant::now();
    while host.store.mail_counts(&spec.name).await?.pending > 0 {
        if start.elapsed() > TIME_MAX {
            bail!("mails still wait after {} s", TIME_MAX.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn facts(host: &Host, spec: &Spec, records: usize, seconds: f64) -> anyhow::Result<Facts> {
    let mut rows = Vec::new();
    for table in &spec.tables {
        rows.push((table.name.clone(), host.store.count_rows(table).await?));
    }
    let mut topics = Vec::new();
    for topic in host.log.topics().await?.into_iter().filter(|topic| is_output(spec, topic)) {
        let count = host.log.read_topic(&topic, usize::MAX).await?.len();
        topics.push((topic, count));
    }
    Ok(Facts {
        records,
        rows,
        topics,
        mails: host.store.mail_counts(&spec.name).await?.sent,
        dead_letters: host.store.dead_letter_counts(&spec.name).await?,
        seconds,
    })
}

/// Whether a topic holds what the pipeline's outputs published; the demo's log has no other topics.
fn is_output(spec: &Spec, topic: &str) -> bool {
    let other = topic == spec.source.topic || spec.dead_letter_topic.as_deref() == Some(topic);
    !other
        && spec.outputs.iter().any(|output| match &output.topic {
            TopicPattern::Fixed(fixed) => fixed == topic,
            TopicPattern::Dynamic { prefix, suffix } => topic.starts_with(prefix) && topic.ends_with(suffix),
        })
}

fn print(facts: &Facts, folder: &Path, json: bool) -> anyhow::Result<()> {
    let rate = (facts.records as f64 / facts.seconds.max(0.001)).round();
    if json {
        let object = |pairs: Vec<(String, Value)>| Value::Object(pairs.into_iter().collect::<Map<_, _>>());
        let of = |pairs: &[(String, u64)]| {
            object(pairs.iter().map(|(name, n)| (name.clone(), json!(n))).collect())
        };
        let topics = facts.topics.iter().map(|(name, n)| (name.clone(), json!(n))).collect();
        let facts = json!({
            "records": facts.records, "rows": of(&facts.rows), "topics": object(topics), "mails": facts.mails,
            "dead_letters": of(&facts.dead_letters), "records_per_second": rate, "seconds": facts.seconds,
        });
        println!("{}", serde_json::to_string(&facts)?);
        return Ok(());
    }
    let mut table = show::table(&["what", "which", "count"]);
    let mut row = |what: &str, which: &str, count: String| {
        table.add_row([what, which, &count]);
    };
    row("records in", "", facts.records.to_string());
    for (name, count) in &facts.rows {
        row("rows", name, count.to_string());
    }
    for (name, count) in &facts.topics {
        row("records in topic", &shortened(name), count.to_string());
    }
    row("mails", "", facts.mails.to_string());
    for (code, count) in &facts.dead_letters {
        row("dead letters", code, count.to_string());
    }
    row("records per second", "", rate.to_string());
    println!("{table}");
    println!("The rows are in {0}/gristmill.db, the mails in {0}/mail.", folder.display());
    Ok(())
}

/// A topic's name for a table: long ones lose their middle.
fn shortened(name: &str) -> String {
    let count = name.chars().count();
    if count <= 60 {
        return name.to_owned();
    }
    let (start, end): (String, String) =
        (name.chars().take(36).collect(), name.chars().skip(count - 20).collect());
    format!("{start}…{end}")
}
