//! TLS and passwords, against the real servers: `cargo xtask services up` gives each of them a place that wants both.

mod command_line;
mod kafka;
mod others;
mod postgres;
mod secrets;
mod whole;

use crate::city::server;
use gristmill::tls::Roots;
use std::path::{Path, PathBuf};

/// A password that no server knows.
const WRONG: &str = "hunter2";

/// A file of the certificates: `ca.pem` is the servers' root, `other.pem` nobody's.
fn certificate(name: &str) -> PathBuf {
    Path::new(&server("GRISTMILL_TEST_TLS")).join(name)
}

fn roots(name: &str) -> Roots {
    Roots::read(&certificate(name)).unwrap()
}

/// User and password, the same for all servers; and the password as URLs say it.
fn account() -> (String, String, String) {
    let url = url::Url::parse(&server("GRISTMILL_TEST_STORE_TLS")).unwrap();
    let in_urls = url.password().unwrap().to_owned();
    let password = percent_encoding::percent_decode_str(&in_urls).decode_utf8().unwrap().into_owned();
    (url.username().to_owned(), password, in_urls)
}

/// A server's URL with another password.
fn with_password(variable: &str, password: &str) -> String {
    let mut url = url::Url::parse(&server(variable)).unwrap();
    url.set_password(Some(password)).unwrap();
    url.to_string()
}

/// The text has nothing of the passwords in it, neither the right one nor the wrong one.
#[track_caller]
fn assert_no_secret(text: &str) {
    let (_, password, in_urls) = account();
    for secret in [password.as_str(), &in_urls, WRONG] {
        let found = text.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "`{secret}` is told");
    }
}
