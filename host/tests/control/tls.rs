//! TLS: what is spoken, who is waited for, and certificates that change under a host at work.

use super::fakes::Fake;
use super::site::{SPEC, TOKEN, spec, state, token};
use base64::Engine;
use gristmill::access::{Grant, Role};
use gristmill::control::tls::Tls;
use gristmill::control::{IngestLimits, serve};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
use tokio_util::sync::CancellationToken;

fn pem(label: &str, bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Writes a new certificate for localhost and its key.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), pem("CERTIFICATE", made.cert.der())).unwrap();
    std::fs::write(folder.join("key.pem"), pem("PRIVATE KEY", &made.signing_key.serialize_der())).unwrap();
    made.cert.der().clone()
}

fn read(folder: &Path) -> Result<Tls, String> {
    Tls::read(&folder.join("cert.pem"), &folder.join("key.pem")).map_err(|error| error.to_string())
}

async fn start(folder: &Path) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
    let fake = Arc::new(Fake::default());
    fake.tokens.lock().unwrap().push(token(1, TOKEN, Grant::Role(Role::Admin)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let (state, tls) = (state(&fake, vec![spec(SPEC)], IngestLimits::default()), read(folder).unwrap());
    let serving = serve(listener, Some(tls), state, stop.clone());
    (address, stop, tokio::spawn(async move { serving.await.unwrap() }))
}

/// Asks over TLS, trusting this certificate only.
async fn get(address: SocketAddr, trusted: &CertificateDer<'static>, path: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    // Some peers do not say goodbye.
    let _ = stream.read_to_string(&mut answer).await;
    Ok(answer)
}

#[tokio::test]
async fn only_tls_is_spoken_and_nobody_holds_up_others() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let (address, stop, serving) = start(folder.path()).await;
    // Clients that connect and say nothing, or half of something.
    let mut silent = Vec::new();
    for n in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(b"\x16\x03\x01").await.unwrap();
        }
        silent.push(stream);
    }
    let began = Instant::now();
    let answer = get(address, &certificate, "/v1/pipelines").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(5));

    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));

    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    assert!(get(address, stranger.cert.der(), "/healthz").await.is_err(), "not with another certificate");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), serving).await.expect("handshakes hold up no end").unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_wrong_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let old = certify(folder.path());
    let (address, _stop, _serving) = start(folder.path()).await;
    assert!(get(address, &old, "/healthz").await.is_ok());
    let new = certify(folder.path());
    let began = Instant::now();
    while get(address, &new, "/healthz").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "the new one is not taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(get(address, &old, "/healthz").await.is_err());
    // A certificate without its key: the one before holds.
    std::fs::write(folder.path().join("key.pem"), "nonsense").unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(get(address, &new, "/healthz").await.is_ok());
}

#[test]
fn what_does_not_go_together_is_told_at_the_start() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let error = |what: &str| read(folder.path()).err().unwrap_or_else(|| panic!("{what} is taken"));
    assert!(error("nothing").contains("GRISTMILL_TLS_CERT: "), "{}", error("nothing"));
    certify(folder.path());
    certify(other.path());
    assert!(read(folder.path()).is_ok());
    let key = std::fs::read(folder.path().join("key.pem")).unwrap();
    std::fs::write(folder.path().join("key.pem"), "secret nonsense").unwrap();
    let said = error("nonsense");
    assert!(said.contains("GRISTMILL_TLS_KEY: ") && said.contains("no private key"), "{said}");
    assert!(!said.contains("secret"), "{said}");
    std::fs::copy(other.path().join("key.pem"), folder.path().join("key.pem")).unwrap();
    assert!(error("another's key").contains("GRISTMILL_TLS_CERT and GRISTMILL_TLS_KEY: "));
    std::fs::write(folder.path().join("key.pem"), &key).unwrap();
    std::fs::write(folder.path().join("cert.pem"), &key).unwrap();
    assert!(error("a key for a certificate").contains("no certificate"));
}
