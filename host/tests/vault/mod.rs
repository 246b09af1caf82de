//! The guest `data-vault` in its sandbox: its keys and hashdiffs against PostgreSQL's and against those of the tools that people
//! use, and the vaults that it loads.

mod ghosts;
mod keyed;
mod looked_up;
mod order_vault;
mod pairs;

use crate::city::{Set, Site, server, sql};
use crate::sandbox::{engine, modules};
use gristmill::effect::Cell;
use gristmill::lookup::{Answers, Lookups, Unavailable};
use gristmill::record::Batch;
use gristmill::secrets::ByName;
use gristmill::spec::Limits;
use gristmill::transform::{Module, Trial};
use serde_json::{Value, json};
use std::sync::Arc;

struct NoLookups;

impl Lookups for NoLookups {
    fn get_many(&self, _: &str, _: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        unreachable!("a vault looks nothing up")
    }
}

fn module() -> Module {
    Module::load(&engine(), "data-vault.wasm", Some(&modules())).unwrap()
}

/// The guest with a configuration, in no pipeline.
fn configured(module: &Module, config: &str) -> Trial {
    let (limits, lookups) = (Limits::default(), Arc::new(NoLookups));
    Trial::configure(module, "vault", config, &limits, lookups, ByName::new())
        .unwrap_or_else(|error| panic!("{error:?}\n{config}"))
}

/// The digests that the guest makes of one column's values, in order.
fn digests(recipe: &Value, ty: &str, values: &[String]) -> Vec<String> {
    let config = json!({
        "recipe": recipe,
        "load_date": { "column": "load_date", "record": "timestamp" },
        "record_source": { "column": "record_source", "value": "test" },
        "hub": [{ "name": "h", "table": "t", "key": "digest", "business_key": ["v"],
                  "columns": { "v": { "pointer": "/v", "type": ty, "parse": ty != "text" } } }],
    });
    let mut trial = configured(&module(), &config.to_string());
    let column = trial.shape.tables[0].columns.iter().position(|one| one.name == "digest").unwrap();
    let mut all = Vec::new();
    for part in values.chunks(2_000) {
        let mut batch = Batch::new("in", 0);
        for (n, value) in part.iter().enumerate() {
            batch.push(n as i64, 0, None, Some(format!("{{\"v\":{value}}}").as_bytes()));
        }
        let checked = trial.apply(&batch).0.unwrap();
        assert!(checked.failures.is_empty(), "{:?}", checked.failures);
        let rows = &checked.rows[0];
        assert_eq!(rows.records.len(), part.len());
        all.extend((0..part.len()).map(|row| match rows.cell(column, row) {
            Cell::Text(text) => text.to_owned(),
            other => panic!("{other:?}"),
        }));
    }
    all
}

fn compare_with_postgres(recipe: &Value, ty: &str, select: &str) {
    let asked = sql(&server("GRISTMILL_TEST_STORE"), select);
    let (values, expected): (Vec<String>, Vec<String>) = asked
        .lines()
        .map(|line| line.rsplit_once('|').unwrap())
        .map(|(value, digest)| (value.to_owned(), digest.to_owned()))
        .unzip();
    assert!(values.len() > 1_000);
    let found = digests(recipe, ty, &values);
    let wrong: Vec<&String> =
        values.iter().zip(&expected).zip(&found).filter(|((_, a), b)| a != b).map(|((v, _), _)| v).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} differ: {:?}",
        wrong.len(),
        values.len(),
        &wrong[..wrong.len().min(20)]
    );
}

/// Every character up to the last one with a case, asked of PostgreSQL itself; but those whose case came with Unicode 16
/// and 17, which the system under PostgreSQL may not know yet.
#[test]
fn upper_case_is_postgresqls() {
    compare_with_postgres(
        &json!({ "name": "automate-dv", "output": "hex" }),
        "text",
        "SELECT to_json('x' || chr(n)), md5(upper('x' || chr(n) COLLATE \"C.utf8\")) FROM generate_series(33, 125251) n \
         WHERE n NOT BETWEEN 55296 AND 57343 \
         AND n NOT IN (x'19b'::int, x'264'::int, x'1c8a'::int, x'a7cd'::int, x'a7cf'::int, x'a7d3'::int, x'a7d5'::int, \
         x'a7db'::int) AND n NOT BETWEEN x'10d70'::int AND x'10d85'::int AND n NOT BETWEEN x'16ebb'::int AND x'16ed3'::int",
    );
}

