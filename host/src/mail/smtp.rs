//! Mails to a server, by SMTP.
//!
//! The pool of connections is our own, on lettre's connections: lettre's puts a connection back into its pool when a
//! send is cancelled (as a time limit does), in the middle of its dialogue, and the late answer to one mail would be
//! taken for the answer to the next. Here only a connection whose mail was answered is used again.

use super::{Error, SendError, Transport, message};
use crate::store::PendingMail;
use crate::tls::Roots;
use async_trait::async_trait;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use parking_lot::Mutex;
use std::path::Path;
use std::time::Duration;
use url::Url;

/// How long one mail may take, connecting included: less than a relay's lease.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that are kept open for the next mail.
const IDLE_MAX: usize = 16;

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    None,
    StartTls,
    Tls,
}

/// An SMTP server.
pub struct Smtp {
    host: String,
    port: u16,
    protection: Protection,
    /// Of one's own, beside the system's.
    roots: Option<Roots>,
    credentials: Option<Credentials>,
    send_timeout: Duration,
    idle: Mutex<Vec<AsyncSmtpConnection>>,
}

impl Smtp {
    /// A server by its URL: see [`super::open`].
    ///
    /// # Errors
    /// What is wrong with the URL, without its secrets.
    pub fn open(place: &str) -> Result<Self, Error> {
        let url = Url::parse(place)
            .map_err(|e| Error(format!("is not a URL ({e}): write smtp://HOST:PORT or file:DIR")))?;
        let (mut tls, mut roots) = (None, None);
        for (name, value) in url.query_pairs() {
            match &*name {
                "tls" => tls = Some(value.into_owned()),
                "sslrootcert" => {
                    let read = Roots::read(Path::new(&*value));
                    roots = Some(read.map_err(|error| Error(format!("names a file: {error}")))?);
                }
                name => {
                    return Err(Error(format!("has a parameter `{name}`: there are tls and sslrootcert")));
                }
            }
        }
        let protection = match (url.scheme(), tls.as_deref()) {
            ("smtp", None | Some("none")) => Protection::None,
            ("smtp", Some("required" | "starttls")) => Protection::StartTls,
            ("smtps", None) => Protection::Tls,
            ("smtp" | "smtps", Some(_)) => {
                return Err(Error(
                    "has another tls than smtp:// knows: tls=required and tls=none".to_owned(),
                ));
            }
            (scheme, _) => return Err(Error(format!("has the scheme `{scheme}`: smtp, smtps or file"))),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| Error("names no host".to_owned()))?.to_owned();
        let port = url.port().unwrap_or(if protection == Protection::Tls { 465 } else { 25 });
        let credentials = match (decoded(url.username()), url.password().map(decoded)) {
            (user, Some(password)) if !user.is_empty() => Some(Credentials::new(user, password)),
            (user, None) if user.is_empty() => None,
            _ => return Err(Error("has a user or a password alone".to_owned())),
        };
        if credentials.is_some() && protection == Protection::None && tls.is_none() {
            return Err(Error(
                "has a password that would go out for all to read: write tls=required (STARTTLS) or smtps://; or \
                 tls=none if that is meant"
                    .to_owned(),
            ));
        }
        let (send_timeout, idle) = (SEND_TIMEOUT, Mutex::default());
        Ok(Smtp { host, port, protection, roots, credentials, send_timeout, idle })
    }

    /// The same; the server's certificate is checked against `roots` too, unless the URL names others.
    #[must_use]
    pub fn trusting(self, roots: Option<&Roots>) -> Self {
        let roots = self.roots.or_else(|| roots.cloned());
        Smtp { roots, ..self }
    }

    /// The same with another limit on the time of one mail.
    #[must_use]
    pub fn with_send_timeout(self, send_timeout: Duration) -> Self {
        Smtp { send_timeout, ..self }
    }

