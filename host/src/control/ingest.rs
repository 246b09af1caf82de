//! Records come in: `POST /v1/topics/{topic}/records`, and the routes that specs add. All of a request's records
//! are taken, or none.

use super::body::{self, Format};
use super::problem::Problem;
use super::query::Query;
use super::site::Site;
use super::{Parts, parts};
use crate::effect::Fault;
use crate::generate::Scenario;
use crate::intake::KeyRule;
use crate::lane::now_ms;
use crate::log::NewRecord;
use crate::topic_name;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Records, by topic and outcome.
const RECORDS_TOTAL: &str = "gristmill_ingest_records_total";

/// Faults that one answer lists.
const ERRORS_MAX: usize = 1_000;

/// Where records go, and what happens to them before.
#[derive(Clone, Debug, Default)]
pub(super) struct Target {
    /// The topic.
    pub(super) topic: String,
    /// How a record's key is made from its value.
    pub(super) key: Option<KeyRule>,
    /// The pipeline and the stage whose module checks the records.
    pub(super) check: Option<(String, usize)>,
}

/// `POST /v1/topics/{topic}/records?key=RULE`.
pub(super) async fn to_topic(
    State(site): State<Arc<Site>>,
    topic: Parts<String>,
    uri: Uri,
    request: Request,
) -> Result<Response, Problem> {
    let topic = parts(topic)?;
    // Kafka's own topics begin with two underscores.
    if !topic_name::is_legal(&topic) || topic.starts_with("__") {
        return Err(crate::log::Error::UnknownTopic(topic).into());
    }
    let mut query = Query::of(&uri)?;
    let key = query.take("key")?;
    query.nothing_else(&["key"])?;
    let key = key.map(|key| key.parse()).transpose().map_err(|error: String| Problem::query(error))?;
    accept(&site, &Target { topic, key, check: None }, request).await
}

/// Reads a request's records, checks them, and answers once the log has them.
pub(super) async fn accept(site: &Site, target: &Target, request: Request) -> Result<Response, Problem> {
    let limits = &site.state.limits;
    let format = Format::of(request.headers())?;
    let announced = body::announced_bytes(request.headers(), limits.body_bytes_max)?;
    let mut room = site.admission.room(announced.unwrap_or(0))?;
    let within = Duration::from_millis(limits.body_ms_max);
    let bytes = body::read(&mut request.into_body(), limits.body_bytes_max, within, &mut room).await?;
    let mut records = body::records(format, &bytes, limits.request_records_max)?;
    drop(bytes);
    site.admission.records(records.len())?;
    let count = records.len() as u64;
    let counted = |outcome: &'static str| {
        metrics::counter!(RECORDS_TOTAL, "topic" => target.topic.clone(), "outcome" => outcome)
            .increment(count);
    };
    let mut faults = give_keys(&mut records, target.key.as_ref());
    if let Some((pipeline, stage)) = &target.check {
        let checked = site.state.checker.check(pipeline, *stage, &records).await;
        let checked =
            checked.map_err(|e| Problem::unavailable("records cannot be checked at the moment", e))?;
        for (all, more) in faults.iter_mut().zip(checked) {
            // What the module says about the key's place is more exact.
            all.retain(|key| more.iter().all(|fault| fault.pointer != key.pointer));
            all.extend(more);
        }
    }
    if faults.iter().any(|faults| !faults.is_empty()) {
        counted("refused");
        return Err(refused(&faults));
    }
    let positions = site.state.log.append(&target.topic, records).await?;
    counted("accepted");
    Ok((StatusCode::ACCEPTED, Json(json!({ "records": positions }))).into_response())
}

/// What a request for made-up records says.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// How many.
    #[serde(rename = "N", default = "one")]
    number: i64,
    /// Which; the same seed makes the same records, but for the time that they tell.
    seed: Option<u64>,
}

fn one() -> i64 {
    1
}

/// Made-up records that one request may ask for.
pub(super) const MADE_UP_MAX: i64 = 100_000;
/// Made-up records that are appended in one call.
const CHUNK: usize = 1_000;
/// A request for them is a few numbers.
const WANTED_BYTES_MAX: usize = 1_024;

/// Makes up records of a scenario, and answers once the log has them.
pub(super) async fn make_up(
    site: &Site,
    topic: &str,
    scenario: Scenario,
    request: Request,
) -> Result<Response, Problem> {
    let mut room = site.admission.room(0)?;
    let within = Duration::from_millis(site.state.limits.body_ms_max);
    let bytes = body::read(&mut request.into_body(), WANTED_BYTES_MAX, within, &mut room).await?;
    let wanted: Wanted = serde_json::from_slice(if bytes.is_empty() { b"{}" } else { &bytes })
        .map_err(|error| Problem::malformed(format!("a request is {{\"N\": 10, \"seed\": 1}}: {error}")))?;
    if !(1..=MADE_UP_MAX).contains(&wanted.number) {
        return Err(Problem::malformed(format!("N must be from 1 to {MADE_UP_MAX}")));
    }
    let number = usize::try_from(wanted.number).unwrap_or(0);
    site.admission.records(number)?;
    let seed = wanted.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut records = scenario.records(seed, now_ms(), number).map(NewRecord::from);
    let mut pushed = 0;
    while pushed < number {
        let chunk: Vec<NewRecord> = records.by_ref().take(CHUNK).collect();
        let count = chunk.len();
        site.state.log.append(topic, chunk).await?;
        metrics::counter!(RECORDS_TOTAL, "topic" => topic.to_owned(), "outcome" => "accepted")
            .increment(count as u64);
        pushed += count;
    }
    Ok(Json(json!({ "status": "success", "messages_pushed": pushed })).into_response())
}

/// Gives each record its key; answers each record's faults.
fn give_keys(records: &mut [NewRecord], rule: Option<&KeyRule>) -> Vec<Vec<Fault>> {
    let key = |record: &mut NewRecord| match rule?.key(record.value.as_deref().unwrap_or(&[])) {
        Ok(key) => {
            record.key = Some(key);
            None
        }
        Err(fault) => Some(Fault {
            code: "key".to_owned(),
            pointer: Some(fault.pointer),
            reason: fault.reason.to_owned(),
        }),
    };
    records.iter_mut().map(|record| key(record).into_iter().collect()).collect()
}

fn refused(faults: &[Vec<Fault>]) -> Problem {
    let total: usize = faults.iter().map(Vec::len).sum();
    let faulty = faults.iter().filter(|faults| !faults.is_empty()).count();
    let each = faults.iter().enumerate().flat_map(|(record, faults)| {
        faults.iter().map(move |fault| {
            json!({
                "record": record,
                "code": fault.code,
                "pointer": fault.pointer,
                "detail": fault.reason,
            })
        })
    });
    let errors: Vec<Value> = each.take(ERRORS_MAX).collect();
    let detail = format!("{faulty} of {} records are refused, and none is taken", faults.len());
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused-records", "Records are refused", detail)
        .with("errors", Value::Array(errors))
        .with("errors_total", json!(total))
}
