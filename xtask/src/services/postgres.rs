//! PostgreSQL from Debian's packages, with a cluster of its own: user, password and database `gristmill`; and two users
//! that are let in with TLS only, one by a password, one by a certificate.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::certificates::{self, CERTIFIED, IN_URLS, PASSWORD, USER};
use super::folder::remove_if_there;
use super::{Folder, POSTGRES_MAJOR, process};
use crate::packages::rights;
use crate::workspace;

const INSTALLED: &str = "/usr/lib/postgresql";
/// PostgreSQL refuses to run as root; Debian's package brings this user.
const SERVER: &str = "postgres";
/// Where the data goes when `SERVER` cannot reach the services folder (a clone under /root).
const ELSEWHERE: &str = "/var/lib/postgresql";
const NAME: &str = "gristmill";
/// What tells a whole cluster, with all users, from an interrupted attempt and from one of an earlier time.
const READY: &str = "ready-with-users";
const CHILDREN_END_TIME_MAX: Duration = Duration::from_secs(20);

pub(crate) fn url(port: u16) -> String {
    format!("postgres://{NAME}:{NAME}@127.0.0.1:{port}/{NAME}?sslmode=disable")
}

pub(crate) fn secure_url(port: u16) -> String {
    format!("postgres://{IN_URLS}@127.0.0.1:{port}/{NAME}?sslmode=verify-full")
}

/// The programs of the PostgreSQL that is wanted, else of the newest on this machine.
pub(crate) fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir(INSTALLED).with_context(|| format!("cannot read {INSTALLED}"))?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/initdb").is_file() && path.join("bin/postgres").is_file())
        .max_by_key(|path| (major(path) == POSTGRES_MAJOR, major(path)))
        .map(|path| path.join("bin"))
        .with_context(|| format!("no PostgreSQL server in {INSTALLED}"))
}

fn major(path: &Path) -> u32 {
    path.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
}

pub(crate) fn prepare(folder: &Folder, port: u16) -> Result<()> {
    let data = data(folder)?;
    if !data.join("PG_VERSION").is_file() || !data.join(READY).is_file() {
        remove_if_there(fs::remove_dir_all(&data))?; // of an interrupted attempt
        make_cluster(&data)?;
        fs::write(data.join(READY), "")?;
    }
    forget_the_dead(&data)?;
    for name in ["ca.pem", "server.pem", "server.key"] {
        let copy = data.join(name);
        fs::copy(certificates::folder(folder).join(name), &copy)
            .with_context(|| format!("cannot copy {name}"))?;
        give_to_server(&copy)?;
    }
    fs::write(data.join("pg_hba.conf"), ADMITTED).context("cannot write who is admitted")?;
    fs::write(data.join("postgresql.auto.conf"), settings(port)).context("cannot write the settings")
}

/// Who is let in, and how; the first line that fits decides.
const ADMITTED: &str = "\
hostssl all secure 127.0.0.1/32 scram-sha-256
hostssl all certified 127.0.0.1/32 cert
hostnossl all secure,certified 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
";

/// After a kill -9 the data folder names a server that is gone. PostgreSQL believes it alive as long as a
/// process has that pid, which a process that nobody has waited for still has (some machines' pid 1 is slow
/// at that). What counts is whether a process of that server still works in the folder: its children end
/// by themselves, soon but not at once, and until then the data is theirs.
fn forget_the_dead(data: &Path) -> Result<()> {
    let start = Instant::now();
    while process::any_works_in(data)? {
        if start.elapsed() > CHILDREN_END_TIME_MAX {
            bail!("another PostgreSQL works in {}", data.display());
        }
        sleep(Duration::from_millis(50));
    }
    remove_if_there(fs::remove_file(data.join("postmaster.pid")))
}

/// Room as docs/operations.md says, for tables whose keys are hashes: each row lands in another page, and after each
/// checkpoint the log takes that page whole.
pub(crate) const ROOM: [(&str, &str); 3] =
    [("shared_buffers", "1GB"), ("max_wal_size", "4GB"), ("wal_compression", "lz4")];