#[test]
fn texts_of_numbers_are_postgresqls() {
    let recipe = json!({ "name": "automate-dv", "output": "hex", "upper": false });
    compare_with_postgres(
        &recipe,
        "float",
        "SELECT f, md5(f::text) FROM (SELECT setseed(0.5)) s, generate_series(1, 4000) n, LATERAL (SELECT \
         ((random() - 0.5) * 10.0 ^ ((n % 60) - 30))::float8 AS f) v",
    );
    compare_with_postgres(
        &recipe,
        "decimal",
        "SELECT d, md5(d::text) FROM generate_series(1, 2000) n, LATERAL (SELECT ((n - 1000) * 1.10)::numeric AS d) v",
    );
    // As somebody else may have written them, in texts.
    compare_with_postgres(
        &recipe,
        "decimal",
        "SELECT to_json(t), md5(t::numeric::text) FROM generate_series(1, 2000) n, LATERAL (SELECT left('-', n % 2) || \
         repeat('0', n % 4) || n % 50 || CASE WHEN n % 3 > 0 THEN '.' || repeat('0', n % 5) || n % 7 ELSE '' END AS t) v",
    );
}

#[test]
fn spaces_are_trimmed_as_postgresql_does_or_kept() {
    for (trim, sql) in [(true, "btrim(v, ' ')"), (false, "v")] {
        compare_with_postgres(
            &json!({ "name": "automate-dv", "output": "hex", "trim": trim }),
            "text",
            &format!(
                "SELECT to_json(v), md5(upper({sql})) FROM generate_series(1, 2000) n, LATERAL (SELECT \
                 repeat(' ', n % 4) || chr(9) || n || ' a' || chr(160) || repeat(' ', n % 3) AS v) t"
            ),
        );
    }
}

/// What a guest makes of records one by one: how many rows, or the codes of the faults.
fn made(config: &Value, records: &[Value]) -> Vec<Result<usize, Vec<String>>> {
    let mut trial = configured(&module(), &config.to_string());
    let mut of = |record: &Value| {
        let mut batch = Batch::new("in", 0);
        batch.push(0, 1_000, None, Some(record.to_string().as_bytes()));
        let checked = trial.apply(&batch).0.unwrap();
        let faults = checked.failures.iter().flat_map(|(_, _, faults)| faults);
        let codes: Vec<String> = faults.map(|fault| fault.code.clone()).collect();
        if codes.is_empty() {
            Ok(checked.rows.iter().map(|rows| rows.records.len()).sum())
        } else {
            Err(codes)
        }
    };
    records.iter().map(&mut of).collect()
}

/// A stage reads records of several types: what a hub has no row of has no links, no satellites and no faults.
#[test]
fn what_does_not_apply_is_not_missed() {
    let config = json!({
        "recipe": "framed",
        "load_date": { "column": "load_date", "record": "timestamp" },
        "record_source": { "column": "record_source", "value": "test" },
        "hub": [
            { "name": "order", "table": "h_order", "key": "k", "business_key": "id", "columns": { "id": "/id" },
              "when": { "pointer": "/type", "equals": "order" } },
            { "name": "item", "table": "h_item", "key": "k_item", "business_key": "sku", "each": "/items",
              "columns": { "sku": "@/sku" },
              "when": { "pointer": "/type", "equals": "order", "not": { "pointer": "@/sku", "exists": false } } },
        ],
        "link": [{ "table": "l_order_item", "key": "k_link", "hubs": ["order", "item"] }],
        "satellite": [
            { "table": "s_order", "of": "order", "hashdiff": "hd", "columns": { "status": "/status" } },
            { "table": "s_item", "of": "item", "hashdiff": "hd", "columns": { "name": "@/name" } },
            { "table": "m_order", "of": "order", "hashdiff": "hd", "each": "/notes", "children": ["by"],
              "columns": { "by": "@/by", "text": "@/text" } },
        ],
    });
    let order = json!({ "type": "order", "id": "1", "status": "new", "items": [{ "sku": "a", "name": "A" }],
                        "notes": [{ "by": "x", "text": "1" }, { "by": "y", "text": "2" }, { "by": "x", "text": "1" }] });
    let with = |key: &str, value: Value| {
        let mut order = order.clone();
        order[key] = value;
        order
    };
    let items =
        json!([{ "sku": "a", "name": "A" }, { "sku": "a", "name": "B" }, { "sku": "a", "name": "A" }]);
    let missing = |count: usize| Err(vec!["missing-field".to_owned(); count]);
    let records = [
        (order.clone(), Ok(7)),
        (json!({ "type": "ticket" }), Ok(0)),
        (json!({ "type": "ticket", "items": "none", "notes": 7 }), Ok(0)),
        // Of one product three states, for the last of them counts.
        (with("items", items), Ok(9)),
        // Each is missed once, by the hub or by the satellite that goes through it.
        (with("items", Value::Null), missing(1)),
        (with("notes", Value::Null), missing(1)),
        (with("status", Value::Null), missing(1)),
        // Two notes by one person that are not the same.
        (
            with("notes", json!([{ "by": "x", "text": "1" }, { "by": "x", "text": "2" }])),
            Err(vec!["repeated-member".to_owned()]),
        ),
    ];
    let (records, expected): (Vec<Value>, Vec<_>) = records.into_iter().unzip();
    assert_eq!(made(&config, &records), expected);
}

