//! An SMTP sink that speaks real SMTP: Debian's aiosmtpd, which keeps what it receives in a maildir.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{Folder, process};

/// Debian's, whatever other Python comes first in `$PATH`: the package is for this one.
const PYTHON: &str = "/usr/bin/python3";

/// A maildir: delivered mail is one file each in `new/`.
pub(crate) fn maildir(folder: &Folder) -> PathBuf {
    folder.data("mail")
}

/// aiosmtpd makes a maildir only where no folder is yet.
pub(crate) fn prepare(folder: &Folder) -> Result<()> {
    for part in ["new", "cur", "tmp"] {
        fs::create_dir_all(maildir(folder).join(part))?;
    }
    Ok(())
}

pub(crate) fn command(folder: &Folder, port: u16) -> Command {
    let mut command = process::detached(PYTHON);
    command.args(["-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}")]);
    command.args(["-c", "aiosmtpd.handlers.Mailbox"]).arg(maildir(folder));
    command
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
