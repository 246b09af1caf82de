//! Facts, as tables for people and as JSON for programs.

use crate::config::Settings;
use crate::guarantee::{self, Parts};
use crate::log::GroupLedger;
use crate::spec::Spec;
use crate::store::{DeadLetter, FailedMail, LaneState, Store};
use crate::transform::Pipeline;
use base64::Engine as _;
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use std::sync::Arc;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time, milliseconds since 1970-01-01 UTC, to the second.
pub(super) fn instant(ms: Option<i64>) -> String {
    let time = ms.and_then(|ms| OffsetDateTime::from_unix_timestamp(ms / 1_000).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "–".to_owned())
}

/// A lane as its three ledgers see it.
pub(super) struct LaneFacts {
    pub(super) partition: i32,
    /// The store's.
    pub(super) state: Option<LaneState>,
    /// The group's.
    pub(super) group: GroupLedger,
    /// The log's end.
    pub(super) end: i64,
    /// How far the lane is behind; 0 if there is nothing left to read, whatever the end says.
    pub(super) lag: i64,
}

/// A member of a JSON object as people read it; empty if it is not there.
pub(super) fn at(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A table for people.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
    table
}

/// Prints what `check` found.
pub(super) fn check(
    spec: &Spec,
    transform: &Pipeline,
    settings: &Settings,
    json: bool,
) -> anyhow::Result<()> {
    let mail = spec.mail.as_ref().map(|_| settings.mail_url());
    let parts = Parts::of(&settings.log_url(), &settings.store_url(), mail.as_deref());
    let guarantees = guarantee::guarantees(spec, parts);
    if json {
        let stages: Vec<Value> = transform
            .stages
            .iter()
            .map(|stage| {
                json!({
                    "stage": &*stage.name, "module": stage.module.name, "digest": stage.module.digest,
                    "imports": stage.module.imports,
                })
            })
            .collect();
        let facts = json!({ "pipeline": spec.name, "stages": stages, "guarantees": guarantees });
        println!("{}", serde_json::to_string_pretty(&facts)?);
        return Ok(());
    }
    println!("{}: the spec, its modules and their plans fit together", spec.name);
    let mut stages = table(&["stage", "module", "digest", "imports"]);
    for stage in &transform.stages {
        let short = stage.module.digest.get(..12).unwrap_or_default();
        let imports = if stage.module.imports.is_empty() {
            "nothing".to_owned()
        } else {
            stage.module.imports.join("\n")
        };
        stages.add_row([&*stage.name, &stage.module.name, short, &imports]);
    }
    println!("{stages}");
    println!("{}", guarantee::table(&guarantees, 120));
    Ok(())
}

/// Prints how far each lane is.
pub(super) async fn pipeline(
    spec: &Spec,
    store: &Arc<dyn Store>,
    lanes: &[LaneFacts],
    json: bool,
) -> anyhow::Result<()> {
    let parked = store.parked_count(&spec.name).await?;
    let dead_letters = store.dead_letter_counts(&spec.name).await?;
    let mails = store.mail_counts(&spec.name).await?;
    if json {
        let lanes: Vec<Value> = lanes.iter().map(lane_json).collect();
        let dead_letters: serde_json::Map<String, Value> =
            dead_letters.into_iter().map(|(code, count)| (code, json!(count))).collect();
        let facts = json!({
            "pipeline": spec.name, "lanes": lanes, "parked": parked, "dead_letters": dead_letters, "mails": mails,
        });
        println!("{}", serde_json::to_string_pretty(&facts)?);
        return Ok(());
    }
    let mut shown =
        table(&["partition", "batch", "published", "next offset", "group's offset", "log's end", "lag"]);
    let number = |number: Option<i64>| number.map_or("–".to_owned(), |number| number.to_string());
    for LaneFacts { partition, state, group, end, lag } in lanes {
        let next = state.as_ref().and_then(|state| state.next_offset);
        shown.add_row([
            partition.to_string(),
            number(state.as_ref().map(|state| state.batch)),
            number(state.as_ref().map(|state| state.published)),
            number(next),
            number(group.next_offset),
            end.to_string(),
            lag.to_string(),
        ]);
    }
    println!("{shown}");
    let dead: u64 = dead_letters.iter().map(|(_, count)| count).sum();
    println!(
        "parked {parked}, dead letters {dead}, mails: {} wait, {} sent, {} given up",
        mails.pending, mails.sent, mails.failed
    );
    Ok(())
}

