//! The command line asks a host that speaks TLS, and believes no other's certificate.

use super::certificate;
use crate::city::{Set, Site};
use std::process::Output;
use std::time::{Duration, Instant};

/// `gristmill module list`, asked of a host by its URL.
fn modules(site: &Site, token: &str, host: &str, root: &str) -> Output {
    let mut command = site.gristmill();
    command.env("GRISTMILL_CA_FILE", certificate(root)).env("GRISTMILL_TOKEN", token);
    command.args(["module", "list", "--host", host]).output().unwrap()
}

#[test]
fn the_command_line_speaks_tls() {
    let mut site = Site::city(Set::Embedded, "tls-cli");
    let file = |name: &str| certificate(name).display().to_string();
    site.environment = vec![
        ("GRISTMILL_TLS_CERT".to_owned(), file("server.pem")),
        ("GRISTMILL_TLS_KEY".to_owned(), file("server.key")),
    ];
    let token = site.must(&["token", "create", "reader", "--role", "viewer"]);
    let mut host = site.host(None);
    let url = format!("https://{}", host.address);
    let start = Instant::now();
    let listed = loop {
        let output = modules(&site, token.trim(), &url, "ca.pem");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() {
            break String::from_utf8(output.stdout).unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{said}\n{}", host.log());
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(!listed.contains("error"), "{listed}");
    let secure = host.address.clone();
    for (host, root, part) in [
        (url.as_str(), "other.pem", "certificate"),
        (&format!("http://{secure}"), "ca.pem", "cannot be asked"),
    ] {
        let output = modules(&site, token.trim(), host, root);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{host} {root}: {said}");
        assert!(said.contains(part), "{host} {root}: {said}");
        assert!(!said.contains(token.trim()), "{said}");
    }
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}
