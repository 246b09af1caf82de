//! Cells that are digests: made together, behind one another, whatever else the column and its records do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use gristmill_sdk::hashing::{Algorithm, Hex, Values, digest_many};
use gristmill_sdk::testing::{self, TestRecord};
use gristmill_sdk::{Config, Failure, Out, Plan, Record, Row, Transform};
use serde_json::Value;

#[derive(Row)]
#[row(table = "hashed")]
struct Hashed<'a> {
    digest: Option<Hex<'a>>,
    length: i64,
}

/// A record's value says what becomes of it: `null…`, `md5…`, `refuse…`, or a row with its SHA-256.
struct Hasher;

impl Transform for Hasher {
    const ABOUT: &'static str = "For this test.";
    type Config = Config;

    fn configure(_: Config, plan: &mut Plan) -> Result<Self, String> {
        plan.table::<Hashed>();
        Ok(Self)
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let text = record.text()?;
        let algorithm = if text.starts_with("md5") { Algorithm::Md5 } else { Algorithm::Sha256 };
        let digest = (!text.starts_with("null")).then(|| Hex::new(algorithm, text));
        out.row(&Hashed { digest, length: text.len() as i64 });
        if text.starts_with("refuse") {
            out.row(&Hashed { digest, length: 0 });
            return Err(Failure::reject("refused", "as asked"));
        }
        Ok(())
    }
}

fn digest(algorithm: Algorithm, text: &str) -> String {
    let mut values = Values::default();
    values.push(text);
    digest_many(algorithm, &values).get(0).unwrap().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check(texts: &[String]) {
    let records: Vec<TestRecord> = texts.iter().map(|text| TestRecord::text(text.as_str())).collect();
    let caused = testing::run::<Hasher>("{}", &records).unwrap();
    for (caused, text) in caused.iter().zip(texts) {
        let expected = match &text[..3] {
            "ref" => None,
            "nul" => Some(Value::Null),
            "md5" => Some(digest(Algorithm::Md5, text).into()),
            _ => Some(digest(Algorithm::Sha256, text).into()),
        };
        let found: Vec<&Value> = caused.rows.iter().map(|row| &row.columns["digest"]).collect();
        assert_eq!(found, expected.iter().collect::<Vec<_>>(), "{}", &text[..8]);
    }
}

#[test]
fn digests_stand_in_their_rows() {
    check(&["refuse at once", "sha one", "sha two", "md5 one", "null here", "sha three"].map(String::from));
    check(
        &["sha one", "refuse behind", "null here", "refuse again", "md5 one", "refuse last"]
            .map(String::from),
    );
    check(&["null one", "null two"].map(String::from));
}

#[test]
fn many_and_large_values_are_done_in_parts() {
    let texts: Vec<String> = (0..1_000)
        .map(|n| {
            let kind = ["sha", "sha", "refuse", "sha", "null"][n % 5];
            format!("{kind} {n:08} {}", "x".repeat(if n % 97 == 0 { 300_000 } else { 700 }))
        })
        .collect();
    check(&texts);
}

gristmill_sdk::export!(Hasher);
