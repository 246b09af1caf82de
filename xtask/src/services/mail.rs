//! An SMTP sink that speaks real SMTP: Debian's aiosmtpd, which keeps what it receives in a maildir.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::certificates::{self, IN_URLS, PASSWORD, USER};
use super::{Folder, process};
use crate::workspace;

/// Debian's, whatever other Python comes first in `$PATH`: the package is for this one.
const PYTHON: &str = "/usr/bin/python3";

/// The ports that want TLS, and user and password with it.
pub(super) const STARTTLS: &str = "mail-starttls";
pub(super) const SMTPS: &str = "mail-smtps";

pub(super) fn starttls_url(port: u16) -> String {
    format!("smtp://{IN_URLS}@127.0.0.1:{port}?tls=required")
}

pub(super) fn smtps_url(port: u16) -> String {
    format!("smtps://{IN_URLS}@127.0.0.1:{port}")
}

/// A maildir: delivered mail is one file each in `new/`.
pub(crate) fn maildir(folder: &Folder) -> PathBuf {
    folder.data("mail")
}

/// aiosmtpd makes a maildir only where no folder is yet.
pub(crate) fn prepare(folder: &Folder) -> Result<()> {
    folder.free_port(STARTTLS)?;
    folder.free_port(SMTPS)?;
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(maildir(folder).join(part))?;
    }
    Ok(())
}

pub(crate) fn command(folder: &Folder, port: u16) -> Result<Command> {
    let known = |name| folder.known_port(name)?.with_context(|| format!("{name} has no port yet"));
    let tls = certificates::folder(folder);
    let mut command = process::detached(PYTHON);
    command.arg(workspace::root().join("xtask/mail/sink.py")).arg(maildir(folder));
    command.args([port, known(STARTTLS)?, known(SMTPS)?].map(|port| port.to_string()));
    command.arg(tls.join("server.pem")).arg(tls.join("server.key")).args([USER, PASSWORD]);
    Ok(command)
}

pub(crate) fn answers(port: u16) -> bool {
    greeting(port).is_ok_and(|code| code == *b"220 ")
}

fn greeting(port: u16) -> std::io::Result<[u8; 4]> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut code = [0; 4];
    stream.read_exact(&mut code)?;
    Ok(code)
}
