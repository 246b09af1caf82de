//! Redis from Debian's packages. At its own port everybody is let in; at the other one with TLS. The user with a
//! password is known at both.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::certificates::{self, IN_URLS, PASSWORD, USER};
use super::{Folder, process};

/// The port that wants TLS.
pub(super) const SECURE: &str = "redis-secure";

pub(super) fn secure_url(port: u16) -> String {
    format!("rediss://{IN_URLS}@127.0.0.1:{port}")
}

pub(crate) fn prepare(folder: &Folder) -> Result<()> {
    folder.free_port(SECURE)?;
    Ok(fs::create_dir_all(folder.data("redis"))?)
}

/// No snapshots in between: tests wait for nothing, and `down` saves once.
pub(crate) fn command(folder: &Folder, port: u16) -> Result<Command> {
    let secure = folder.known_port(SECURE)?.context("Redis has no port for TLS yet")?;
    let tls = certificates::folder(folder);
    let mut command = process::detached("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no", "--dir"]);
    command.arg(folder.data("redis")).args(["--save", "3600 1", "--appendonly", "no"]);
    command.args(["--tls-port", &secure.to_string(), "--tls-auth-clients", "no", "--tls-cert-file"]);
    command.arg(tls.join("server.pem")).arg("--tls-key-file").arg(tls.join("server.key"));
    command.arg("--tls-ca-cert-file").arg(tls.join("ca.pem"));
    command.args(["--user", USER, "on", &format!(">{PASSWORD}"), "~*", "+@all"]);
    Ok(command)
}

pub(crate) fn answers(port: u16) -> bool {
    ping(port).is_ok_and(|answer| answer == *b"+PONG\r\n")
}

fn ping(port: u16) -> std::io::Result<[u8; 7]> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