/// fsync stays on, as in production: commits must cost what they cost.
fn settings(port: u16) -> String {
    let room: String = ROOM.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    format!(
        "\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 300
fsync = on
ssl = on
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
ssl_ca_file = 'ca.pem'
log_line_prefix = '%m [%p] %d '
{room}"
    )
}

fn make_cluster(data: &Path) -> Result<()> {
    let programs = programs()?;
    fs::create_dir_all(data)?;
    give_to_server(data)?;
    let password = data.with_extension("password");
    fs::write(&password, NAME)?;
    give_to_server(&password)?;
    let mut initdb = Command::new(programs.join("initdb"));
    initdb
        .args(["-U", NAME, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
        .arg(format!("--pwfile={}", password.display()))
        .arg("-D")
        .arg(data);
    let made = workspace::run_quietly(as_server(&mut initdb)?);
    fs::remove_file(&password)?;
    made?;
    // A server without clients makes the database and the users: no password, no port, no waiting. It takes one statement
    // a line.
    let mut single = Command::new("sh");
    single
        .args(["-c", r#"printf '%s\n' "$3" "$4" "$5" | "$1/postgres" --single -D "$2" postgres"#, "single"])
        .arg(programs)
        .arg(data)
        .arg(format!("CREATE DATABASE {NAME}"))
        .arg(format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"))
        .arg(format!("CREATE ROLE {CERTIFIED} LOGIN"));
    workspace::run_quietly(as_server(&mut single)?)
}

pub(crate) fn command(folder: &Folder) -> Result<Command> {
    let program = programs()?.join("postgres");
    let mut command = process::detached(&program.to_string_lossy());
    command.arg("-D").arg(data(folder)?);
    as_server(&mut command)?;
    Ok(command)
}

pub(crate) fn answers(port: u16) -> bool {
    let Ok(programs) = programs() else { return false };
    let mut asked = Command::new(programs.join("pg_isready"));
    asked.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string(), "-d", NAME, "-U", NAME]);
    asked.stdout(Stdio::null()).stderr(Stdio::null());
    asked.status().is_ok_and(|status| status.success())
}

/// The data folder; `<folder>/postgres` leads there by a link where it cannot be there itself.
fn data(folder: &Folder) -> Result<PathBuf> {
    let here = folder.data("postgres");
    if let Ok(target) = fs::read_link(&here) {
        return Ok(target);
    }
    if here.is_dir() || !rights::is_root()? || server_reaches(folder.path())? {
        return Ok(here);
    }
    let slug: String = folder.path().to_string_lossy().replace('/', "-");
    let target = Path::new(ELSEWHERE).join(format!("gristmill{slug}"));
    if target.is_dir() {
        // Of a clone that was deleted; with its Kafka gone, its ledgers would contradict a new one.
        forget_the_dead(&target)?;
        fs::remove_dir_all(&target)?;
    }
    symlink(&target, &here).context("cannot link to the data folder")?;
    Ok(target)
}

fn server_reaches(path: &Path) -> Result<bool> {
    let mut test = Command::new("test");
    Ok(as_server(test.arg("-x").arg(path))?.status()?.success())
}

pub(crate) fn purge(folder: &Folder) -> Result<()> {
    let here = folder.data("postgres");
    if let Ok(target) = fs::read_link(&here) {
        remove_if_there(fs::remove_dir_all(target))?;
        remove_if_there(fs::remove_file(here))?;
    }
    Ok(())
}

fn give_to_server(path: &Path) -> Result<()> {
    if rights::is_root()? {
        let (user, group) = rights::ids_of(SERVER)?;
        chown(path, Some(user), Some(group))?;
    }
    Ok(())
}

fn as_server(command: &mut Command) -> Result<&mut Command> {
    command.current_dir("/");
    if rights::is_root()? {
        let (user, group) = rights::ids_of(SERVER)?;
        command.uid(user).gid(group);
    }
    Ok(command)
}
