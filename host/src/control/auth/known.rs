//! The tokens as this host knows them: read anew every two seconds, so that no request that is let in asks the store. A
//! token that is revoked anywhere is refused here that long after at the latest, as long as the store answers. One that
//! is not known may have been made a moment ago: it waits until they are read again, which all that wait have in common,
//! and which is done twenty times a second at most.

use super::secret;
use crate::lane::now_ms;
use crate::store::{LiveTokens, Store, Token};
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// How often the tokens are read.
const EVERY: Duration = Duration::from_secs(2);
/// How long after one reading the next one begins, for tokens that are not known.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// How long the store may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How long the tokens hold that were read last, if the store does not answer: records can come in meanwhile, but a
/// host that hears nothing of revocations does not go on for ever.
const HOLD_MAX: Duration = Duration::from_secs(300);

/// The tokens were not read lately: nobody can be told from anybody.
#[derive(Debug)]
pub(super) struct NotKnown;

/// The tokens that this host knows.
pub(in crate::control) struct Known {
    store: Arc<dyn Store>,
    seen: RwLock<Option<Seen>>,
    /// Held by whoever reads them; when that last began.
    reading: tokio::sync::Mutex<Option<Instant>>,
}

struct Seen {
    live: Arc<LiveTokens>,
    at: Instant,
}

impl Known {
    pub(in crate::control) fn new(store: Arc<dyn Store>) -> Self {
        Known { store, seen: RwLock::new(None), reading: tokio::sync::Mutex::new(None) }
    }

    /// Reads them now: what this host itself changes holds here at once. Answers whether the store answered.
    pub(in crate::control) async fn refresh(&self) -> bool {
        let mut last = self.reading.lock().await;
        self.read(&mut last).await
    }

    async fn read(&self, last: &mut Option<Instant>) -> bool {
        let at = Instant::now();
        *last = Some(at);
        let answer = match tokio::time::timeout(ANSWER_MAX, self.store.live_tokens(now_ms())).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", ANSWER_MAX.as_secs())),
        };
        match answer {
            Ok(live) => {
                *self.seen.write() = Some(Seen { live: Arc::new(live), at });
                true
            }
            Err(error) => {
                tracing::debug!(%error, "tokens cannot be read");
                false
            }
        }
    }

    /// Reads them again and again, until it is dropped.
    pub(in crate::control) async fn keep_fresh(&self) -> std::convert::Infallible {
        let mut answered = true;
        loop {
            let answers = self.refresh().await;
            if answered && !answers {
                tracing::warn!(
                    "the store does not say which tokens there are: those that were known hold for {} s more",
                    HOLD_MAX.as_secs()
                );
            } else if answers && !answered {
                tracing::info!("tokens are read again");
            }
            answered = answers;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// What was read last; read now, if nothing was yet.
    pub(super) async fn live(&self) -> Result<Arc<LiveTokens>, NotKnown> {
        if self.seen.read().is_none() {
            return self.live_again().await;
        }
        self.held()
    }

    /// What is read from now on, by whomever.
    pub(super) async fn live_again(&self) -> Result<Arc<LiveTokens>, NotKnown> {
        let asked = Instant::now();
        let mut last = self.reading.lock().await;
        if last.is_none_or(|last| last < asked) {
            if let Some(last) = *last {
                tokio::time::sleep(AGAIN_AFTER.saturating_sub(last.elapsed())).await;
            }
            self.read(&mut last).await;
        }
        drop(last);
        self.held()
    }

    fn held(&self) -> Result<Arc<LiveTokens>, NotKnown> {
        let seen = self.seen.read();
        let seen = seen.as_ref().filter(|seen| seen.at.elapsed() < HOLD_MAX);
        seen.map(|seen| seen.live.clone()).ok_or(NotKnown)
    }
}

/// The token among these that was presented, if it still holds. All are compared, each in constant time: how long it
/// takes says nothing about how near a guess was, nor whether there is such a token.
pub(super) fn find<'a>(tokens: &'a [Token], presented: &str, now_ms: i64) -> Option<&'a Token> {
    let presented = secret::digest(presented);
    let mut found = None;
    for token in tokens {
        if bool::from(token.given.digest.ct_eq(&presented)) {
            found = Some(token);
        }
    }
    found.filter(|token| {
        token.revoked_ms.is_none() && token.given.expires_ms.is_none_or(|expires_ms| expires_ms > now_ms)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Grant, Role};
    use crate::store::NewToken;

    fn token(id: i64, secret: &str, expires_ms: Option<i64>) -> Token {
        let (name, digest, created_by) = (format!("t{id}"), secret::digest(secret), "test".to_owned());
        let given = NewToken {
            name,
            digest,
            grant: Grant::Role(Role::Viewer),
            created_ms: 0,
            created_by,
            expires_ms,
        };
        Token { id, given, revoked_ms: None, revoked_by: None }
    }

    #[test]
    fn a_token_is_found_by_all_of_it_until_it_ends() {
        let mut tokens = vec![token(1, "gm_a", None), token(2, "gm_b", Some(100))];
        let id =
            |tokens: &[Token], presented: &str, now_ms| find(tokens, presented, now_ms).map(|token| token.id);
        assert_eq!(id(&tokens, "gm_a", i64::MAX), Some(1));
        assert_eq!(id(&tokens, "gm_b", 99), Some(2));
        assert_eq!(id(&tokens, "gm_b", 100), None);
        for wrong in ["", "gm_", "gm_aa", "gm_A", " gm_a"] {
            assert_eq!(id(&tokens, wrong, 0), None, "{wrong:?}");
        }
        tokens[0].revoked_ms = Some(1);
        assert_eq!(id(&tokens, "gm_a", 0), None);
        assert_eq!(id(&[], "gm_a", 0), None);
    }
}
