//! Test cases of modules, run as `gristmill module test` and through the library: with modules that do what they
//! should, and with ones that do what no module may do.

mod first_module;

use crate::sandbox::modules;
use gristmill::cases::{self, Cases, Outcome, Report, Subject};
use gristmill::spec::Limits;
use gristmill::transform::Engine;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

static ENGINES: LazyLock<(Engine, Engine)> = LazyLock::new(|| {
    let cache = gristmill::config::Settings::default().cache_folder();
    (Engine::new(Some(&cache)).unwrap(), Engine::metered(Some(&cache)).unwrap())
});

fn module(name: &str) -> PathBuf {
    modules().join("test").join(format!("{name}.wasm"))
}

fn subject(name: &str) -> Subject {
    let (engine, meter) = &*ENGINES;
    Subject::compile(engine, meter, name, &std::fs::read(module(name)).unwrap()).unwrap()
}

/// Cases out of texts: `NAME/FILE` and what is in it.
fn bundle(files: &[(&str, &str)]) -> Cases {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    Cases::from_bundle(files.collect()).unwrap()
}

fn run(name: &str, files: &[(&str, &str)]) -> Report {
    let limits = Limits { guest_time_ms_max: 400, ..Limits::default() };
    cases::run(&subject(name), &bundle(files), &limits)
}

/// The one case of a module whose record is this, and whose expectations are these.
fn outcome(config: &str, record: &str, expected: &str) -> (Outcome, Report) {
    let input = format!("{{\"value\": {record}}}\n");
    let case = format!("config = {config}\n");
    let report = run(
        "misbehave",
        &[("c/case.toml", &case), ("c/input.ndjson", &input), ("c/expected.json", expected)],
    );
    (report.cases[0].outcome.clone(), report)
}

#[track_caller]
fn differs(outcome: &Outcome, part: &str) {
    let Outcome::Failed(differences) = outcome else { panic!("{outcome:?}") };
    assert!(differences.iter().any(|one| one.got.contains(part)), "{part}: {differences:#?}");
}

