//! `gristmill explain TABLE KEY…`: which records made a row, in which batches, by which modules.

use super::{SpecPath, read_spec, show};
use crate::config::Settings;
use crate::host::explain::{Answer, Question, explain, stages, writer};
use crate::lookup::{Lookups, PipelineLookups};
use crate::spec::{Mode, Spec};
use crate::store::{Filter, FilterOp, Key, Store, TableQuery};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Rows that are shown.
const ROWS_MAX: u32 = 100;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The table
    table: String,
    /// The row's key: a value for each of the key's columns, as tables show them
    #[arg(required = true)]
    key: Vec<String>,
    /// The spec of the pipeline that writes the table; that of the catalog if not said
    #[arg(long, value_name = "SPEC")]
    spec: Option<SpecPath>,
    /// Only the records of this partition
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// At most so many records
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(settings: &Settings, arguments: Arguments) -> anyhow::Result<()> {
    let (store, log) = settings.open().await?;
    let specs = match &arguments.spec {
        Some(path) => vec![read_spec(path)?],
        None => of_catalog(&store).await?,
    };
    let (spec, table) = writer(&specs, &arguments.table)?;
    let rows = rows(&store, &spec, table, &arguments.key).await?;
    let sources = settings.open_sources(&store)?;
    let lookups: Arc<dyn Lookups> =
        Arc::new(PipelineLookups::new(spec.clone(), store.clone(), sources, Handle::current()));
    let transform = stages(&store, &settings.open_engine()?, &spec, &lookups).await?;
    let question = Question {
        spec: spec.clone(),
        table,
        key: &arguments.key,
        partition: arguments.partition,
        limit: arguments.limit,
    };
    let answer = explain(&store, &log, transform, &question).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&facts(&spec, &arguments.table, &rows, &answer))?);
        return Ok(());
    }
    print(&spec, &arguments, &rows, &answer);
    Ok(())
}

/// The pipelines of the catalog.
async fn of_catalog(store: &Arc<dyn Store>) -> anyhow::Result<Vec<Arc<Spec>>> {
    let mut specs = Vec::new();
    for revision in store.newest_revisions().await?.into_iter().filter(|revision| !revision.removed) {
        specs.push(Arc::new(Spec::of_catalog(&revision.pipeline, revision.spec, &revision.files)?));
    }
    anyhow::ensure!(
        !specs.is_empty(),
        "the catalog has no pipeline: say which spec writes the table, --spec SPEC"
    );
    Ok(specs)
}

/// The rows that have the key now; a satellite has one for each state.
async fn rows(
    store: &Arc<dyn Store>,
    spec: &Spec,
    table: usize,
    key: &[String],
) -> anyhow::Result<Vec<Value>> {
    let Some(table) = spec.tables.get(table) else { return Ok(Vec::new()) };
    Key::parse(table, key)?;
    let filter = |(column, value): (&usize, &String)| Filter {
        column: *column,
        op: FilterOp::Eq,
        value: value.clone(),
    };
    let filters = table.key.iter().zip(key).map(filter).collect();
    let query = TableQuery { filters, limit: ROWS_MAX, ..TableQuery::default() };
    Ok(store.read_table(table, &query).await?.rows)
}

fn facts(spec: &Spec, table: &str, rows: &[Value], answer: &Answer) -> Value {
    let stages = |stages: &[(String, String)]| -> Vec<Value> {
        stages.iter().map(|(stage, digest)| json!({ "stage": stage, "digest": digest })).collect()
    };
    let records = answer.makers.iter().map(|maker| {
        let batches = maker.batches.iter().map(|batch| {
            let ran: Vec<(String, String)> =
                batch.stages.iter().map(|run| (run.stage.clone(), run.digest.clone())).collect();
            json!({
                "batch": batch.batch, "origin": batch.origin, "epoch": batch.epoch,
                "first_offset": batch.offsets.0, "last_offset": batch.offsets.1, "stages": stages(&ran),
                "same_modules": ran == answer.stages,
            })
        });
        let position = maker.record.position;
        json!({
            "topic": spec.source.topic, "partition": position.partition, "offset": position.offset,
            "timestamp_ms": maker.record.timestamp_ms, "batches": batches.collect::<Vec<_>>(),
        })
    });
    json!({
        "pipeline": spec.name, "table": table, "rows": rows, "records": records.collect::<Vec<_>>(),
        "more": answer.more, "looked_at": answer.looked_at, "stages": stages(&answer.stages),
    })
}

fn print(spec: &Spec, arguments: &Arguments, rows: &[Value], answer: &Answer) {
    println!("{} of {}, written by pipeline {}", arguments.key.join(", "), arguments.table, spec.name);
    match rows {
        [] => println!("there is no such row"),
        rows => rows.iter().for_each(|row| println!("  {row}")),
    }
    let mut table = show::table(&["partition", "offset", "made at", "batch", "origin", "modules"]);
    for maker in &answer.makers {
        let position = maker.record.position;
        let made = time::OffsetDateTime::from_unix_timestamp(maker.record.timestamp_ms / 1_000);
        let made = made.map_or_else(|_| String::new(), |made| made.to_string());
        let place = [position.partition.to_string(), position.offset.to_string(), made];
        for batch in &maker.batches {
            let module = |run: &crate::store::StageRun| {
                format!("{} {}", run.stage, run.digest.get(..12).unwrap_or_default())
            };
            let modules: Vec<String> = batch.stages.iter().map(module).collect();
            let of_batch = [batch.batch.to_string(), batch.origin.clone(), modules.join("\n")];
            table.add_row(place.clone().into_iter().chain(of_batch));
        }
        if maker.batches.is_empty() {
            table.add_row(place.into_iter().chain([const { String::new() }; 3]));
        }
    }
    println!("{table}");
    let others = answer.makers.iter().flat_map(|maker| &maker.batches).any(|batch| {
        let ran = batch.stages.iter().map(|run| (&run.stage, &run.digest));
        !ran.eq(answer.stages.iter().map(|(stage, digest)| (stage, digest)))
    });
    println!("{} records looked at, by working them through once more", answer.looked_at);
    if answer.more {
        println!("there are more than these {}: ask for them with --limit", arguments.limit);
    }
    match spec.tables.iter().find(|table| table.name == arguments.table).map(|table| &table.mode) {
        Some(Mode::FirstWins) => {
            println!("of several records the one that was committed first makes the row")
        }
        Some(Mode::Satellite { .. }) => println!(
            "what said that the state was as before added no row, and of one load date only the last one is there"
        ),
        _ => {}
    }
    if others {
        println!(
            "some batches were made by other modules than those that were asked now: what those did may differ"
        );
    }
}
