//! Sends the mails of a store: one relay per host.

use super::{SendError, Transport};
use crate::store::{MailOutcome, PendingMail, Store};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Attempts to send a mail, by what became of them: `sent`, `again`, `failed`.
const SENDS_TOTAL: &str = "gristmill_mail_sends_total";

/// How long one attempt took.
const SEND_SECONDS: &str = "gristmill_mail_send_seconds";

/// The delay before the second attempt; each one after is twice as long.
const DELAY_MS_FIRST: i64 = 1_000;

/// The longest delay between two attempts.
const DELAY_MS_MAX: i64 = 600_000;

/// How often the store is asked to write down what became of a mail. After that its lease runs out, and it is sent
/// again.
const SETTLE_ATTEMPTS_MAX: u32 = 5;

/// How a relay works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// For how long a host has a mail to itself, milliseconds: longer than any transport takes for one. A host that
    /// dies gives its mails back after that.
    pub lease_ms: i64,
    /// Mails under way at once.
    pub sends_max: usize,
    /// How often to look for mails that nobody announced, and how long to wait for a store that does not answer,
    /// milliseconds.
    pub poll_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { lease_ms: 30_000, sends_max: 16, poll_ms: 1_000 }
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
        let poll = Duration::from_millis(self.settings.poll_ms.max(1));
        let mut under_way = FuturesUnordered::new();
        let mut look_at = Instant::now();
        // Whether more mails wait than there was room for.
        let mut more = false;
        while !(stop.is_cancelled() && under_way.is_empty()) {
            let free = self.settings.sends_max.max(1).saturating_sub(under_way.len());
            // Half of the room at least, so that a lease is worth its transaction, and a mail that hangs does not
            // keep the others waiting.
            let room = free * 2 > self.settings.sends_max;
            if room && !stop.is_cancelled() && (more || Instant::now() >= look_at) {
                let mails = self.lease(free).await;
                more = mails.len() == free;
                look_at = Instant::now() + poll;
                under_way.extend(mails.into_iter().map(|mail| self.deliver(mail)));
            }
            tokio::select! {
                // Also when it was cancelled during the lease just now: nothing else would end this wait then.
                () = stop.cancelled(), if !stop.is_cancelled() || under_way.is_empty() => {}
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                () = self.wake.notified() => look_at = Instant::now(),
                () = tokio::time::sleep_until(look_at), if room && !stop.is_cancelled() => {}
            }
        }
    }

    async fn lease(&self, free: usize) -> Vec<PendingMail> {
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        match self.store.lease_mails(now_ms(), self.settings.lease_ms, limit).await {
            Ok(mails) => mails,
            Err(error) => {
                tracing::warn!(%error, "mails wait for the store");
                Vec::new()
            }
        }
    }

    async fn deliver(&self, mail: PendingMail) {
        let began = Instant::now();
        let answer = self.transport.send(&mail).await;
        metrics::histogram!(SEND_SECONDS).record(began.elapsed());
        if answer.is_ok() {
            crate::crash::point("mail.sent");
        }
        let outcome = outcome(&mail, answer, now_ms());
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
        self.settle(&mail, &outcome).await;
        metrics::counter!(SENDS_TOTAL, "pipeline" => mail.pipeline, "outcome" => name).increment(1);
    }

    async fn settle(&self, mail: &PendingMail, outcome: &MailOutcome) {
        for attempt in 1..=SETTLE_ATTEMPTS_MAX {
            let Err(error) = self.store.settle_mail(mail, outcome).await else { return };
            tracing::warn!(%error, attempt, message_id = mail.message_id, "a mail's outcome is not written down");
            tokio::time::sleep(Duration::from_millis(self.settings.poll_ms)).await;
        }
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