#[test]
fn a_case_tells_what_it_took() {
    let expected = r#"{"rows": {"items": [{"record": 0, "columns": {"id": 1, "note": null}}]}}"#;
    let (outcome, report) = outcome("{}", r#"{"id": 1}"#, expected);
    assert_eq!(outcome, Outcome::Passed);
    let case = &report.cases[0];
    assert!(
        case.records == 1 && case.fuel > 100 && case.time_us > 0 && case.memory_bytes >= 65_536,
        "{case:?}"
    );
    let again = self::outcome("{}", r#"{"id": 1}"#, expected).1;
    assert_eq!(again.cases[0].fuel, case.fuel, "fuel is the same each time");
    assert_eq!(again.cases[0].memory_bytes, case.memory_bytes);
}

#[test]
fn what_no_module_may_do_is_bounded_and_told() {
    for (what, part) in [
        ("loop", "stopped after 400 ms"),
        ("trap", "unreachable"),
        ("panic", "unreachable"),
        ("hog", "apply_trap"),
        ("recurse", "apply_trap"),
        ("gigabyte", "garbage"),
        ("short-column", "column `note`"),
        ("unknown-table", "unheard_of"),
        ("error", "misbehave was asked for an error"),
        ("lookup", "does not name the lookup"),
    ] {
        let (outcome, report) = outcome("{}", &format!(r#"{{"id": 1, "do": "{what}"}}"#), "{}");
        differs(&outcome, part);
        assert!(report.cases[0].memory_bytes <= Limits::GUEST_MEMORY_BYTES_MAX + (16 << 20), "{what}");
    }
    for what in ["trap", "panic", "loop", "hog", "recurse"] {
        let (outcome, _) = outcome(&format!("{{ do = \"configure-{what}\" }}"), r#"{"id": 1}"#, "{}");
        differs(&outcome, "its `configure`");
    }
}

#[test]
fn errors_traps_and_refused_configurations_can_be_expected() {
    let record = |what: &str| format!(r#"{{"id": 1, "do": "{what}"}}"#);
    for (config, record, expected) in [
        ("{}", record("error"), r#"{"apply_error": "asked for an error"}"#),
        ("{}", record("trap"), r#"{"apply_trap": "unreachable"}"#),
        (r#"{ do = "configure-error" }"#, record(""), r#"{"config_refused": "/do: "}"#),
    ] {
        assert_eq!(outcome(config, &record, expected).0, Outcome::Passed, "{expected}");
    }
    differs(&outcome("{}", &record("error"), r#"{"apply_error": "another"}"#).0, "asked for an error");
    differs(&outcome("{}", &record("error"), r#"{"apply_trap": ""}"#).0, "asked for an error");
    differs(&outcome("{}", &record(""), r#"{"config_refused": ""}"#).0, "1 effects");
    differs(&outcome("{}", &record("loop"), r#"{"apply_trap": ""}"#).0, "stopped after");
    let files = [("c/case.toml", ""), ("c/expected.json", r#"{"config_refused": ""}"#)];
    differs(&run("misbehave", &files).cases[0].outcome, "0 effects");
}

#[test]
fn lookups_are_answered_by_the_case() {
    let lookups = |declared: &str, expected: &str| {
        let case = format!("config = {{ do = \"lookup\" }}\n{declared}");
        let input = "{\"value\": {\"id\": 1, \"key\": \"u1\"}}\n{\"value\": {\"id\": 2, \"key\": \"u2\"}}\n";
        let files =
            [("c/case.toml", case.as_str()), ("c/input.ndjson", input), ("c/expected.json", expected)];
        run("misbehave", &files).cases[0].outcome.clone()
    };
    let rows = r#"{"rows": {"items": [{"record": 0, "columns": {"id": 1, "note": "Ann"}},
        {"record": 1, "columns": {"id": 2}}]}}"#;
    assert_eq!(
        lookups("[lookups.users]\nu1 = \"Ann\"", rows),
        Outcome::Passed,
        "a key without an answer is a miss"
    );
    differs(&lookups("", rows), "add [lookups.users]");
    let Outcome::Broken(message) = lookups("[lookups]\nusers = {}\nuser = {}", rows) else { panic!() };
    assert!(message.contains("lookup `user`") && message.contains("did you mean `users`"), "{message}");
}

#[test]
fn every_effect_can_be_said() {
    let case = "config = {}\ntopic = \"in\"\n[lookups.gate]\ngate = \"5\"\n";
    let input = concat!(
        r#"{"value": {"n":1,"claim":1,"bucket":0,"amount":4,"topic":"b","mail":true,"do":"plain"}}"#,
        "\n",
        r#"{"value": {"n":7,"claim":1,"bucket":0,"amount":4,"topic":"b","do":"gated"}}"#,
        "\n",
        r#"{"tombstone": true, "key": "k"}"#,
        "\n",
    );
    let expected = r#"{
      "rows": {
        "items": [{"record": 0, "columns": {"n": 1, "note": "plain"}}],
        "totals": [{"record": 0, "columns": {"bucket": 0, "amount": 4}}],
        "firsts": [{"record": 0, "columns": {"n": 1, "note": "b"}}],
        "claims": [{"record": 0, "columns": {"claim": 1, "amount": 4}}]
      },
      "messages": {
        "out": [{"record": 0, "key": "1", "headers": {"n": "1"}, "value":
          {"json": {"n": 1, "claim": 1, "bucket": 0, "amount": 4, "topic": "b", "mail": true, "do": "plain"}}}],
        "by-kind": [{"record": 0, "topic": "b", "key": "1", "value":
          "{\"n\":1,\"claim\":1,\"bucket\":0,\"amount\":4,\"topic\":\"b\",\"mail\":true,\"do\":\"plain\"}"}]
      },
      "mails": [{"record": 0, "to": ["1@chaos.example"], "subject": "record 1", "text": "amount 4"}],
      "failures": [
        {"record": 1, "verdict": "retry", "code": "gate-closed", "reason": "the gate is not open for this record"},
        {"record": 2, "code": "no-value", "reason": "the record has no value"}
      ]
    }"#;
    let files = |case: &'static str, expected: &'static str| {
        run(
            "every-effect",
            &[("c/case.toml", case), ("c/input.ndjson", input), ("c/expected.json", expected)],
        )
    };
    let report = files(case, expected);
    assert!(report.passed(), "{}", cases::text(&report));
    let named = "compare = \"named\"\n[lookups.gate]\ngate = \"5\"\n";
    for (expected, passes) in [
        (r#"{}"#, true),
        (r#"{"failures": [{"record": 1, "code": "gate-closed"}]}"#, true),
        (r#"{"failures": [{"record": 1, "verdict": "reject"}]}"#, false),
        (r#"{"failures": []}"#, false),
        (r#"{"rows": {"items": [{"record": 0, "columns": {"n": 1}}]}}"#, true),
        (r#"{"rows": {"items": [{"record": 0, "columns": {"n": 2}}]}}"#, false),
        (r#"{"rows": {"items": [{"record": 1, "columns": {}}]}}"#, false),
        (r#"{"rows": {"unheard_of": []}}"#, true),
        (r#"{"messages": {"out": [{"record": 0, "key": "1"}]}}"#, true),
        (r#"{"messages": {"out": [{"record": 0, "key": null}]}}"#, false),
    ] {
        let report = files(named, expected);
        assert_eq!(report.passed(), passes, "{expected}: {}", cases::text(&report));
    }
}

#[test]
fn what_is_not_the_same_each_time_fails() {
    let (other, subject) = (self::subject("every-effect"), self::subject("misbehave"));
    let subject = Subject { metered: other.metered, ..subject };
    let files = [
        ("c/case.toml", ""),
        ("c/input.ndjson", r#"{"value": {"id": 1}}"#),
        ("c/expected.json", r#"{"rows": {"items": [{"record": 0, "columns": {"id": 1}}]}}"#),
    ];
    let report = cases::run(&subject, &bundle(&files), &Limits::default());
    let Outcome::Failed(differences) = &report.cases[0].outcome else { panic!("{report:?}") };
    assert!(differences[0].place.starts_with("not repeatable"), "{differences:?}");
    let (_, written) = cases::bless(&subject, &bundle(&files), &Limits::default());
    assert!(written.is_empty());
}

fn gristmill(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gristmill")).args(arguments).current_dir(folder).output().unwrap()
}

fn test(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let path = module("misbehave");
    let output = gristmill(folder, &[&["module", "test", path.to_str().unwrap()], arguments].concat());
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

/// What is the same on every machine: without what a case took.
fn steady(text: &str) -> String {
    let took = |line: &str| line.contains(" fuel, ");
    let line = |line: &str| {
        line.split_once(" record").filter(|_| took(line)).map_or(line, |(before, _)| before).to_owned()
    };
    text.lines().map(|one| line(one) + "\n").collect()
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

const INPUT: &str = r#"{"value": {"id": 0, "note": "first\nsecond\nthird"}}
{"value": {"id": 1, "to": true}}

{"value": {}}
"#;

#[test]
fn a_failing_case_shows_what_differs_and_blessing_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("cases/differs/case.toml", "about = \"Nothing is as it should be.\""),
            ("cases/differs/input.ndjson", INPUT),
            (
                "cases/differs/expected.json",
                r#"{"rows": {"items": [{"record": 0, "columns": {"id": 7, "note": "first\nzwei\nthird"}}],
                    "item": [{"record": 1, "columns": {"id": 1}}]}, "messages": {"out": []}}"#,
            ),
            ("cases/new/case.toml", ""),
            ("cases/new/input.ndjson", "{\"value\": {\"id\": 5}}\n"),
        ],
    );
    let (code, text) = test(folder.path(), &[]);
    assert_eq!(code, 1, "{text}");
    assert_eq!(
        steady(&text),
        r#"FAILED  differs  3
    record 1 (input.ndjson:2), rows of item
        expected  a row { "id": 1 }
        got       nothing (the guest's plan names no table `item`; did you mean `items`?)
    record 0 (input.ndjson:1), rows of items, id
        expected  7
        got       0
    record 0 (input.ndjson:1), rows of items, note
          first
        - zwei
        + second
          third
    record 1 (input.ndjson:2), rows of items
        expected  nothing
        got       a row { "record": 1, "columns": { "id": 1, "note": null } }
    record 1 (input.ndjson:2), messages to out
        expected  nothing
        got       a message { "record": 1, "key": "1", "value": { "json": { "id": 1, "to": true } } }
    record 2 (input.ndjson:4), failures
        expected  nothing
        got       a failure { "record": 2, "verdict": "reject", "code": "missing-field", "pointer": "/id", "reason": "an item needs an id" }
BROKEN  new
    cases/new/expected.json: not there; write it, or have it written with --bless
2 cases: 0 passed, 1 failed, 1 broken
error: 2 of 2 cases did not pass
"#
    );
    let (code, text) = test(folder.path(), &["--filter", "new", "--bless"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1 passed") && text.contains("written: cases/new/expected.json"), "{text}");
    assert_eq!(test(folder.path(), &["--filter", "new"]).0, 0);
    assert_eq!(test(folder.path(), &["--filter", "none"]).0, 1);
    let (code, text) = test(folder.path(), &["--bless"]);
    assert_eq!(code, 0, "{text}");
    let written = std::fs::read_to_string(folder.path().join("cases/differs/expected.json")).unwrap();
    assert!(written.contains(r#"{ "record": 1, "columns": { "id": 1, "note": null } }"#), "{written}");
    let (code, text) = test(folder.path(), &["--bless"]);
    assert!(code == 0 && !text.contains("written"), "what passes is left as it is: {text}");
}

#[test]
fn traps_are_not_blessed_unless_one_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let trap = "{\"value\": {\"id\": 0, \"do\": \"trap\"}}";
    write(
        folder.path(),
        &[
            ("cases/a/case.toml", ""),
            ("cases/a/input.ndjson", trap),
            ("cases/b/case.toml", ""),
            ("cases/b/input.ndjson", trap),
            ("cases/b/expected.json", r#"{"apply_trap": "another one"}"#),
        ],
    );
    let (code, text) = test(folder.path(), &["--bless"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("BROKEN  a") && text.contains("passed  b"), "{text}");
    assert!(!folder.path().join("cases/a/expected.json").exists());
}

#[test]
fn programs_read_outcomes_as_json_and_junit() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("c/good/case.toml", ""),
            ("c/good/input.ndjson", "{\"value\": {}}"),
            (
                "c/good/expected.json",
                r#"{"failures": [{"record": 0, "code": "missing-field", "pointer": "/id", "reason": "an item needs an id"}]}"#,
            ),
            ("c/bad/case.toml", ""),
            ("c/bad/input.ndjson", "{\"value\": {\"id\": 1, \"note\": \"<&>\"}}"),
            ("c/bad/expected.json", "{}"),
            ("c/broken/case.toml", "compare = 1"),
        ],
    );
    let output = gristmill(
        folder.path(),
        &[
            "module",
            "test",
            module("misbehave").to_str().unwrap(),
            "--cases",
            "c",
            "--json",
            "--junit",
            "out.xml",
        ],
    );
    assert_eq!(output.status.code(), Some(1));
    let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(facts["passed"], false);
    let outcomes: Vec<&str> =
        facts["cases"].as_array().unwrap().iter().map(|case| case["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["failed", "broken", "passed"]);
    assert_eq!(facts["cases"][0]["why"][0]["place"], "rows of items");
    assert!(facts["cases"][1]["why"].as_str().unwrap().starts_with("c/broken/case.toml:1:11"), "{facts:#}");
    let xml = std::fs::read_to_string(folder.path().join("out.xml")).unwrap();
    assert!(xml.contains(r#"tests="3" failures="1" errors="1""#) && xml.contains("&lt;&amp;&gt;"), "{xml}");
}

#[test]
fn wrong_use_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output = gristmill(folder.path(), &[&["module"], arguments].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["test"]).0, 2);
    let (code, error) = run(&["test", "no.wasm"]);
    assert!(code == 1 && error.contains("cases: cannot be read"), "{error}");
    write(folder.path(), &[("cases/a/case.toml", ""), ("no.wasm", "no wasm")]);
    assert!(run(&["test", "none.wasm"]).1.contains("none.wasm cannot be read"));
    assert!(run(&["test", "no.wasm"]).1.contains("not WebAssembly"));
    for name in ["../x", "a b", "fn", "cases"] {
        let (code, error) = run(&["new", name]);
        assert_eq!(code, 1, "{name}: {error}");
    }
    assert!(!folder.path().join("cases/Cargo.toml").exists(), "what is there stays as it is");
    let (code, error) = run(&["build"]);
    assert!(code == 1 && error.contains("gristmill module new NAME"), "{error}");
}
