//! The folder of the services: per server a data folder, a log, a port, a pid; one lock, one `env` file.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Below the range that the kernel hands to clients (32768…60999): a server that is down for a while must find
/// its port free when it comes back.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
/// Each name has its own place in a block of ports, so that servers starting side by side pick different ones.
const PLACES: [&str; 10] = [
    "kafka",
    "kafka-controller",
    "kafka-proxied",
    "kafka-secure",
    "postgres",
    "redis",
    "redis-secure",
    "mail",
    "mail-starttls",
    "mail-smtps",
];

/// How long a server's own port may take to be free again.
const PORT_FREED_TIME_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens the folder that was asked for, or the default one; makes it if need be.
    pub(crate) fn open(dir: Option<PathBuf>) -> Result<Self> {
        let path = dir.unwrap_or_else(super::default_folder);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Two `up`s at once would start everything twice: the second waits for the first.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.path.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn log_file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.log"))
    }

    pub(crate) fn pid_file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.pid"))
    }

    pub(crate) fn env_file(&self) -> PathBuf {
        self.path.join("env")
    }

    /// What a server has written from `from` on.
    pub(crate) fn log_since(&self, name: &str, from: u64) -> Result<String> {
        let mut text = Vec::new();
        let mut file = File::open(self.log_file(name))?;
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn write_env(&self, variables: &[(String, String)]) -> Result<()> {
        let text: String =
            variables.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect();
        let path = self.env_file();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The port that was picked for `name` before, if any.
    pub(crate) fn known_port(&self, name: &str) -> Result<Option<u16>> {
        let Some(text) = read_if_there(&self.port_file(name))? else { return Ok(None) };
        Ok(text.trim().parse().ok())
    }

    /// The port for `name`: the remembered one if it is still free, else a new one.
    pub(crate) fn free_port(&self, name: &str) -> Result<u16> {
        if let Some(port) = self.known_port(name)? {
            // A process that was killed is gone for `ps` before the last of its threads has let go of its sockets.
            let begun = Instant::now();
            while begun.elapsed() < PORT_FREED_TIME_MAX {
                if is_free(port) {
                    return Ok(port);
                }
                sleep(Duration::from_millis(20));
            }
        }
        let port = self.pick_port(name)?;
        fs::write(self.port_file(name), port.to_string())?;
        Ok(port)
    }

    /// The search starts at a block made from the folder's name, so that two clones do not meet.
    fn pick_port(&self, name: &str) -> Result<u16> {
        let mut hasher = DefaultHasher::new();
        self.path.hash(&mut hasher);
        let place = PLACES.iter().position(|known| *known == name).context("a service without a place")?;
        let blocks = (PORTS.end - PORTS.start) / PLACES.len() as u16;
        let first = u16::try_from(hasher.finish() % u64::from(blocks))?;
        (first..blocks)
            .chain(0..first)
            .map(|block| PORTS.start + block * PLACES.len() as u16 + place as u16)
            .find(|port| is_free(*port))
            .with_context(|| format!("no free port from {} to {}", PORTS.start, PORTS.end))
    }

    fn port_file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.port"))
    }

    /// Removes what `name` left here, and nothing that somebody else put into the folder.
    pub(crate) fn purge(&self, name: &str) -> Result<()> {
        remove_if_there(fs::remove_dir_all(self.data(name)))?;
        remove_if_there(fs::remove_file(self.log_file(name)))
    }

    /// Removes addresses and, where nothing else is in it, the folder itself.
    pub(crate) fn forget(&self) -> Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "port") {
                remove_if_there(fs::remove_file(path))?;
            }
        }
        remove_if_there(fs::remove_file(self.env_file()))?;
        remove_if_there(fs::remove_file(self.path.join("lock")))?;
        let _ = fs::remove_dir(&self.path); // somebody else's files may be in it
        Ok(())
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// For `sh`: the text as one word, whatever is in it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:@._-".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

pub(crate) fn remove_if_there(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("cannot remove"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> Folder {
        let dir = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        Folder::open(Some(dir)).unwrap()
    }

    #[test]
    fn a_port_is_remembered_while_it_is_free() {
        let folder = scratch("ports");
        let port = folder.free_port("kafka").unwrap();
        assert_eq!(folder.free_port("kafka").unwrap(), port);
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_ne!(folder.free_port("kafka").unwrap(), port);
        drop(taken);
        folder.forget().unwrap();
        assert!(!folder.path().exists());
    }

    #[test]
    fn purge_leaves_strangers_alone() {
        let folder = scratch("purge");
        fs::create_dir(folder.data("redis")).unwrap();
        fs::write(folder.path().join("mine.txt"), "x").unwrap();
        folder.purge("redis").unwrap();
        folder.forget().unwrap();
        assert!(!folder.data("redis").exists());
        assert!(folder.path().join("mine.txt").exists());
        fs::remove_dir_all(folder.path()).unwrap();
    }

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quoted("kafka://127.0.0.1:9092"), "kafka://127.0.0.1:9092");
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }
}
