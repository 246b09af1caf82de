//! Kafka and PostgreSQL of the harness's own, which it may kill, started by the recipe of `cargo xtask services` in a
//! folder of their own. Hosts reach them through proxies, the harness itself directly.

use super::proxy::Proxy;
use super::say;
use super::smtp::SmtpServer;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Servers {
    folder: tempfile::TempDir,
    pub kafka: Proxy,
    pub postgres: Proxy,
    pub smtp: SmtpServer,
    pub kafka_port: u16,
    pub postgres_port: u16,
}

const FOREIGN: [&str; 2] = ["GRISTMILL_TEST_LOG", "GRISTMILL_TEST_STORE"];

impl Servers {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("gristmill-chaos-servers-").tempdir().unwrap();
        // PostgreSQL runs as another user.
        let _ = Command::new("chmod").arg("755").arg(folder.path()).status();
        say(&format!("servers of this run's own in {}", folder.path().display()));
        let mut servers = Servers {
            folder,
            kafka: Proxy::start(),
            postgres: Proxy::start(),
            smtp: SmtpServer::start(),
            kafka_port: 0,
            postgres_port: 0,
        };
        choose_ports(servers.folder.path());
        servers.must(&["up"]);
        servers.kafka_port = servers.port("kafka");
        servers.postgres_port = servers.port("postgres");
        servers.kafka.lead_to(servers.port("kafka-proxied"));
        servers.postgres.lead_to(servers.postgres_port);
        servers
    }

    fn port(&self, name: &str) -> u16 {
        let path = self.folder.path().join(format!("{name}.port"));
        std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    fn must(&self, arguments: &[&str]) {
        let mut command = Command::new(xtask());
        command.arg("services").args(arguments).arg("--dir").arg(self.folder.path());
        for variable in FOREIGN {
            command.env_remove(variable);
        }
        // xtask finds the workspace by the folder of its own package.
        command.env("CARGO_MANIFEST_DIR", repository().join("xtask"));
        command.env("GRISTMILL_SERVICES_KAFKA_PROXY", self.kafka.port.to_string());
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success(),
            "xtask services {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub fn kill(&self, name: &str) {
        self.must(&["kill", name]);
    }

    pub fn restart(&self, name: &str) {
        self.must(&["restart", name]);
        self.kafka.lead_to(self.port("kafka-proxied"));
        assert_eq!(
            (self.port("kafka"), self.port("postgres")),
            (self.kafka_port, self.postgres_port),
            "a port has moved"
        );
    }

    /// A database's URL: as hosts see it, or directly.
    pub fn database(&self, name: &str, through_proxy: bool) -> String {
        let port = if through_proxy { self.postgres.port } else { self.postgres_port };
        format!("postgres://gristmill:gristmill@127.0.0.1:{port}/{name}?sslmode=disable")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        say("servers down");
        self.must(&["down", "--purge"]);
    }
}

/// Ports apart from those that `services` looks for, and from those that the kernel gives to clients: while a server
/// is down, nobody else may take its port.
fn choose_ports(folder: &Path) {
    let mut port = 11_000 + u16::try_from(std::process::id() % 1_000).unwrap_or(0) * 8;
    for name in ["kafka", "kafka-controller", "kafka-proxied", "postgres"] {
        while std::net::TcpListener::bind(("127.0.0.1", port)).is_err() {
            port += 1;
        }
        std::fs::write(folder.join(format!("{name}.port")), port.to_string()).unwrap();
        port += 1;
    }
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The program that `cargo xtask` runs: it lies beside the host, or is built now.
fn xtask() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_gristmill")).with_file_name("xtask");
    if !program.is_file() {
        let mut build = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        build.args(["build", "--quiet", "--package", "xtask"]).current_dir(repository());
        assert!(build.status().unwrap().success(), "xtask cannot be built");
    }
    program
}
