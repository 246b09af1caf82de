//! What the certificates of servers are checked against: the system's root certificates, and those of
//! `GRISTMILL_CA_FILE`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Characters of base64 in one line of PEM.
const LINE: usize = 64;

/// A file of root certificates that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the root certificates in {} {why}", path.display())]
pub struct Error {
    path: PathBuf,
    why: String,
}

/// Root certificates of one's own, from a file.
#[derive(Clone, Debug)]
pub struct Roots {
    path: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Reads a file of certificates in PEM; whatever else is in it is left out.
    ///
    /// # Errors
    /// A file that cannot be read, or that holds no certificate, or one that is not understood.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unfit = |why: String| Error { path: path.to_owned(), why };
        let text = std::fs::read(path).map_err(|error| unfit(format!("cannot be read: {error}")))?;
        let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| unfit(format!("are not PEM: {error}")))?;
        if certificates.is_empty() {
            return Err(unfit("are none: there is no certificate in it (PEM)".to_owned()));
        }
        let mut store = RootCertStore::empty();
        for (place, certificate) in certificates.iter().enumerate() {
            let added = store.add(certificate.clone());
            added.map_err(|error| unfit(format!("are not understood: number {}: {error}", place + 1)))?;
        }
        Ok(Roots { path: path.to_owned(), certificates })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The certificates as PEM.
    pub fn pem(&self) -> String {
        self.certificates.iter().map(|certificate| pem(certificate)).collect()
    }
}

/// The system's root certificates and one's own, as PEM: for a client that takes either.
pub fn with_the_systems(own: Option<&Roots>) -> String {
    let systems = rustls_native_certs::load_native_certs();
    for error in systems.errors {
        tracing::debug!(%error, "a root certificate of the system cannot be read");
    }
    let mut store = RootCertStore::empty();
    // The system may trust what rustls does not understand: that is nobody's fault.
    let understood = systems.certs.into_iter().filter(|found| store.add(found.clone()).is_ok());
    let mut all: String = understood.map(|found| pem(&found)).collect();
    all.push_str(&own.map_or(String::new(), Roots::pem));
    all
}

/// The folder of the system's root certificates, where there is one: OpenSSL looks into it as it needs to.
pub fn systems_folder() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_DIR").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from("/etc/ssl/certs"))).filter(|folder| folder.is_dir())
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(LINE).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// What a client over HTTP checks servers with: the system's roots, and those of `GRISTMILL_CA_FILE`.
pub fn for_ureq(own: Option<&Roots>) -> TlsConfig {
    let pem = with_the_systems(own);
    let certificates = parse_pem(pem.as_bytes()).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(certificates.collect())))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let said = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Roots::read(&file).unwrap_err().to_string()
        };
        assert!(said("no PEM").contains("there is no certificate in it"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(said(broken).contains("number 1"), "{}", said(broken));
        std::fs::remove_file(&file).unwrap();
        assert!(Roots::read(&file).unwrap_err().to_string().contains("cannot be read"));
    }

    #[test]
    fn the_systems_certificates_survive_being_written() {
        let text = with_the_systems(None);
        let read = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
        let mut store = RootCertStore::empty();
        let (added, ignored) = store.add_parsable_certificates(read);
        assert_eq!((added, ignored), (text.matches("BEGIN").count(), 0));
    }
}
