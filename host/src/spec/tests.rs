use super::*;
use std::collections::BTreeMap;

const MINIMAL: &str = r#"version = 1
name = "p"
[source]
topic = "in"
[[stage]]
name = "only"
module = "route"
[[table]]
name = "items"
mode = "first-wins"
key = ["id"]
columns = [{ name = "id", type = "bigint" }, { name = "note", type = "text", nullable = true }]
"#;

fn parse(text: &str) -> Result<Spec, Error> {
    Spec::parse("pipeline.toml", text.to_owned(), Path::new("."))
}

#[test]
fn a_minimal_spec_is_read_with_its_defaults() {
    let spec = parse(MINIMAL).unwrap();
    assert_eq!(spec.tables[0].mode, Mode::FirstWins);
    assert_eq!(spec.stages[0].config, "{}");
    assert_eq!(spec.limits.batch_records_max, 2_000);
    assert!(!spec.publishes());
}

/// A change of the minimal spec, and what its error must begin with (file, line, column) and contain.
#[track_caller]
fn refused(from: &str, to: &str, place: &str, part: &str) {
    let text = if from.is_empty() { format!("{MINIMAL}{to}\n") } else { MINIMAL.replace(from, to) };
    let error = parse(&text).unwrap_err().to_string();
    assert!(error.starts_with(place), "{error}");
    assert!(error.contains(part), "{error}");
}

#[test]
fn every_error_names_line_and_key() {
    refused("name = \"p\"", "nam = \"p\"", "pipeline.toml:2:1: ", "unknown key `nam`; did you mean `name`?");
    refused(
        "type = \"bigint\"",
        "type = \"bigit\"",
        "pipeline.toml:12:",
        "table[0].columns[0].type: unknown type `bigit`; did you mean `bigint`?",
    );
    refused("[\"id\"]", "[\"ids\"]", "pipeline.toml:11:7: ", "there is no column `ids`; did you mean `id`?");
    refused("first-wins", "first-win", "pipeline.toml:10:8: ", "did you mean `first-wins`?");
    refused("version = 1", "version = 2", "pipeline.toml:1:11: ", "reads specs of version 1");
    refused("topic = \"in\"", "topic = \"i n\"", "pipeline.toml:4:9: ", "not a legal topic name");
    refused("[source]\ntopic = \"in\"", "", "pipeline.toml:", "missing key `source`");
    refused("", "[[output]]\nname = \"next\"\ntopic = \"x\"", "pipeline.toml:14:8: ", "cannot be declared");
    refused("", "[limits]\nbatch_records_max = 0", "pipeline.toml:14:21: ", "at least 1");
    refused(
        "",
        "[limits]\nbatch_record_max = 1",
        "pipeline.toml:14:1: ",
        "did you mean `batch_records_max`?",
    );
    refused("", "[mail]\nfrom = \"nobody\"", "pipeline.toml:14:8: ", "not a mail address");
    refused(
        "",
        "[[http]]\nmethod = \"GET\"\npath = \"/v1/x\"\ntable = \"items\"",
        "pipeline.toml:15:8: ",
        "the host's own",
    );
    refused(
        "",
        "[[http]]\nmethod = \"GET\"\npath = \"/x\"\ntable = \"item\"",
        "pipeline.toml:16:9: ",
        "did you mean `items`?",
    );
    refused("", "[[http]]\nmethod = \"PUT\"\npath = \"/x\"", "pipeline.toml:14:10: ", "\"GET\" or \"POST\"");
    refused(
        "module = \"route\"",
        "module = \"route\"\nconfig_file = \"none.json\"",
        "pipeline.toml:8:15: ",
        "cannot be read",
    );
    refused("mode = \"first-wins\"", "mode = \"sum\"", "pipeline.toml:8:1: ", "needs `sum");
    refused(
        "mode = \"first-wins\"",
        "mode = \"first-wins\"\ncounted_by = [{ name = \"e\", type = \"bigint\" }]",
        "pipeline.toml:11:14: ",
        "goes with mode = \"sum\" only",
    );
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = MINIMAL.replace("bigint", "bigit").replace("topic = \"in\"", "topic = \"\"");
    assert_eq!(parse(&text).unwrap_err().issues.len(), 2);
}

#[test]
fn delays_grow_and_stay_bounded() {
    let retry = Retry { attempts_max: 9, delay_ms_first: 100, delay_ms_max: 1_000 };
    let delays: Vec<u64> = (1..=6).map(|attempts| retry.delay_ms(attempts)).collect();
    assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000]);
    assert_eq!(retry.delay_ms(u32::MAX), 1_000);
}

#[test]
fn a_spec_of_the_catalog_brings_its_files_and_takes_no_module_from_one() {
    let text = |module: &str| {
        format!(
            "version = 1\nname = \"p\"\n[source]\ntopic = \"t\"\n[[stage]]\nname = \"s\"\nmodule = \"{module}\"\n\
             config_file = \"s.toml\"\n"
        )
    };
    let files =
        BTreeMap::from([("s.toml".to_owned(), "a = 1\n".to_owned()), ("other".to_owned(), String::new())]);
    let spec = Spec::of_catalog("p", text("m@1"), &files).unwrap();
    assert_eq!(spec.stages[0].config, r#"{"a":1}"#);
    assert_eq!(spec.files.keys().collect::<Vec<_>>(), ["s.toml"], "only what it names");
    assert_eq!(spec.folder, None);
    let error = Spec::of_catalog("p", text("m@1"), &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("s.toml did not come with the spec"), "{error}");
    for module in ["m.wasm", "../m.wasm", "modules/m"] {
        let error = Spec::of_catalog("p", text(module), &files).unwrap_err().to_string();
        assert!(error.contains("p:7:10: stage[0].module: ") && error.contains("`m@VERSION`"), "{error}");
    }
}
