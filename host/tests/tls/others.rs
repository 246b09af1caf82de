//! Redis and SMTP.

use super::{WRONG, assert_no_secret, certificate, roots, with_password};
use crate::city::server;
use crate::mail::mail;
use gristmill::lookup::{KeyValues, Redis};
use gristmill::mail::{SendError, open_trusting};
use gristmill::tls::Roots;

const LOOKUP: &str = "GRISTMILL_TEST_LOOKUP_TLS";
const STARTTLS: &str = "GRISTMILL_TEST_MAIL_TLS";
const SMTPS: &str = "GRISTMILL_TEST_MAIL_SMTPS";

async fn look_up(url: &str, roots: Option<&Roots>) -> Result<(), String> {
    let redis = Redis::trusting(url, roots)?;
    redis.get_many(vec![b"none".to_vec()]).await.map(drop)
}

#[tokio::test]
async fn redis_lets_the_right_password_in() {
    let (ca, other) = (roots("ca.pem"), roots("other.pem"));
    look_up(&server(LOOKUP), Some(&ca)).await.unwrap();
    let named = format!("{}?sslrootcert={}", server(LOOKUP), certificate("ca.pem").display());
    look_up(&named, Some(&other)).await.unwrap();
}

#[tokio::test]
async fn redis_tells_whom_it_does_not_let_in() {
    let (ca, other) = (roots("ca.pem"), roots("other.pem"));
    for (url, roots, part) in [
        (with_password(LOOKUP, WRONG), Some(&ca), "check user and password in GRISTMILL_LOOKUP"),
        (server(LOOKUP), None, "invalid peer certificate"),
        (server(LOOKUP), Some(&other), "else of GRISTMILL_CA_FILE"),
        (server(LOOKUP).replace("rediss:", "redis:"), Some(&ca), "Redis 127.0.0.1:"),
    ] {
        let error = look_up(&url, roots).await.unwrap_err();
        assert!(error.contains(part), "{part}: {error}");
        assert_no_secret(&error);
    }
}

/// A server that was away, or that did not answer, is asked anew.
#[tokio::test]
async fn redis_is_connected_to_again() {
    let ca = roots("ca.pem");
    let redis = Redis::trusting(&server(LOOKUP), Some(&ca)).unwrap();
    redis.get_many(vec![b"none".to_vec()]).await.unwrap();
    let client = redis::Client::open(server("GRISTMILL_TEST_LOOKUP")).unwrap();
    let mut admin = client.get_multiplexed_async_connection().await.unwrap();
    let user = super::account().0;
    let () = redis::cmd("CLIENT").arg(&["KILL", "USER", &user]).query_async(&mut admin).await.unwrap();
    // Whether the loss is noticed before the next question or by it: the one after that is answered.
    let _ = redis.get_many(vec![b"none".to_vec()]).await;
    redis.get_many(vec![b"none".to_vec()]).await.unwrap();
}

async fn send(url: &str, roots: Option<&Roots>) -> Result<(), String> {
    let transport = open_trusting(url, roots).map_err(|error| error.to_string())?;
    let sent = transport.send(&mail("tls@p.gristmill")).await;
    sent.map_err(|SendError { message, permanent }| {
        assert!(!permanent, "no mail is at fault: {message}");
        message
    })
}

#[tokio::test]
async fn mail_goes_out_with_starttls_and_over_tls() {
    let (ca, other) = (roots("ca.pem"), roots("other.pem"));
    send(&server(STARTTLS), Some(&ca)).await.unwrap();
    send(&server(SMTPS), Some(&ca)).await.unwrap();
    let named = format!("{}?sslrootcert={}", server(SMTPS), certificate("ca.pem").display());
    send(&named, Some(&other)).await.unwrap();
}

#[tokio::test]
async fn mail_servers_tell_whom_they_do_not_let_in() {
    let (ca, other) = (roots("ca.pem"), roots("other.pem"));
    // The sink's plain port knows no STARTTLS.
    let mut plain = url::Url::parse(&server(STARTTLS)).unwrap();
    plain.set_port(url::Url::parse(&server("GRISTMILL_TEST_MAIL")).unwrap().port()).unwrap();
    for (url, roots, part) in [
        (with_password(STARTTLS, WRONG), Some(&ca), "535"),
        (with_password(SMTPS, WRONG), Some(&ca), "535"),
        (server(STARTTLS), None, "invalid peer certificate"),
        (server(SMTPS), Some(&other), "else of GRISTMILL_CA_FILE"),
        (plain.to_string(), Some(&ca), "STARTTLS"),
        (server(STARTTLS).replace("?tls=required", ""), Some(&ca), "would go out for all to read"),
        (server(STARTTLS).replace("?tls=required", "?tls=none"), Some(&ca), "SMTP server 127.0.0.1:"),
    ] {
        let error = send(&url, roots).await.unwrap_err();
        assert!(error.contains(part), "{part}: {error}");
        assert_no_secret(&error);
    }
}