fn lane_json(LaneFacts { partition, state, group, end, lag }: &LaneFacts) -> Value {
    json!({
        "partition": partition,
        "batch": state.as_ref().map(|state| state.batch),
        "published": state.as_ref().map(|state| state.published),
        "next_offset": state.as_ref().and_then(|state| state.next_offset),
        "group_offset": group.next_offset,
        "group_batch": group.batch,
        "log_end": end,
        "lag": lag,
    })
}

/// Prints dead letters, a line each.
pub(super) fn dead_letters(letters: &[DeadLetter], json: bool) -> anyhow::Result<()> {
    if json {
        let letters: Vec<Value> = letters.iter().map(letter_json).collect();
        println!("{}", serde_json::to_string_pretty(&letters)?);
        return Ok(());
    }
    let mut shown = table(&["id", "pipeline", "record", "stage", "code", "reason"]);
    for letter in letters {
        let record = format!("{}/{}@{}", letter.topic, letter.partition, letter.offset);
        let reason: String = letter.failure.reason().chars().take(100).collect();
        let id = letter.id.to_string();
        shown.add_row([
            &id,
            &letter.pipeline,
            &record,
            &letter.failure.stage,
            letter.failure.code(),
            &reason,
        ]);
    }
    println!("{shown}");
    Ok(())
}

/// Prints mails that were given up, a line each.
pub(super) fn failed_mails(mails: &[FailedMail], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(mails)?);
        return Ok(());
    }
    let mut shown = table(&["id", "pipeline", "to", "subject", "attempts", "last error"]);
    for mail in mails {
        let (id, attempts) = (mail.id.to_string(), mail.attempts.to_string());
        shown.add_row([&id, &mail.pipeline, &mail.to.join(", "), &mail.subject, &attempts, &mail.error]);
    }
    println!("{shown}");
    Ok(())
}

/// Prints one dead letter with its record.
pub(super) fn dead_letter(letter: &DeadLetter, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(&letter_json(letter))?);
        return Ok(());
    }
    println!("dead letter {} of pipeline {}", letter.id, letter.pipeline);
    println!("record     {}/{}@{}", letter.topic, letter.partition, letter.offset);
    println!("stage      {} {}", letter.failure.stage, letter.failure.digest);
    println!("attempts   {}", letter.attempts);
    for fault in &letter.failure.faults {
        println!("fault      {}: {fault}", fault.code);
    }
    println!("key        {}", text(letter.key.as_deref()));
    for (name, value) in &letter.headers {
        println!("header     {name}: {}", text(value.as_deref()));
    }
    println!("value      {}", text(letter.value.as_deref()));
    Ok(())
}

fn letter_json(letter: &DeadLetter) -> Value {
    let headers: Vec<Value> = letter
        .headers
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": bytes_json(value.as_deref()) }))
        .collect();
    json!({
        "id": letter.id, "pipeline": letter.pipeline, "topic": letter.topic, "partition": letter.partition,
        "offset": letter.offset, "timestamp_ms": letter.timestamp_ms, "stage": letter.failure.stage,
        "digest": letter.failure.digest, "code": letter.failure.code(), "reason": letter.failure.reason(),
        "faults": letter.failure.faults, "attempts": letter.attempts, "at_ms": letter.at_ms,
        "key": bytes_json(letter.key.as_deref()), "value": bytes_json(letter.value.as_deref()), "headers": headers,
    })
}

/// Text as it is, other bytes as `{"base64": …}`.
fn bytes_json(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!(text),
        Some((bytes, Err(_))) => json!({ "base64": base64::engine::general_purpose::STANDARD.encode(bytes) }),
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or("–".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}
