//! What goes out: mails by their transport, and calls to webhooks, which alerts may ask for.

use super::{SendError, Transport};
use crate::store::PendingMail;
use crate::tls::{self, Roots};
use async_trait::async_trait;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long a webhook may take.
const CALL: Duration = Duration::from_secs(10);

/// Sends mails, and calls the URLs that stand in the place of an address.
pub struct Outward {
    mail: Arc<dyn Transport>,
    roots: Option<Roots>,
    /// Made at the first call: to read the system's root certificates takes a moment.
    agent: OnceLock<ureq::Agent>,
}

impl Outward {
    /// Mails go through `mail`; servers of webhooks are checked against the system's roots and `roots`.
    pub fn new(mail: Arc<dyn Transport>, roots: Option<&Roots>) -> Self {
        Outward { mail, roots: roots.cloned(), agent: OnceLock::new() }
    }

    fn agent(&self) -> ureq::Agent {
        let agent = self.agent.get_or_init(|| {
            let config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .timeout_global(Some(CALL))
                .tls_config(tls::for_ureq(self.roots.as_ref()));
            config.build().new_agent()
        });
        agent.clone()
    }
}

#[async_trait]
impl Transport for Outward {
    fn kind(&self) -> &'static str {
        self.mail.kind()
    }

    async fn send(&self, mail: &PendingMail) -> Result<(), SendError> {
        let Some(url) = mail.to.first().filter(|to| is_url(to)) else { return self.mail.send(mail).await };
        let (agent, url, id, body) = (self.agent(), url.clone(), mail.message_id.clone(), mail.text.clone());
        let call = tokio::task::spawn_blocking(move || call(&agent, &url, &id, &body));
        call.await.unwrap_or_else(|_| Err(SendError::passing("the call was broken off")))
    }
}

/// Posts a notice; it is taken if the answer says so.
fn call(agent: &ureq::Agent, url: &str, id: &str, body: &str) -> Result<(), SendError> {
    // Not the whole URL: it may hold a secret.
    let place = origin(url);
    let answer =
        agent.post(url).content_type("application/json").header("idempotency-key", id).send(body).map_err(
            |error| SendError::passing(format!("the webhook of {place}: {}", without_url(&error))),
        )?;
    match answer.status().as_u16() {
        200..=299 => Ok(()),
        status @ (408 | 425 | 429 | 500..) => {
            Err(SendError::passing(format!("the webhook of {place} answered {status}")))
        }
        status => Err(SendError::permanent(format!("the webhook of {place} answered {status}"))),
    }
}

/// Whether this stands for a webhook; no mail address does.
pub fn is_url(to: &str) -> bool {
    to.starts_with("http://") || to.starts_with("https://")
}

/// Scheme, host and port of a URL.
pub fn origin(url: &str) -> String {
    url::Url::parse(url)
        .map_or_else(|_| "an unreadable URL".to_owned(), |url| url.origin().ascii_serialization())
}

fn without_url(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {} s", CALL.as_secs()),
        ureq::Error::HostNotFound => "there is no such host".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        _ => "it cannot be called".to_owned(),
    }
}
