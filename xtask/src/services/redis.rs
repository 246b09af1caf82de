//! Redis from Debian's packages.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::{Folder, process};

pub(crate) fn prepare(folder: &Folder) -> Result<()> {
    Ok(fs::create_dir_all(folder.data("redis"))?)
}

/// No snapshots in between: tests wait for nothing, and `down` saves once.
pub(crate) fn command(folder: &Folder, port: u16) -> Command {
    let mut command = process::detached("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no", "--dir"]);
    command.arg(folder.data("redis")).args(["--save", "3600 1", "--appendonly", "no"]);
    command
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
