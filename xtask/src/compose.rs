//! compose.yaml cannot be run where CI runs, so it is read: what it names must be what the rest of the
//! repository has.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_yaml_ng::{Mapping, Value};

use crate::services::postgres::ROOM;
use crate::services::{KAFKA_VERSION, POSTGRES_MAJOR};
use crate::workspace;

const SERVICES: [&str; 9] =
    ["gristmill", "kafka", "postgres", "redis", "mail", "kafka-ui", "adminer", "prometheus", "grafana"];
/// What `docker compose up` starts; the others wait for their profile.
const ALWAYS: [&str; 5] = ["gristmill", "kafka", "postgres", "redis", "mail"];

fn text_of(path: &str) -> String {
    fs::read_to_string(workspace::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml_of(path: &str) -> Value {
    serde_yaml_ng::from_str(&text_of(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn services() -> Vec<(String, Value)> {
    let compose = yaml_of("compose.yaml");
    let services: &Mapping = compose["services"].as_mapping().unwrap();
    services.iter().map(|(name, service)| (name.as_str().unwrap().to_owned(), service.clone())).collect()
}

fn service(wanted: &str) -> Value {
    services().into_iter().find(|(name, _)| name == wanted).unwrap().1
}

fn strings(list: &Value) -> Vec<String> {
    let entries = list.as_sequence().into_iter().flatten();
    entries.map(|entry| entry.as_str().unwrap().to_owned()).collect()
}

fn setting(name: &str) -> String {
    service("gristmill")["environment"][name].as_str().unwrap_or_else(|| panic!("{name}")).to_owned()
}

#[test]
fn all_services_are_there_and_the_tools_wait_for_their_profile() {
    let services = services();
    let names: Vec<&str> = services.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, SERVICES);
    for (name, service) in &services {
        let always = ALWAYS.contains(&name.as_str());
        assert_eq!(strings(&service["profiles"]).is_empty(), always, "profiles of {name}");
    }
}

#[test]
fn every_service_tells_whether_it_is_healthy_and_waits_for_what_it_needs() {
    for (name, service) in services() {
        assert!(!strings(&service["healthcheck"]["test"]).is_empty(), "healthcheck of {name}");
        for (needed, wait) in service["depends_on"].as_mapping().into_iter().flatten() {
            assert!(SERVICES.contains(&needed.as_str().unwrap()), "{name} needs {needed:?}");
            assert_eq!(wait["condition"], "service_healthy", "{name} does not wait for {needed:?}");
        }
    }
}

#[test]
fn kafka_and_postgres_are_those_that_tests_run_on() {
    assert_eq!(service("kafka")["image"], format!("apache/kafka:{KAFKA_VERSION}").as_str());
    let image = service("postgres")["image"].as_str().unwrap().to_owned();
    let version = image.strip_prefix("postgres:").unwrap();
    assert_eq!(version.split(['.', '-']).next().unwrap().parse(), Ok(POSTGRES_MAJOR));
    let room = ROOM.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
    let command: Vec<String> = std::iter::once("postgres".to_owned()).chain(room).collect();
    assert_eq!(strings(&service("postgres")["command"]), command);
}

#[test]
fn images_name_a_version() {
    for (name, service) in services().into_iter().filter(|(name, _)| name != "gristmill") {
        let image = service["image"].as_str().unwrap();
        let version = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image}")).1;
        assert!(version.contains(|c: char| c.is_ascii_digit()), "{name}: {image}");
    }
}

#[test]
fn the_host_knows_every_setting() {
    let gristmill = service("gristmill");
    let source = text_of("host/src/config.rs");
    for (name, _) in gristmill["environment"].as_mapping().unwrap() {
        let name = name.as_str().unwrap();
        assert!(source.contains(&format!("\"{name}\"")), "host/src/config.rs knows no {name}");
    }
}

#[test]
fn settings_lead_to_services_of_the_stack() {
    for (name, scheme, host) in [
        ("GRISTMILL_LOG", "kafka", "kafka:9092"),
        ("GRISTMILL_STORE", "postgres", "postgres:5432"),
        ("GRISTMILL_LOOKUP", "redis", "redis:6379"),
        ("GRISTMILL_MAIL", "smtp", "mail:1025"),
    ] {
        let url = setting(name);
        assert!(url.starts_with(&format!("{scheme}://")) && url.contains(host), "{name}={url}");
    }
    let listeners = service("kafka")["environment"]["KAFKA_ADVERTISED_LISTENERS"].clone();
    assert!(listeners.as_str().unwrap().contains("//kafka:9092"));
    let postgres = service("postgres")["environment"].clone();
    let account = |name: &str| postgres[name].as_str().unwrap().to_owned();
    let (user, password) = (account("POSTGRES_USER"), account("POSTGRES_PASSWORD"));
    let store = format!("postgres://{user}:{password}@postgres:5432/{}", account("POSTGRES_DB"));
    assert_eq!(setting("GRISTMILL_STORE"), store);
}

#[test]
fn ports_are_open_to_this_machine_only_and_once_each() {
    let mut seen = HashSet::new();
    for (name, service) in services() {
        for port in strings(&service["ports"]) {
            let parts: Vec<_> = port.split(':').collect();
            assert!(matches!(parts.as_slice(), ["127.0.0.1", _, _]), "{name}: {port}");
            assert!(seen.insert(parts[1].to_owned()), "{name}: {port} is taken");
        }
    }
    let listen = setting("GRISTMILL_LISTEN");
    let port = listen.strip_prefix("0.0.0.0:").expect("reachable from outside its container");
    assert!(strings(&service("gristmill")["ports"]).contains(&format!("127.0.0.1:{port}:{port}")));
    assert!(text_of("deploy/prometheus.yml").contains(&format!("gristmill:{port}")));
    let probe = strings(&service("gristmill")["healthcheck"]["test"]).join(" ");
    assert!(probe.contains(&format!("127.0.0.1:{port}/healthz")), "{probe}");
}

#[test]
fn every_file_that_is_mounted_or_run_exists() {
    let root = workspace::root();
    for (name, service) in services() {
        for mount in strings(&service["volumes"]) {
            let source = mount.split(':').next().unwrap().to_owned();
            let volume = yaml_of("compose.yaml")["volumes"].get(source.as_str()).is_some();
            assert!(volume || root.join(&source).is_file(), "{name}: {mount}");
        }
    }
    let command = strings(&service("gristmill")["command"]);
    assert_eq!(command.first().map(String::as_str), Some("run"));
    assert!(root.join(&command[1]).is_file(), "{command:?}");
    yaml_of("deploy/prometheus.yml");
    yaml_of("deploy/grafana-datasource.yml");
}

#[test]
fn the_image_is_built_with_the_workspaces_toolchain() {
    assert_eq!(service("gristmill")["build"], ".");
    let dockerfile = text_of("Dockerfile");
    let toolchain = text_of("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap();
    let minor = channel.trim_matches('"').rsplit_once('.').unwrap().0;
    assert!(dockerfile.contains(&format!("FROM rust:{minor}-")), "rust-toolchain.toml says {channel}");
    assert!(Path::new(&workspace::root()).join("examples").is_dir() && dockerfile.contains("COPY examples "));
    // OpenSSL: what the build takes, and what the program runs with.
    assert!(dockerfile.contains("pkg-config libssl-dev") && dockerfile.contains("libssl3"));
    let data = setting("GRISTMILL_DATA");
    assert!(dockerfile.contains(&format!("--home-dir {data} ")), "{data} belongs to nobody in the image");
    assert!(strings(&service("gristmill")["volumes"]).contains(&format!("gristmill:{data}")));
}
