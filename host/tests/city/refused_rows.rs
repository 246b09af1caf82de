//! A DBA's own table with a CHECK, a foreign key and a short varchar, and one record in a thousand that violates
//! each: those are dead letters with SQLSTATE and constraint, all others are rows, nothing stalls.

use super::site::{Set, Site, sql};
use gristmill::store::DeadLetterQuery;
use std::io::Write;

const SPEC: &str = r#"
version = 1
name = "NAME"
[source]
topic = "NAME.in"
partitions = 4
[[stage]]
name = "route"
module = "route"
[[stage.config.rule]]
[[stage.config.rule.rows]]
table = "parts"
[stage.config.rule.rows.columns]
id = { pointer = "/order_id", type = "int" }
kind = "/kind"
amount = { pointer = "/amount", type = "int" }
label = "/label"
[[table]]
name = "parts"
mode = "first-wins"
key = ["id"]
create = false
columns = [
  { name = "id", type = "bigint" },
  { name = "kind", type = "text" },
  { name = "amount", type = "integer" },
  { name = "label", type = "varchar(8)" },
]
"#;

#[test]
fn rows_that_the_database_refuses_are_isolated() {
    let site = Site::new(Set::Real, "dba", SPEC, |spec, name| spec.replace("NAME", name));
    sql(
        &site.database_url(),
        "CREATE TABLE kinds (kind text PRIMARY KEY); INSERT INTO kinds VALUES ('bolt'), ('nut');
         CREATE TABLE parts (id bigint PRIMARY KEY, kind text NOT NULL CONSTRAINT known_kind REFERENCES kinds,
           amount integer NOT NULL CONSTRAINT positive_amount CHECK (amount > 0), label varchar(8) NOT NULL)",
    );
    let file = site.folder.path().join("parts.ndjson");
    let mut lines = std::fs::File::create(&file).unwrap();
    const RECORDS: usize = 6_000;
    for id in 0..RECORDS {
        let (kind, amount, label) = match id % 1_000 {
            100 => ("screw", "5", "ok"),
            300 => ("bolt", "-5", "ok"),
            500 => ("bolt", "5", "much too long"),
            700 => ("bolt", "99999999999", "ok"),
            _ => ("nut", "5", "ok"),
        };
        writeln!(lines, r#"{{"order_id": {id}, "kind": "{kind}", "amount": {amount}, "label": "{label}"}}"#)
            .unwrap();
    }
    site.ingest(&file);
    let mut host = site.host(None);
    site.wait_until_done(&mut [&mut host]);
    let (runtime, store, _) = site.open();
    let query =
        DeadLetterQuery { pipeline: Some(site.name.clone()), limit: 1_000, ..DeadLetterQuery::default() };
    let letters = runtime.block_on(store.dead_letters(&query)).unwrap();
    for (code, part) in [
        ("sqlstate-23503", "known_kind"),
        ("sqlstate-23514", "positive_amount"),
        ("sqlstate-22001", "parts"),
        ("sqlstate-22003", "amount"),
    ] {
        let found: Vec<_> = letters.iter().filter(|letter| letter.failure.code() == code).collect();
        assert_eq!(found.len(), RECORDS / 1_000, "{code}: {:?}", letters.first());
        for letter in found {
            assert_eq!(letter.failure.stage, "store");
            assert!(letter.failure.reason().contains(part), "{code}: {}", letter.failure.reason());
        }
    }
    let rows = sql(&site.database_url(), "SELECT count(*), count(DISTINCT id) FROM parts");
    let good = RECORDS - 4 * RECORDS / 1_000;
    assert_eq!(rows, format!("{good}|{good}"));
    runtime.shutdown_background();
}
