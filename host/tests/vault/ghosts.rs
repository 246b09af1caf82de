//! Ghost records: the rows that stand in a vault's tables before anything is loaded, with the keys that the tools give them.
//! Nothing is hashed for them.

use crate::city::{Set, Site};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What makes the keys of one stage's tables, and their ghosts: the digit of which the key is made, when, from where, and what
/// stands for a text.
struct Case {
    name: &'static str,
    recipe: &'static str,
    hash: fn(&str) -> String,
    ghosts: &'static [(char, &'static str, &'static str, Option<&'static str>)],
}

const DATAVAULT4DBT: &[(char, &str, &str, Option<&str>)] = &[
    ('0', "0001-01-01T00:00:01", "SYSTEM", Some("(unknown)")),
    ('f', "8888-12-31T23:59:59", "ERROR", Some("(error)")),
];
const CASES: [Case; 4] = [
    Case {
        name: "a",
        recipe: r#"{ name = "automate-dv", output = "hex", upper = false }"#,
        hash: md5_hex,
        ghosts: &[('0', "1900-01-01T00:00:00", "AUTOMATE_DV_SYSTEM", None)],
    },
    Case {
        name: "d5",
        recipe: r#"{ name = "datavault4dbt", upper = false }"#,
        hash: md5_hex,
        ghosts: DATAVAULT4DBT,
    },
    Case {
        name: "d1",
        recipe: r#"{ name = "datavault4dbt", algorithm = "sha1", upper = false }"#,
        hash: |text| ring_hex(&SHA1_FOR_LEGACY_USE_ONLY, text),
        ghosts: DATAVAULT4DBT,
    },
    Case {
        name: "d256",
        recipe: r#"{ name = "datavault4dbt", algorithm = "sha256", upper = false }"#,
        hash: |text| ring_hex(&SHA256, text),
        ghosts: DATAVAULT4DBT,
    },
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn md5_hex(text: &str) -> String {
    use md5::{Digest, Md5};
    hex(&Md5::digest(text))
}

fn ring_hex(algorithm: &'static Algorithm, text: &str) -> String {
    hex(digest(algorithm, text.as_bytes()).as_ref())
}

impl Case {
    /// How a text stands in a preimage.
    fn quoted(&self, text: &str) -> String {
        if self.name == "a" { text.to_owned() } else { format!("\"{text}\"") }
    }

    fn hashed(&self, text: &str) -> String {
        (self.hash)(&self.quoted(text))
    }

    fn ghost_key(&self, digit: char) -> String {
        digit.to_string().repeat((self.hash)("").len())
    }

    /// The stage, which leaves its records to the one after it, and its tables: the hub of customers, and a satellite with
    /// their names.
    fn spec(&self) -> String {
        let Self { name, recipe, .. } = self;
        let ghosts = |text: &str, hashdiff: bool| {
            let rows = self.ghosts.iter().map(|(digit, at, source, word)| {
                let key = self.ghost_key(*digit);
                let word = word.map_or_else(String::new, |word| format!("{text} = \"{word}\", "));
                let hashdiff = if hashdiff { format!("hashdiff = \"{key}\", ") } else { String::new() };
                format!("{{ pk = \"{key}\", {hashdiff}{word}load_dts = {at}, source = \"{source}\" }}")
            });
            rows.collect::<Vec<_>>().join(", ")
        };
        // A hub of AutomateDV has none.
        let hub_ghosts = if *name == "a" { String::new() } else { ghosts("id", false) };
        let satellite_ghosts = ghosts("name", true);
        let is_last = CASES.last().is_some_and(|last| last.name == *name);
        let forward = if is_last { "" } else { "[[stage.config.rule]]\nforward = true" };
        format!(
            r#"
[[stage]]
name = "{name}"
module = "data-vault"
[stage.config]
recipe = {recipe}
load_date = {{ column = "load_dts", record = "timestamp" }}
record_source = {{ column = "source", value = "crm" }}
[[stage.config.hub]]
name = "customer"
table = "{name}.hub"
key = "pk"
business_key = "id"
columns = {{ id = {{ pointer = "/id", nullable = true }} }}
[[stage.config.satellite]]
table = "{name}.satellite"
of = "customer"
hashdiff = "hashdiff"
columns = {{ name = {{ pointer = "/name", nullable = true }} }}
{forward}
[[table]]
name = "{name}.hub"
mode = "first-wins"
key = ["pk"]
initial = [{hub_ghosts}]
columns = [
  {{ name = "pk", type = "text" }}, {{ name = "id", type = "text", nullable = true }},
  {{ name = "load_dts", type = "timestamp" }}, {{ name = "source", type = "text" }},
]
[[table]]
name = "{name}.satellite"
mode = "satellite"
key = ["pk"]
hashdiff = "hashdiff"
load = "load_dts"
initial = [{satellite_ghosts}]
columns = [
  {{ name = "pk", type = "text" }}, {{ name = "hashdiff", type = "text" }},
  {{ name = "name", type = "text", nullable = true }},
  {{ name = "load_dts", type = "timestamp" }}, {{ name = "source", type = "text" }},
]
"#
        )
    }

    /// The rows that must be there: the ghosts, Ada, and what is known of a customer without a number.
    fn expected(&self, hub: bool) -> BTreeSet<String> {
        let mut rows = BTreeSet::new();
        let mut add = |key: &str, hashdiff: &str, text: Option<&str>, load: &str, source: &str| {
            let mut row = json!({ "pk": key, "load_dts": load, "source": source });
            row[if hub { "id" } else { "name" }] = json!(text);
            if !hub {
                row["hashdiff"] = json!(hashdiff);
            }
            rows.insert(sorted(&row));
        };
        for (digit, at, source, word) in self.ghosts {
            let key = self.ghost_key(*digit);
            if !hub || self.name != "a" {
                add(&key, &key, *word, &format!("{at}.000000"), source);
            }
        }
        let text = if hub { "A-1" } else { "Ada" };
        add(&self.hashed("A-1"), &self.hashed("Ada"), Some(text), "crm's", "crm");
        // The key of nothing is NULL, and nothing is loaded; or it is the ghost's, which the hub has.
        if !hub && self.name != "a" {
            add(&self.ghost_key('0'), &self.hashed("Nobody"), Some("Nobody"), "crm's", "crm");
        }
        rows
    }
}

/// The keys that ghosts have here.
pub(super) fn keys() -> BTreeSet<String> {
    CASES.iter().flat_map(|case| case.ghosts.iter().map(|(digit, ..)| case.ghost_key(*digit))).collect()
}

fn sorted(row: &Value) -> String {
    let fields: std::collections::BTreeMap<&String, &Value> = row.as_object().unwrap().iter().collect();
    serde_json::to_string(&fields).unwrap()
}

/// The rows of a table; when a record came is not this test's matter.
fn found(rows: &[Value]) -> BTreeSet<String> {
    let all: BTreeSet<String> = rows
        .iter()
        .map(|row| {
            let mut row: Map<String, Value> = row.as_object().unwrap().clone();
            if row["source"] == "crm" {
                row["load_dts"] = json!("crm's");
            }
            sorted(&Value::Object(row))
        })
        .collect();
    assert_eq!(all.len(), rows.len(), "{rows:#?}");
    all
}

fn ghosts_stand_beside_what_is_loaded(set: Set) {
    let spec = "version = 1\nname = \"NAME\"\n[source]\ntopic = \"NAME.customers\"\n".to_owned()
        + &CASES.iter().map(Case::spec).collect::<String>();
    let site = Site::new(set, "ghosts", &spec, |spec, name| spec.replace("NAME", name));
    let path = site.folder.path().join("customers.ndjson");
    let ada = json!({ "id": "A-1", "name": "Ada" });
    // As a hub and a satellite see a customer that has not changed: in one batch, and again in the host's next life.
    std::fs::write(&path, format!("{ada}\n{}\n{ada}\n", json!({ "id": null, "name": "Nobody" }))).unwrap();
    for _ in 0..2 {
        let mut host = site.host(None);
        site.must(&["ingest", &site.topic(), &path.display().to_string(), "--partitions", "1"]);
        site.wait_until_done(&mut [&mut host]);
        assert_eq!(host.terminate(), Some(0), "{}", host.log());
    }
    let tables = site.tables();
    for case in &CASES {
        for (table, hub) in [("hub", true), ("satellite", false)] {
            let name = format!("{}.{table}", case.name);
            assert_eq!(found(&tables[&name]), case.expected(hub), "{name}");
        }
    }
}

#[test]
fn ghosts_stand_in_sqlite() {
    ghosts_stand_beside_what_is_loaded(Set::Embedded);
}

#[test]
fn ghosts_stand_in_postgresql() {
    ghosts_stand_beside_what_is_loaded(Set::Real);
}
