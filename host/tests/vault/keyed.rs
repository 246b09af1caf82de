//! Keys made with a secret: the host has it, the guest does not, and keys of another secret never come into the same tables.

use crate::city::{Host, Set, Site, sql};
use ring::hmac::{HMAC_SHA256, Key, sign};
use std::path::Path;

const SECRET: &str = "the secret of this vault";
const SPEC: &str = r#"
version = 1
name = "NAME"
[source]
topic = "NAME.people"
[[stage]]
name = "vault"
module = "data-vault"
[stage.config]
recipe = { name = "keyed", secret = "pii" }
load_date = { column = "load_dts", record = "timestamp" }
record_source = { column = "record_source", value = "crm" }
[[stage.config.hub]]
name = "person"
table = "h_person"
key = "h_person_pk"
business_key = "email"
columns = { email = "/email" }
[[secret]]
name = "pii"
stages = ["vault"]
[[table]]
name = "h_person"
mode = "first-wins"
key = ["h_person_pk"]
columns = [
  { name = "h_person_pk", type = "bytes" }, { name = "email", type = "text" },
  { name = "load_dts", type = "timestamp" }, { name = "record_source", type = "text" },
]
"#;

fn feed(site: &Site, email: &str) {
    let path = site.folder.path().join("person.ndjson");
    std::fs::write(&path, format!("{{\"email\": \"{email}\"}}\n")).unwrap();
    site.must(&["ingest", &site.topic(), &path.display().to_string(), "--partitions", "1"]);
}

/// What a person with the secret makes of the address: each value behind its length.
fn key(secret: &str, email: &str) -> String {
    let length = u32::try_from(email.len()).unwrap().to_be_bytes();
    let digest = sign(&Key::new(HMAC_SHA256, secret.as_bytes()), &[&length, email.as_bytes()].concat());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn secrets(folder: &Path, secret: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("pii"), format!("{secret}\n")).unwrap();
}

/// Starts a host that must not start; answers what it says.
#[track_caller]
fn refused(site: &Site) -> String {
    let mut host: Host = site.host(None);
    assert_eq!(host.wait_for_end(), Some(1), "{}", host.log());
    host.log()
}

#[test]
fn keys_are_made_with_the_hosts_secret() {
    let mut site = Site::new(Set::Real, "keyed", SPEC, |spec, name| spec.replace("NAME", name));
    let said = refused(&site);
    assert!(said.contains("the secret `pii` is asked for") && said.contains("GRISTMILL_SECRETS"), "{said}");
    let folder = site.folder.path().join("secrets");
    site.environment.push(("GRISTMILL_SECRETS".into(), folder.display().to_string()));
    secrets(&folder, "too short");
    let said = refused(&site);
    assert!(said.contains("pii: it has 9 bytes") && !said.contains("too short"), "{said}");
    secrets(&folder, SECRET);
    let mut host = site.host(None);
    feed(&site, "ada@mail.example");
    site.wait_until_done(&mut [&mut host]);
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
    let rows = sql(&site.database_url(), "SELECT encode(h_person_pk, 'hex'), email FROM h_person");
    assert_eq!(rows, format!("{}|ada@mail.example", key(SECRET, "ada@mail.example")));
    assert!(!host.whole_log().contains(SECRET));
    // Another secret would make other keys of the same people.
    secrets(&folder, "another secret for it");
    let said = refused(&site);
    assert!(said.contains("keys of two recipes do not meet"), "{said}");
    // A stage that the spec does not name has none.
    secrets(&folder, SECRET);
    let spec = std::fs::read_to_string(&site.spec_path).unwrap();
    let (before, after) = spec.split_once("[[secret]]").unwrap();
    let (_, after) = after.split_once("[[table]]").unwrap();
    std::fs::write(&site.spec_path, format!("{before}[[table]]{after}")).unwrap();
    let said = refused(&site);
    assert!(said.contains("lets this stage use no secret `pii`"), "{said}");
}