    async fn exchange(&self, message: &lettre::Message) -> Result<(), SendError> {
        let mut connection = self.connection().await?;
        let sent = connection.send(message.envelope(), &message.formatted()).await;
        // After an error lettre has closed the connection; after a time limit we are not here.
        sent.map_err(|e| SendError { permanent: e.is_permanent(), message: self.said(&e) })?;
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX && !connection.has_broken() {
            idle.push(connection);
        }
        Ok(())
    }

    /// A connection that answers: an idle one or a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, SendError> {
        loop {
            let Some(mut connection) = self.idle.lock().pop() else { break };
            if connection.test_connected().await {
                return Ok(connection);
            }
        }
        // Whatever goes wrong here is the server's trouble or ours, and no mail's fault.
        self.connect().await.map_err(|e| SendError::passing(self.said(&e)))
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let name = ClientId::default();
        let server = (self.host.as_str(), self.port);
        let tls = match self.protection {
            Protection::None => None,
            _ => Some(self.tls()?),
        };
        let (at_once, later) = match self.protection {
            Protection::Tls => (tls, None),
            _ => (None, tls),
        };
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT_TIMEOUT), &name, at_once, None).await?;
        if let Some(tls) = later {
            connection.starttls(tls, &name).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }

    fn tls(&self) -> Result<TlsParameters, lettre::transport::smtp::Error> {
        let mut tls = TlsParameters::builder(self.host.clone());
        if let Some(roots) = &self.roots {
            tls = tls.add_root_certificate(Certificate::from_pem(roots.pem().as_bytes())?);
        }
        tls.build()
    }

    /// An error with all its causes and the server's name.
    fn said(&self, error: &dyn std::error::Error) -> String {
        let mut text = format!("SMTP server {}:{}: {error}", self.host, self.port);
        let mut cause = error.source();
        while let Some(error) = cause {
            let said = error.to_string();
            if !text.contains(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        if text.contains("certificate") {
            text.push_str(
                "; it is checked against the system's root certificates and those of sslrootcert in GRISTMILL_MAIL, or \
                 else of GRISTMILL_CA_FILE",
            );
        }
        text
    }
}

/// What a URL says, without its %-escapes.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[async_trait]
impl Transport for Smtp {
    fn kind(&self) -> &'static str {
        "SMTP"
    }

    async fn send(&self, mail: &PendingMail) -> Result<(), SendError> {
        let message = message::build(mail)?;
        match tokio::time::timeout(self.send_timeout, self.exchange(&message)).await {
            Ok(answer) => answer,
            Err(_) => Err(SendError::passing(format!(
                "SMTP server {}:{}: no answer within {} ms",
                self.host,
                self.port,
                self.send_timeout.as_millis()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_keep_their_secrets() {
        let smtp = Smtp::open("smtp://127.0.0.1:2525").unwrap();
        assert_eq!((smtp.host.as_str(), smtp.port, smtp.protection), ("127.0.0.1", 2525, Protection::None));
        let smtp = Smtp::open("smtps://me%40x:p%2Fw@mail.example").unwrap();
        assert_eq!((smtp.port, smtp.protection), (465, Protection::Tls));
        assert_eq!(smtp.credentials, Some(Credentials::new("me@x".into(), "p/w".into())));
        for url in ["smtp://h?tls=required", "smtp://me:pw@h?tls=starttls"] {
            assert_eq!(Smtp::open(url).unwrap().protection, Protection::StartTls);
        }
        assert_eq!(Smtp::open("smtp://me:pw@h?tls=none").unwrap().protection, Protection::None);
        for bad in [
            "",
            "mail.example",
            "http://h",
            "smtp://",
            "smtp://me@h",
            "smtp://h?tls=maybe",
            "smtp://h?tsl=required",
            "smtps://h?sslrootcert=/no/such",
            "smtp://me:secret@h",
            "smtp://u:secret@h:0x",
        ] {
            let error = Smtp::open(bad).err().unwrap_or_else(|| panic!("{bad} is read")).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
