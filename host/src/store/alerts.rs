//! Alerts: dead letters that somebody is told of, once for each cause and window of time. Written with the batch that has
//! them, so that what is told has happened, and told again by nobody; sent as mails are.

use super::Error;
use super::commit::Job;
use super::fault::{Fault, bounded};
use super::own_tables::{MailContent, NewMail};
use super::settle::Dead;
use super::sql::{Arg, Tx};
use crate::spec::Alert;
use serde_json::json;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The most of a record's key that a cause tells, bytes.
const KEY_BYTES_MAX: usize = 200;

/// The dead letters of one cause in a batch.
struct Group<'a> {
    first: &'a Dead,
    letters: i64,
}

/// Notes the dead letters that alerts are for; answers what is to be sent.
pub async fn raise<'a>(tx: &mut dyn Tx, job: &'a Job, dead: &[Dead]) -> Result<Vec<NewMail<'a>>, Error> {
    let mut notices = Vec::new();
    for alert in &job.spec.alerts {
        // In one order in all lanes, so that they wait for each other and do not lock each other out.
        for (cause, group) in groups(job, alert, dead) {
            notices.extend(note(tx, job, alert, &cause, &group).await?);
        }
    }
    Ok(notices)
}

fn groups<'a>(job: &Job, alert: &Alert, dead: &'a [Dead]) -> BTreeMap<String, Group<'a>> {
    let mut groups: BTreeMap<String, Group<'a>> = BTreeMap::new();
    for letter in dead {
        let code = letter.failure.code();
        if !alert.codes.is_empty() && !alert.codes.iter().any(|known| known == code) {
            continue;
        }
        let mut cause = code.to_owned();
        if let Some(key) = job.work.batch.key(letter.record as usize).filter(|_| alert.by_key) {
            let key = String::from_utf8_lossy(key.get(..key.len().min(KEY_BYTES_MAX)).unwrap_or_default());
            cause.push(' ');
            cause.push_str(&key.replace('\0', "\u{fffd}"));
        }
        groups.entry(cause).or_insert(Group { first: letter, letters: 0 }).letters += 1;
    }
    groups
}

/// Counts the letters of a cause; answers what is to be sent, if they are the first of their window.
async fn note<'a>(
    tx: &mut dyn Tx,
    job: &'a Job,
    alert: &'a Alert,
    cause: &str,
    group: &Group<'_>,
) -> Result<Vec<NewMail<'a>>, Error> {
    let length = i64::try_from(alert.window_ms).unwrap_or(i64::MAX).max(1);
    let window = job.now_ms - job.now_ms.rem_euclid(length);
    let of = [Arg::from(&*job.lane.pipeline), Arg::from(alert.name.as_str())];
    let [pipeline, name] = of;
    let counted = "INSERT INTO gristmill.alerts AS t (pipeline, alert, window_ms, cause, letters) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (pipeline, alert, window_ms, cause) \
         DO UPDATE SET letters = t.letters + excluded.letters RETURNING letters";
    let args = [pipeline, name, Arg::from(window), Arg::from(cause), Arg::from(group.letters)];
    let rows = tx.fetch(counted, &args).await.map_err(Fault::into_error)?;
    if rows.first().is_none_or(|row| row.int(0) != group.letters) {
        return Ok(Vec::new());
    }
    let [pipeline, name] = [Arg::from(&*job.lane.pipeline), Arg::from(alert.name.as_str())];
    let others = "SELECT count(*), \
         (SELECT max(b.letters) FROM gristmill.alerts b WHERE b.pipeline = $1 AND b.alert = $2 AND b.cause = $4 \
          AND b.window_ms = $5) FROM gristmill.alerts a WHERE a.pipeline = $1 AND a.alert = $2 AND a.window_ms = $3";
    let before = window.saturating_sub(length);
    let args = [pipeline, name, Arg::from(window), Arg::from(cause), Arg::from(before)];
    let rows = tx.fetch(others, &args).await.map_err(Fault::into_error)?;
    let (causes, letters_before) = rows.first().map_or((0, 0), |row| (row.int(0), row.int(1)));
    // What is older than the window before tells nobody anything any more.
    let forget = "DELETE FROM gristmill.alerts WHERE pipeline = $1 AND alert = $2 AND window_ms < $3";
    let args = [Arg::from(&*job.lane.pipeline), Arg::from(alert.name.as_str()), Arg::from(before)];
    tx.execute(forget, &args).await.map_err(Fault::into_error)?;
    let most = i64::from(alert.notices_max);
    if causes > most {
        return Ok(Vec::new());
    }
    let told = Told { window, letters_before, last: causes == most };
    Ok(notices(job, alert, cause, group, &told))
}

/// What a notice says besides its letter.
struct Told {
    window: i64,
    letters_before: i64,
    /// Whether no other cause is told in this window.
    last: bool,
}

fn notices<'a>(
    job: &'a Job,
    alert: &'a Alert,
    cause: &str,
    group: &Group<'_>,
    told: &Told,
) -> Vec<NewMail<'a>> {
    let (lane, failure) = (&job.lane, &group.first.failure);
    let offset = job.work.batch.offset(group.first.record as usize);
    let message_id = |way: &str| {
        let cause = cause.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
        format!("{}.{}.{cause}.{}.{way}@gristmill.invalid", lane.pipeline, alert.name, told.window)
    };
    let mut notices = Vec::new();
    if !alert.mail_to.is_empty() {
        let mut text = format!(
            "{} record(s) of pipeline {} became dead letters for this cause: {cause}\n\n\
             The first one: {} [{}] offset {offset}, refused by stage {}: {}\n\n\
             gristmill dead-letter list {} --code {}\n",
            group.letters,
            lane.pipeline,
            lane.topic,
            lane.partition,
            failure.stage,
            bounded(&failure.reason()),
            lane.pipeline,
            failure.code(),
        );
        if told.letters_before > 0 {
            text.push_str(&format!("\nIn the window of time before there were {}.\n", told.letters_before));
        }
        text.push_str(&format!(
            "\nMore of this cause are not told before {} seconds are over.{}\n",
            alert.window_ms / 1_000,
            if told.last { " Nor are other causes: there are too many." } else { "" }
        ));
        let content = MailContent {
            to: Cow::Borrowed(alert.mail_to.as_slice()),
            subject: Cow::Owned(format!("{}: {}: {cause}", lane.pipeline, alert.name)),
            text: Cow::Owned(text),
            html: None,
        };
        notices.push(NewMail { record: group.first.record, message_id: message_id("mail"), content });
    }
    if let Some(url) = &alert.webhook {
        let body = json!({
            "pipeline": &*lane.pipeline, "alert": alert.name, "cause": cause, "code": failure.code(),
            "dead_letters": group.letters, "dead_letters_in_the_window_before": told.letters_before,
            "window_ms": alert.window_ms, "last_of_the_window": told.last, "at_ms": job.now_ms,
            "first": { "topic": &*lane.topic, "partition": lane.partition, "offset": offset,
                       "stage": failure.stage, "digest": failure.digest, "reason": bounded(&failure.reason()) },
        });
        let content = MailContent {
            to: Cow::Owned(vec![url.clone()]),
            subject: Cow::Borrowed(alert.name.as_str()),
            text: Cow::Owned(body.to_string()),
            html: None,
        };
        notices.push(NewMail { record: group.first.record, message_id: message_id("webhook"), content });
    }
    notices
}
