//! Mails that wait to be sent: leased to one relay at a time, then settled. The same statements for both databases.

use super::fault::{Fault, bounded};
use super::own_tables::MailContent;
use super::sql::{Arg, Dialect, Row, Sql, Tx};
use super::{Error, FailedMail, MailCounts, MailOutcome, PendingMail};
use crate::mail::{is_url, origin};

/// Takes pending mails for a while.
pub async fn lease(
    tx: &mut dyn Tx,
    now_ms: i64,
    lease_ms: i64,
    limit: u32,
) -> Result<Vec<PendingMail>, Error> {
    let skip = if tx.dialect() == Dialect::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let text = format!(
        "UPDATE gristmill.mails SET due_ms = $2 WHERE id IN (SELECT id FROM gristmill.mails \
         WHERE state = 'pending' AND due_ms <= $1 ORDER BY due_ms, id LIMIT $3 {skip}) \
         RETURNING id, pipeline, message_id, sender, content, attempts, attempts_max"
    );
    let args = [Arg::from(now_ms), Arg::from(now_ms.saturating_add(lease_ms)), Arg::from(i64::from(limit))];
    let rows = tx.fetch(&text, &args).await.map_err(Fault::into_error)?;
    let mut mails = rows.iter().map(mail).collect::<Result<Vec<_>, _>>()?;
    mails.sort_by_key(|mail| mail.id);
    Ok(mails)
}

/// Recipients, subject and texts of the mail whose number stands first in the row.
fn content<'a>(row: &Row, text: &'a str) -> Result<MailContent<'a>, Error> {
    serde_json::from_str(text).map_err(|error| Error::Unfit {
        message: format!("mail {} in the store is damaged: {error}: delete its row", row.int(0)),
    })
}

fn mail(row: &Row) -> Result<PendingMail, Error> {
    let text = row.text(4);
    let content = content(row, &text)?;
    Ok(PendingMail {
        id: row.int(0),
        pipeline: row.text(1),
        message_id: row.text(2),
        from: row.text(3),
        to: content.to.into_owned(),
        subject: content.subject.into_owned(),
        text: content.text.into_owned(),
        html: content.html.map(std::borrow::Cow::into_owned),
        attempts: u32::try_from(row.int(5)).unwrap_or(0),
        attempts_max: u32::try_from(row.int(6)).unwrap_or(1),
    })
}

/// Writes down how an attempt ended: once, also if it is said again because no answer came. A mail that is sent already
/// stays so; one that was sent is, whatever another relay has counted meanwhile.
pub async fn settle(sql: &mut dyn Sql, mail: &PendingMail, outcome: &MailOutcome) -> Result<(), Error> {
    let (state, due_ms, error) = match outcome {
        MailOutcome::Sent => ("sent", 0, None),
        MailOutcome::Again { at_ms, error } => ("pending", *at_ms, Some(bounded(error))),
        MailOutcome::Failed { error } => ("failed", 0, Some(bounded(error))),
    };
    let text = "UPDATE gristmill.mails SET state = $2, due_ms = $3, error = $4, attempts = attempts + 1 \
                WHERE id = $1 AND state = 'pending' AND (attempts = $5 OR $2 = 'sent')";
    let (id, attempts) = (Arg::from(mail.id), Arg::from(i64::from(mail.attempts)));
    let args = [id, Arg::from(state), Arg::from(due_ms), Arg::Text(error.as_deref()), attempts];
    sql.execute(text, &args).await.map_err(Fault::into_error)?;
    Ok(())
}

/// Mails that were given up, newest first.
pub async fn failed(sql: &mut dyn Sql, pipeline: Option<&str>, limit: u32) -> Result<Vec<FailedMail>, Error> {
    let text = "SELECT id, pipeline, message_id, content, attempts, error FROM gristmill.mails \
                WHERE state = 'failed' AND ($1 IS NULL OR pipeline = $1) ORDER BY id DESC LIMIT $2";
    let args = [Arg::Text(pipeline), Arg::from(i64::from(limit))];
    let rows = sql.fetch(text, &args).await.map_err(Fault::into_error)?;
    let failed = |row: &Row| {
        let text = row.text(3);
        let content = content(row, &text)?;
        Ok(FailedMail {
            id: row.int(0),
            pipeline: row.text(1),
            message_id: row.text(2),
            to: content.to.iter().map(|to| if is_url(to) { origin(to) } else { to.clone() }).collect(),
            subject: content.subject.into_owned(),
            attempts: u32::try_from(row.int(4)).unwrap_or(0),
            error: row.text(5),
        })
    };
    rows.iter().map(failed).collect()
}

/// Puts a mail that was given up back, due at once.
pub async fn retry(tx: &mut dyn Tx, id: i64) -> Result<bool, Error> {
    let text = "UPDATE gristmill.mails SET state = 'pending', due_ms = 0, attempts = 0 \
                WHERE id = $1 AND state = 'failed'";
    Ok(tx.execute(text, &[Arg::from(id)]).await.map_err(Fault::into_error)? == 1)
}

/// How many mails of a pipeline are in which state.
pub async fn counts(sql: &mut dyn Sql, pipeline: &str) -> Result<MailCounts, Error> {
    let text = "SELECT state, count(*) FROM gristmill.mails WHERE pipeline = $1 GROUP BY state";
    let rows = sql.fetch(text, &[Arg::from(pipeline)]).await.map_err(Fault::into_error)?;
    let count =
        |state: &str| rows.iter().find(|row| row.text(0) == state).map_or(0, |row| row.int(1).unsigned_abs());
    Ok(MailCounts { pending: count("pending"), sent: count("sent"), failed: count("failed") })
}
