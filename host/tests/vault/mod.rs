//! The guest `data-vault` in its sandbox: its keys and hashdiffs against PostgreSQL's and against those of the tools that people
//! use, and the vaults that it loads.

mod ghosts;
mod keyed;
mod looked_up;
mod order_vault;
mod pairs;

use crate::city::{server, sql};
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
