//! Throw-away certificates for the servers, by the `openssl` program: a root of our own, a server's and a client's
//! certificate under it, and a root that nothing is under. Made once for each folder of services.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Folder;
use crate::workspace;

/// Who comes with a password, to every server alike.
pub(crate) const USER: &str = "secure";
/// With characters that mean something in URLs.
pub(crate) const PASSWORD: &str = "tests/only@42";
/// User and password as a URL says them.
pub(crate) const IN_URLS: &str = "secure:tests%2Fonly%4042";
/// Who comes with a certificate instead.
pub(crate) const CERTIFIED: &str = "certified";

pub(crate) const NAME: &str = "tls";
/// Made last: with it, all of them are there.
const LAST: &str = "server.all.pem";
const DAYS: &str = "3650";
const SETTINGS: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = tests of gristmill
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = IP:127.0.0.1, DNS:localhost
extendedKeyUsage = serverAuth
[client]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = clientAuth
";

/// The folder of the certificates: `ca.pem`, `other.pem` (the root of nobody), `server.pem` and `client.pem`, each with
/// its `.key`; `server.all.pem` is the server's key and certificate in one file.
pub(crate) fn folder(folder: &Folder) -> PathBuf {
    folder.data(NAME)
}

/// Makes what is not there yet.
pub(crate) fn prepare(services: &Folder) -> Result<()> {
    let folder = folder(services);
    if folder.join(LAST).is_file() {
        return Ok(());
    }
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("openssl.conf"), SETTINGS)?;
    make(&folder, "ca", "root", "tests of gristmill", false)?;
    make(&folder, "other", "root", "somebody else", false)?;
    make(&folder, "server", "server", "server", true)?;
    make(&folder, "client", "client", CERTIFIED, true)?;
    let read = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| name.to_owned());
    fs::write(folder.join(LAST), read("server.key")? + &read("server.pem")?)?;
    Ok(())
}

/// A key and a certificate: of `ca.pem`, or its own root. Elliptic: an RSA key takes a slow machine seconds.
fn make(folder: &Path, name: &str, kind: &str, subject: &str, under_root: bool) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(folder);
    openssl.args(["req", "-config", "openssl.conf", "-x509", "-days", DAYS, "-nodes", "-extensions", kind]);
    openssl.args([
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-subj",
        &format!("/CN={subject}"),
    ]);
    if under_root {
        openssl.args(["-CA", "ca.pem", "-CAkey", "ca.key"]);
    }
    openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
    workspace::run_quietly(&mut openssl)
}
