//! TLS: certificate and key from files, which are read again when they change. Handshakes go on beside each other, each
//! for a while only, so that nobody who is slow or silent holds up the others.

use axum::serve::Listener;
use parking_lot::RwLock;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_rustls::server::TlsStream;

/// How long a client may take for its handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes at a time: who comes then waits in the system's queue.
const HANDSHAKES_MAX: usize = 512;
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{what}: {} cannot be read: {error}", .path.display())]
    Unreadable {
        /// The setting.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is in it is not what it should be.
    #[error("{what}: {} holds no {wanted} in PEM format", .path.display())]
    NotThere {
        /// The setting.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be there.
        wanted: &'static str,
    },
    /// They do not go together.
    #[error("GRISTMILL_TLS_CERT and GRISTMILL_TLS_KEY: {0}")]
    Unfit(tokio_rustls::rustls::Error),
}

/// Certificate and key, as they are in their files.
#[derive(Clone)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    config: Arc<RwLock<Arc<ServerConfig>>>,
    read: Files,
}

/// What was in the files.
#[derive(Clone, PartialEq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let file = |what: &'static str, path: &Path| {
            std::fs::read(path).map_err(|error| Error::Unreadable { what, path: path.to_owned(), error })
        };
        Ok(Files {
            certificate: file("GRISTMILL_TLS_CERT", certificate)?,
            key: file("GRISTMILL_TLS_KEY", key)?,
        })
    }

    fn config(&self, certificate: &Path, key: &Path) -> Result<ServerConfig, Error> {
        let not_there = |what, path: &Path, wanted| Error::NotThere { what, path: path.to_owned(), wanted };
        let chain = CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| not_there("GRISTMILL_TLS_CERT", certificate, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| not_there("GRISTMILL_TLS_KEY", key, "private key"))?;
        let provider = Arc::new(crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(Error::Unfit)?.with_no_client_auth();
        let mut config = builder.with_single_cert(chain, key).map_err(Error::Unfit)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl Tls {
    /// Reads certificate (with whatever chain follows it) and key.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let read = Files::read(certificate, key)?;
        let config = Arc::new(RwLock::new(Arc::new(read.config(certificate, key)?)));
        Ok(Tls { certificate: certificate.to_owned(), key: key.to_owned(), config, read })
    }

    /// Speaks TLS with whoever comes.
    pub(super) fn over(self, listener: TcpListener) -> TlsListener {
        let config = self.config.clone();
        let mut looking = JoinSet::new();
        looking.spawn(self.keep_fresh());
        TlsListener { listener, config, shaking: JoinSet::new(), _looking: looking }
    }

    async fn keep_fresh(mut self) {
        let mut last_error = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let looked = tokio::task::spawn_blocking(move || {
                let error = self.look().err().map(|error| error.to_string());
                (self, error)
            });
            let Ok((back, error)) = looked.await else { return };
            self = back;
            // While one of two files is replaced they do not fit for a moment: it is told once, and again when it changes.
            if error.is_some() && error != last_error {
                let error = error.as_deref().unwrap_or_default();
                tracing::warn!(error, "the new certificate or key is not used; the one before holds");
            }
            last_error = error;
        }
    }

    /// Takes what the files hold now.
    fn look(&mut self) -> Result<(), Error> {
        let read = Files::read(&self.certificate, &self.key)?;
        if read != self.read {
            *self.config.write() = Arc::new(read.config(&self.certificate, &self.key)?);
            self.read = read;
            tracing::info!("the certificate has changed: new connections get the new one");
        }
        Ok(())
    }
}

/// A listener whose connections have made their handshakes.
pub(super) struct TlsListener {
    listener: TcpListener,
    config: Arc<RwLock<Arc<ServerConfig>>>,
    shaking: JoinSet<Option<(TlsStream<TcpStream>, SocketAddr)>>,
    /// Ends with the listener.
    _looking: JoinSet<()>,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let room = self.shaking.len() < HANDSHAKES_MAX;
            tokio::select! {
                // Told to stop in between, none of the two loses anything.
                (stream, address) = Listener::accept(&mut self.listener), if room => {
                    let acceptor = TlsAcceptor::from(self.config.read().clone());
                    self.shaking.spawn(shake(acceptor, stream, address));
                }
                Some(shaken) = self.shaking.join_next() => {
                    if let Ok(Some(connection)) = shaken {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

async fn shake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
) -> Option<(TlsStream<TcpStream>, SocketAddr)> {
    match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some((stream, address)),
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "no TLS");
            None
        }
        Err(_) => {
            tracing::debug!(%address, "a handshake took too long");
            None
        }
    }
}
