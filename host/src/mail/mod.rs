//! Mail: what a pipeline's records cause and no transaction can take back.
//!
//! A mail is stored in the transaction of its batch, as rows are, and sent after that commit by a [`Relay`], so no
//! mail goes out for rows that are not there. Between the server's word that it took a mail and the store's note of
//! it a host can die: then the mail is sent again. So mail goes out *at least once*, and says so: its Message-ID
//! is made from its record's origin, every attempt carries the same one, and servers and clients that know it
//! already show it once. Several hosts on one store share its mails out by leases.
//!
//! What alerts tell goes the same way, to addresses and to webhooks: a notice whose recipient is a URL is a call of it.

mod file;
mod message;
mod outward;
mod relay;
mod smtp;

pub use file::Files;
pub use outward::{Outward, is_url, origin};
pub use relay::{Relay, Settings};
pub use smtp::Smtp;

use crate::store::PendingMail;
use crate::tls::Roots;
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;

/// Takes mails off the relay's hands.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// What it is, for errors and guarantees: `SMTP` or `files`.
    fn kind(&self) -> &'static str;

    /// Sends a mail with its own Message-ID; answers once the other side has taken it, and always within a time of
    /// its own.
    ///
    /// # Errors
    /// Whether trying again can help.
    async fn send(&self, mail: &PendingMail) -> Result<(), SendError>;
}

/// A mail that was not taken, or of which that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SendError {
    /// This mail will never be taken: trying again is of no use.
    pub permanent: bool,
    /// What happened.
    pub message: String,
}

impl SendError {
    /// Something that may pass.
    fn passing(message: impl Into<String>) -> Self {
        SendError { permanent: false, message: message.into() }
    }

    /// Something that this mail will always meet.
    fn permanent(message: impl Into<String>) -> Self {
        SendError { permanent: true, message: message.into() }
    }
}

/// A place for mail that cannot be used as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the place for mail (GRISTMILL_MAIL) {0}")]
pub struct Error(String);

/// Opens the transport that a setting names: `smtp://host:port` (with `user:password@`, and `?tls=required` for
/// STARTTLS), `smtps://host:port`, or `file:dir`. Nothing is connected to yet.
///
/// # Errors
/// What is wrong with the setting, without the secrets in it.
pub fn open(place: &str) -> Result<Arc<dyn Transport>, Error> {
    open_trusting(place, None)
}

/// The same; a server's certificate is checked against `roots` too, unless the setting names others.
///
/// # Errors
/// As [`open`].
pub fn open_trusting(place: &str, roots: Option<&Roots>) -> Result<Arc<dyn Transport>, Error> {
    Ok(Arc::new(Outward::new(open_mail(place, roots)?, roots)))
}

fn open_mail(place: &str, roots: Option<&Roots>) -> Result<Arc<dyn Transport>, Error> {
    if let Some(folder) = place.strip_prefix("file:") {
        if folder.is_empty() {
            return Err(Error("names no folder: write file:DIR".to_owned()));
        }
        return Ok(Arc::new(Files::new(Path::new(folder))));
    }
    Ok(Arc::new(Smtp::open(place)?.trusting(roots)))
}
