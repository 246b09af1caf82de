//! Keys and hashdiffs of the guest `data-vault`, in its sandbox, against what the tools that people use make of the same
//! values: `vectors.ndjson` has, line by line, values and the digest that such a tool was seen to give.

mod ghosts;
mod keyed;
mod looked_up;
mod order_vault;

use crate::city::{server, sql};
use crate::sandbox::{engine, modules};
use gristmill::effect::Cell;
use gristmill::lookup::{Answers, Lookups, Unavailable};
use gristmill::record::Batch;
use gristmill::secrets::ByName;
use gristmill::spec::Limits;
use gristmill::transform::{Module, Trial};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// One line.
#[derive(Deserialize)]
struct Vector {
    recipe: Value,
    /// `key` or `hashdiff`.
    r#use: String,
    /// Whether the columns were given as a list.
    list: bool,
    /// Whether the columns are the keys of hubs that a link joins.
    link: bool,
    columns: Vec<Column>,
    /// In hex; `None`: the key is NULL.
    digest: Option<String>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    r#type: String,
    /// As JSON, digit by digit.
    value: Option<Box<RawValue>>,
    default: Option<String>,
}

struct NoLookups;

impl Lookups for NoLookups {
    fn get_many(&self, _: &str, _: &[Vec<u8>]) -> Result<Answers, Unavailable> {
        unreachable!("a vault looks nothing up")
    }
}

impl Vector {
    /// A configuration that makes the one key or hashdiff, as text in the table `t`, column `digest`.
    fn config(&self) -> String {
        let column = |column: &Column| {
            let mut rule =
                json!({ "pointer": format!("/{}", column.name), "type": column.r#type, "nullable": true });
            if let Some(default) = &column.default {
                rule["default"] = json!(default);
            }
            rule
        };
        let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let columns: Map<String, Value> =
            self.columns.iter().map(|one| (one.name.clone(), column(one))).collect();
        let given = if self.list { json!(names) } else { json!(names[0]) };
        let mut config = json!({
            "recipe": self.recipe,
            "load_date": { "column": "load_date", "record": "timestamp" },
            "record_source": { "column": "record_source", "value": "test" },
        });
        if self.link {
            let hub = |one: &Column| {
                json!({ "name": one.name, "table": format!("h_{}", one.name), "key": format!("k_{}", one.name),
                        "business_key": one.name, "columns": { &*one.name: column(one) } })
            };
            config["hub"] = self.columns.iter().map(hub).collect();
            config["link"] = json!([{ "table": "t", "key": "digest", "hubs": names }]);
        } else if self.r#use == "key" {
            config["hub"] = json!([{
                "name": "h", "table": "t", "key": "digest", "business_key": given, "columns": columns }]);
        } else {
            config["hub"] = json!([{ "name": "h", "table": "h", "key": "h_key", "business_key": ["id"],
                                     "columns": { "id": { "value": 1, "type": "int" } } }]);
            config["satellite"] = json!([{
                "table": "t", "of": "h", "hashdiff": "digest", "hashdiff_of": given, "columns": columns }]);
        }
        config.to_string()
    }

    fn record(&self) -> String {
        let fields = self.columns.iter().map(|column| {
            let value = column.value.as_ref().map_or("null", |value| value.get());
            format!("{}:{value}", json!(column.name))
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }
}

/// The digests that the guest makes of one column's values, in order.
fn digests(recipe: &Value, ty: &str, values: &[String]) -> Vec<String> {
    let config = json!({
        "recipe": recipe,
        "load_date": { "column": "load_date", "record": "timestamp" },
        "record_source": { "column": "record_source", "value": "test" },
        "hub": [{ "name": "h", "table": "t", "key": "digest", "business_key": ["v"],
                  "columns": { "v": { "pointer": "/v", "type": ty } } }],
    });
    let module = Module::load(&engine(), "data-vault.wasm", Some(&modules())).unwrap();
    let limits = Limits::default();
    let mut trial =
        Trial::configure(&module, "vault", &config.to_string(), &limits, Arc::new(NoLookups), ByName::new())
            .unwrap();
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
}

#[test]
fn every_pair_comes_out_of_the_guest_byte_for_byte() {
    let vectors: Vec<Vector> = include_str!("vectors.ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    assert_eq!(vectors.len(), 182);
    let module = Module::load(&engine(), "data-vault.wasm", Some(&modules())).unwrap();
    let mut wrong = Vec::new();
    for (number, vector) in vectors.iter().enumerate() {
        let config = vector.config();
        let limits = Limits::default();
        let mut trial =
            Trial::configure(&module, "vault", &config, &limits, Arc::new(NoLookups), ByName::new())
                .unwrap_or_else(|error| panic!("line {}: {error:?}\n{config}", number + 1));
        let mut batch = Batch::new("in", 0);
        batch.push(0, 1_000, None, Some(vector.record().as_bytes()));
        let checked = trial.apply(&batch).0.unwrap_or_else(|error| panic!("line {}: {error:?}", number + 1));
        assert!(checked.failures.is_empty(), "line {}: {:?}", number + 1, checked.failures);
        let table = trial.shape.tables.iter().position(|table| table.name == "t").unwrap();
        let column = trial.shape.tables[table].columns.iter().position(|one| one.name == "digest").unwrap();
        let digest = checked.rows.iter().find(|rows| rows.table == table).and_then(|rows| {
            let Cell::Text(text) = (!rows.records.is_empty()).then(|| rows.cell(column, 0))? else {
                panic!()
            };
            Some(text.to_owned())
        });
        if digest != vector.digest {
            wrong.push(format!("line {}: {} gives {digest:?}", number + 1, vector.record()));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}
