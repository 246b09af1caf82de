//! PostgreSQL: passwords over TLS, certificates of clients.

use super::{WRONG, assert_no_secret, certificate, with_password};
use crate::city::server;
use gristmill::store::open_trusting;
use std::path::Path;

const STORE: &str = "GRISTMILL_TEST_STORE_TLS";

/// Connects; answers whether the store does, on a connection of its pool too.
async fn open(url: &str, roots: Option<&Path>) -> Result<(), String> {
    let store = open_trusting(url, roots).await.map_err(|error| error.to_string())?;
    store.ping().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_right_password_and_the_right_certificate_are_let_in() {
    let (ca, other) = (certificate("ca.pem"), certificate("other.pem"));
    open(&server(STORE), Some(&ca)).await.unwrap();
    // A root that the address names goes before the setting for all.
    open(&format!("{}&sslrootcert={}", server(STORE), ca.display()), Some(&other)).await.unwrap();
    // The setting for all means that all is checked, unless the address says otherwise.
    let unsaid = server(STORE).split('?').next().unwrap().to_owned();
    open(&unsaid, Some(&ca)).await.unwrap();
    assert!(open(&unsaid, Some(&other)).await.is_err());
    open(&format!("{unsaid}?sslmode=require"), Some(&other)).await.unwrap();
}

#[tokio::test]
async fn a_client_may_come_with_a_certificate_instead() {
    let mut url = url::Url::parse(&server(STORE)).unwrap();
    url.set_username("certified").unwrap();
    url.set_password(None).unwrap();
    let ca = certificate("ca.pem");
    let error = open(url.as_str(), Some(&ca)).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
    for (name, file) in [("sslcert", "client.pem"), ("sslkey", "client.key")] {
        url.query_pairs_mut().append_pair(name, &certificate(file).display().to_string());
    }
    open(url.as_str(), Some(&ca)).await.unwrap();
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told_why() {
    let (ca, other) = (certificate("ca.pem"), certificate("other.pem"));
    let unencrypted = server(STORE).replace("verify-full", "disable");
    // This one is without TLS by its URL; a root of one's own would not change that.
    let plain = server("GRISTMILL_TEST_STORE");
    for (url, roots, part) in [
        (with_password(STORE, WRONG), Some(&ca), "password authentication failed"),
        (with_password(STORE, WRONG), Some(&ca), "check user, password and TLS (sslmode) in GRISTMILL_STORE"),
        (server(STORE), None, "invalid peer certificate"),
        (server(STORE), Some(&other), "else of GRISTMILL_CA_FILE"),
        (unencrypted, Some(&ca), "no encryption"),
        (with_password("GRISTMILL_TEST_STORE", WRONG), None, "password authentication failed"),
    ] {
        let error = open(&url, roots.map(|roots| roots.as_path())).await.unwrap_err();
        assert!(error.contains(part), "{part}: {error}");
        assert_no_secret(&error);
    }
    open(&plain, Some(&other)).await.unwrap();
}