const TABLES: &str = r#"
version = 1
name = "NAME"
[source]
topic = "NAME.customers"
[[stage]]
name = "vault"
module = "data-vault"
[stage.config]
recipe = "framed"
load_date = { column = "load_dts", record = "timestamp" }
record_source = { column = "source", value = "crm" }
[[stage.config.hub]]
name = "customer"
table = "hub"
key = "pk"
business_key = "id"
columns = { id = "/id" }
[[stage.config.satellite]]
table = "names"
of = "customer"
hashdiff = "hd"
columns = { name = "/name" }
[[stage.config.satellite]]
table = "phones"
of = "customer"
hashdiff = "hd"
each = "/phones"
children = ["kind"]
columns = { kind = "@/kind" }
[[table]]
name = "hub"
mode = "first-wins"
key = ["pk"]
columns = [
  { name = "pk", type = "bytes" }, { name = "id", type = "text" },
  { name = "load_dts", type = "timestamp" }, { name = "source", type = "text" },
]
[[table]]
name = "names"
mode = "satellite"
key = ["pk"]
hashdiff = "hd"
load = "load_dts"
columns = [
  { name = "pk", type = "bytes" }, { name = "hd", type = "bytes" }, { name = "name", type = "text" },
  { name = "load_dts", type = "timestamp" }, { name = "source", type = "text" },
]
[[table]]
name = "phones"
mode = "satellite"
key = ["pk"]
hashdiff = "hd"
load = "load_dts"
children = ["kind"]
columns = [
  { name = "pk", type = "bytes" }, { name = "hd", type = "bytes" }, { name = "kind", type = "text" },
  { name = "load_dts", type = "timestamp" }, { name = "source", type = "text" },
]
"#;

/// Rows of a set in a table that keeps one row of each state, say, would be lost one by one.
#[test]
fn tables_are_what_the_vault_takes_them_for() {
    let site = Site::new(Set::Embedded, "tables", TABLES, |spec, name| spec.replace("NAME", name));
    let path = site.spec_path.display().to_string();
    let right = std::fs::read_to_string(&path).unwrap();
    site.must(&["check", &path]);
    for (from, to, told) in [
        (
            "\nchildren = [\"kind\"]\ncolumns = [",
            "\ncolumns = [",
            "`children` of table `phones` is [], and its rows need [kind]",
        ),
        (
            "name = \"hub\"\nmode = \"first-wins\"\nkey = [\"pk\"]",
            "name = \"hub\"\nmode = \"append\"",
            "table `hub` is `append`, and its rows are made for `first-wins` or `once`",
        ),
        (
            "name = \"hub\"\nmode = \"first-wins\"\nkey = [\"pk\"]",
            "name = \"hub\"\nmode = \"first-wins\"\nkey = [\"id\"]",
            "`key` of table `hub` is [id], and its rows need [pk]",
        ),
        (
            "name = \"names\"\nmode = \"satellite\"\nkey = [\"pk\"]\nhashdiff = \"hd\"\nload = \"load_dts\"",
            "name = \"names\"\nmode = \"last-wins\"\nkey = [\"pk\"]",
            "table `names` is `last-wins`, and its rows are made for `satellite`",
        ),
    ] {
        assert!(right.contains(from), "{from}");
        std::fs::write(&path, right.replace(from, to)).unwrap();
        let output = site.run(&["check", &path]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && said.contains(told) && said.contains("vault"),
            "{told}:\n{said}"
        );
    }
}
