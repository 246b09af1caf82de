//! Sends the mails of a store: one relay per host.

use super::{SendError, Transport};
use crate::store::{self, MailOutcome, PendingMail, Store};
use futures::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Attempts to send a mail, by what became of them: `sent`, `again`, `failed`.
const SENDS_TOTAL: &str = "gristmill_mail_sends_total";

/// How long one attempt took.
const SEND_SECONDS: &str = "gristmill_mail_send_seconds";

/// The delay before the second attempt; each one after is twice as long.
const DELAY_MS_FIRST: i64 = 1_000;

/// The longest delay between two attempts.
const DELAY_MS_MAX: i64 = 600_000;

/// How a relay works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// For how long a host has its mails to itself, milliseconds. A host that dies gives them back after that.
    pub lease_ms: i64,
    /// Mails that one lease takes.
    pub lease_mails_max: u32,
    /// Mails under way at once.
    pub sends_max: usize,
    /// How often to look for mails that nobody announced, milliseconds.
    pub poll_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        // A lease lasts for its mails at the transport's slowest: 32 mails, 8 at once, 30 s each.
        Settings { lease_ms: 120_000, lease_mails_max: 32, sends_max: 8, poll_ms: 1_000 }
    }
}

/// Leases mails, sends them, writes down what became of them.
pub struct Relay {
    /// Where the mails are.
    pub store: Arc<dyn Store>,
    /// Where they go.
    pub transport: Arc<dyn Transport>,
    /// Notified when a batch with mails was committed.
    pub wake: Arc<Notify>,
    /// How it works.
    pub settings: Settings,
}

impl Relay {
    /// Sends mails until `stop` is cancelled, then ends those that are under way.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.round(&stop).await {
                // More may wait behind a full lease.
                Ok(mails) if mails == self.settings.lease_mails_max as usize => continue,
                Ok(_) => self.settings.poll_ms,
                Err(error) => {
                    tracing::warn!(%error, "mails wait for the store");
                    self.settings.poll_ms
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            }
        }
    }

    /// One lease: answers how many mails it took.
    async fn round(&self, stop: &CancellationToken) -> Result<usize, store::Error> {
        let Settings { lease_ms, lease_mails_max, sends_max, .. } = self.settings;
        // What is not begun by then belongs to whoever leases it next.
        let lease_end = Instant::now() + Duration::from_millis(u64::try_from(lease_ms).unwrap_or(0)) / 2;
        let mails = self.store.lease_mails(now_ms(), lease_ms, lease_mails_max).await?;
        let taken = mails.len();
        let mut under_way = futures::stream::iter(mails)
            .map(|mail| async move {
                match stop.is_cancelled() || Instant::now() >= lease_end {
                    true => Ok(()),
                    false => self.deliver(&mail).await,
                }
            })
            .buffer_unordered(sends_max);
        let mut first_error = Ok(());
        while let Some(delivered) = under_way.next().await {
            first_error = first_error.and(delivered);
        }
        first_error.map(|()| taken)
    }

    async fn deliver(&self, mail: &PendingMail) -> Result<(), store::Error> {
        let began = Instant::now();
        let answer = self.transport.send(mail).await;
        metrics::histogram!(SEND_SECONDS).record(began.elapsed());
        if answer.is_ok() {
            crate::crash::point("mail.sent");
        }
        let outcome = outcome(mail, answer, now_ms());
        let name = match &outcome {
            MailOutcome::Sent => "sent",
            MailOutcome::Again { error, .. } => {
                tracing::info!(message_id = mail.message_id, error, "a mail will be tried again");
                "again"
            }
            MailOutcome::Failed { error } => {
                tracing::warn!(message_id = mail.message_id, error, "a mail is given up");
                "failed"
            }
        };
        self.store.settle_mail(mail.id, &outcome).await?;
        metrics::counter!(SENDS_TOTAL, "pipeline" => mail.pipeline.clone(), "outcome" => name).increment(1);
        Ok(())
    }
}

/// What becomes of a mail after an attempt.
fn outcome(mail: &PendingMail, answer: Result<(), SendError>, now_ms: i64) -> MailOutcome {
    let attempts = mail.attempts.saturating_add(1);
    match answer {
        Ok(()) => MailOutcome::Sent,
        Err(error) if error.permanent => MailOutcome::Failed { error: error.message },
        Err(error) if attempts >= mail.attempts_max => {
            MailOutcome::Failed { error: format!("given up after {attempts} attempts: {}", error.message) }
        }
        Err(error) => MailOutcome::Again { at_ms: now_ms + delay_ms(attempts), error: error.message },
    }
}

/// The delay after so many attempts.
fn delay_ms(attempts: u32) -> i64 {
    let doubled = 1_i64.checked_shl(attempts.saturating_sub(1).min(62)).unwrap_or(i64::MAX);
    DELAY_MS_FIRST.saturating_mul(doubled).min(DELAY_MS_MAX)
}

/// Milliseconds since 1970-01-01 UTC.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::mail;
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_not_for_ever() {
        let after = |attempts, permanent| {
            let mail = PendingMail { attempts, ..mail("a@b") };
            outcome(&mail, Err(SendError { permanent, message: "no".into() }), 0)
        };
        assert_eq!(outcome(&mail("a@b"), Ok(()), 0), MailOutcome::Sent);
        assert_eq!(after(0, false), MailOutcome::Again { at_ms: 1_000, error: "no".into() });
        assert_eq!(after(1, false), MailOutcome::Again { at_ms: 2_000, error: "no".into() });
        assert_eq!(after(2, false), MailOutcome::Failed { error: "given up after 3 attempts: no".into() });
        assert_eq!(after(0, true), MailOutcome::Failed { error: "no".into() });
    }

    #[test]
    fn delays_grow_to_ten_minutes() {
        let delays: Vec<i64> = (1..=12).map(|attempts| delay_ms(attempts) / 1_000).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(delay_ms(u32::MAX), DELAY_MS_MAX);
    }
}
