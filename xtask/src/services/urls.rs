//! Addresses: a server that the environment names, or the one of this folder.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Folder, Service, certificates, mail};
use crate::workspace;

/// Where a server comes from.
#[derive(Debug, PartialEq)]
pub(crate) enum Origin {
    /// `up` starts it.
    Here,
    /// The environment names it; it is nobody's business here to start or stop it.
    Elsewhere(String),
}

/// The environment decides; but the address of this very folder's server is no server elsewhere (somebody has
/// read the `env` file into the shell that types `up`).
pub(crate) fn origin(folder: &Folder, service: Service) -> Result<Origin> {
    let own = folder.known_port(service.name())?.map(|port| service.url(port));
    Ok(decide(workspace::variable(service.variable()), own))
}

fn decide(named: Option<String>, own: Option<String>) -> Origin {
    match named {
        Some(url) if Some(&url) != own.as_ref() => Origin::Elsewhere(url),
        _ => Origin::Here,
    }
}

/// Everything that tests are told: the four addresses, those that want TLS, Kafka's console tools, the folder of received
/// mail, that of the certificates.
pub(crate) fn variables(folder: &Folder, kafka_libs: &Path) -> Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    for service in Service::ALL {
        variables.push((service.variable().to_owned(), url(folder, service)?));
    }
    let libs =
        workspace::variable("GRISTMILL_TEST_KAFKA_LIBS").unwrap_or(kafka_libs.to_string_lossy().into_owned());
    variables.push(("GRISTMILL_TEST_KAFKA_LIBS".to_owned(), libs));
    if let Some(maildir) = maildir(folder)? {
        variables.push(("GRISTMILL_TEST_MAILDIR".to_owned(), maildir));
    }
    for service in Service::ALL {
        variables.extend(secured(folder, service)?);
    }
    let certificates = certificates::folder(folder).to_string_lossy().into_owned();
    variables.push(("GRISTMILL_TEST_TLS".to_owned(), certificates));
    Ok(variables)
}

/// Of a server elsewhere only what the environment says itself is known; it has its own certificates.
fn secured(folder: &Folder, service: Service) -> Result<Vec<(String, String)>> {
    if origin(folder, service)? != Origin::Here {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for secured in service.secured() {
        if let Some(port) = folder.known_port(secured.port_of)? {
            found.push((secured.variable.to_owned(), (secured.url)(port)));
        }
    }
    Ok(found)
}

fn url(folder: &Folder, service: Service) -> Result<String> {
    match origin(folder, service)? {
        Origin::Elsewhere(url) => Ok(url),
        Origin::Here => {
            let port = folder.known_port(service.name())?;
            Ok(service.url(port.with_context(|| format!("{} has no port yet", service.name()))?))
        }
    }
}

/// A sink elsewhere keeps its mail where only its owner knows, unless the environment says where.
fn maildir(folder: &Folder) -> Result<Option<String>> {
    Ok(match origin(folder, Service::Mail)? {
        Origin::Here => Some(mail::maildir(folder).to_string_lossy().into_owned()),
        Origin::Elsewhere(_) => workspace::variable("GRISTMILL_TEST_MAILDIR"),
    })
}

/// A named server that is not there is told at once, by the variable's name.
pub(crate) fn check_reachable(service: Service, url: &str) -> Result<()> {
    let variable = service.variable();
    let Some(host) = host_and_port(url) else {
        bail!("{variable}={url}: no host:port in it");
    };
    let reached = host
        .to_socket_addrs()
        .with_context(|| format!("{variable}={url}: no such host"))?
        .any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(3)).is_ok());
    if !reached {
        bail!("{variable} names {url}, but nothing answers there (unset it to have a server started)");
    }
    Ok(())
}

/// `host:port` of `scheme://user:password@host:port/path?query`; of several brokers the first.
fn host_and_port(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', ',']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.rsplit_once(':').map(|_| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_ones_own_is_not_elsewhere() {
        let ours = || Some("redis://127.0.0.1:1".to_owned());
        let other = || Some("redis://127.0.0.1:2".to_owned());
        assert_eq!(decide(None, ours()), Origin::Here);
        assert_eq!(decide(ours(), ours()), Origin::Here);
        assert_eq!(decide(other(), ours()), Origin::Elsewhere("redis://127.0.0.1:2".to_owned()));
        assert_eq!(decide(other(), None), Origin::Elsewhere("redis://127.0.0.1:2".to_owned()));
    }

    #[test]
    fn the_address_is_found_in_a_url() {
        for (url, address) in [
            ("kafka://127.0.0.1:9092", Some("127.0.0.1:9092")),
            ("kafka://a:1,b:2", Some("a:1")),
            ("postgres://u:p@ss@h:5432/db?x=1", Some("h:5432")),
            ("smtp://[::1]:25", Some("[::1]:25")),
            ("smtp://host", None),
            ("host:25", None),
        ] {
            assert_eq!(host_and_port(url), address, "{url}");
        }
    }
}
