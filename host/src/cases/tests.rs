//! Comparing without a guest: which effects are each other's counterparts, and what is told.

use super::case::Case;
use super::caused::{Breach, Caused};
use super::compare::{compare, only_named};
use super::expected::{self, Entry, Expected, Group, Groups};
use super::value::Value;
use super::*;

fn case(head: &str, expected: &str) -> Case {
    let records = "{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
    let files = [("c/case.toml", head), ("c/input.ndjson", records), ("c/expected.json", expected)];
    let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()));
    Case::read(&Cases::from_bundle(files.into()).unwrap(), "c", false).unwrap()
}

/// Rows of `t` with a column `n`: each record's numbers.
fn rows(rows: &[(u32, i64)]) -> Groups<Value> {
    let entry = |(record, n): &(u32, i64)| Entry {
        record: *record,
        fields: vec![("n".to_owned(), Value::Int(*n)), ("empty".to_owned(), Value::Null)],
    };
    [(Group::Rows("t".to_owned()), rows.iter().map(entry).collect())].into()
}

fn expecting(rows: &[(u32, i64)]) -> String {
    let row = |(record, n): &(u32, i64)| format!(r#"{{"record": {record}, "columns": {{"n": {n}}}}}"#);
    format!(r#"{{"rows": {{"t": [{}]}}}}"#, rows.iter().map(row).collect::<Vec<_>>().join(","))
}

/// The differences as lines: record, field, expected, got.
fn differences(head: &str, expected: &str, got: Groups<Value>) -> Vec<String> {
    let case = case(head, expected);
    let caused = Caused::Effects(got, Vec::new());
    let found = compare(&case, case.expected.as_ref().unwrap(), &caused, None);
    let line = |one: Difference| {
        let field = one.field.unwrap_or_default();
        format!(
            "{}:{} {field} {} | {}",
            one.record.unwrap_or(99),
            one.line.unwrap_or(99),
            one.expected,
            one.got
        )
    };
    found.into_iter().map(line).collect()
}

#[test]
fn effects_are_compared_with_their_counterparts() {
    let compare =
        |expected: &[(u32, i64)], got: &[(u32, i64)]| differences("", &expecting(expected), rows(got));
    assert!(compare(&[(0, 1), (1, 2)], &[(0, 1), (1, 2)]).is_empty(), "what is not named is NULL");
    assert_eq!(compare(&[(0, 1)], &[(0, 5)]), ["0:1 n 1 | 5"]);
    assert_eq!(compare(&[(1, 2)], &[]), [r#"1:2  a row { "n": 2 } | nothing"#]);
    let missing = compare(&[(0, 1), (0, 2), (0, 3)], &[(0, 2), (0, 3)]);
    assert_eq!(
        missing,
        [r#"0:1  a row { "n": 1 } | nothing"#],
        "one that is missing does not shift the others"
    );
    let extra = compare(&[(0, 1), (0, 3)], &[(0, 1), (0, 2), (0, 3)]);
    assert_eq!(extra, [r#"0:1  nothing | a row { "record": 0, "columns": { "n": 2, "empty": null } }"#]);
}

#[test]
fn only_what_is_named_is_compared_if_that_is_asked_for() {
    let head = "compare = \"named\"";
    let got = || rows(&[(0, 1), (1, 2)]);
    assert!(differences(head, "{}", got()).is_empty());
    assert!(differences(head, &expecting(&[(1, 2)]), got()).is_empty());
    assert_eq!(differences(head, &expecting(&[(1, 3)]), got()), ["1:2 n 3 | 2"]);
    assert_eq!(differences(head, r#"{"rows": {"t": []}}"#, got()).len(), 2);
    assert!(differences(head, r#"{"rows": {"u": []}, "mails": []}"#, got()).is_empty());
}

#[test]
fn blessing_keeps_what_is_named() {
    let expected = r#"{"rows": {"t": [{"record": 1, "columns": {"n": 9}}], "u": []}}"#;
    let case = case("compare = \"named\"", expected);
    let Some(Expected::Effects(named)) = &case.expected else { panic!() };
    let kept = expected::file(&only_named(named, &rows(&[(0, 1), (1, 2)])));
    assert_eq!(kept.line(), r#"{ "rows": { "t": [{ "record": 1, "columns": { "n": 2 } }], "u": [] } }"#);
}

#[test]
fn differences_are_bounded() {
    let many: Vec<(u32, i64)> = (0..500).map(|n| (0, n)).collect();
    let found = differences("", "{}", rows(&many));
    assert_eq!(found.len(), 101);
    assert!(found[100].ends_with("400 more differences"), "{}", found[100]);
    let long: Groups<Value> = [(
        Group::Rows("t".to_owned()),
        vec![Entry { record: 0, fields: vec![("n".to_owned(), Value::Text("x".repeat(1 << 20)))] }],
    )]
    .into();
    assert!(differences("", "{}", long)[0].len() < 5_000);
}

#[test]
fn a_null_that_the_plan_rules_out_fails() {
    let case = case("", &expecting(&[(0, 1)]));
    let breach = Breach { record: 0, table: "t".to_owned(), column: "empty".to_owned() };
    let caused = Caused::Effects(rows(&[(0, 1)]), vec![breach]);
    let found = compare(&case, case.expected.as_ref().unwrap(), &caused, None);
    assert!(found[0].expected.starts_with("not NULL") && found.len() == 1, "{found:?}");
}
