//! The invariants of ARCHITECTURE.md that can be read off the sources, and the documents that must stay true.

mod documents;

use crate::city::repository;
use std::path::{Path, PathBuf};

fn sources() -> PathBuf {
    repository().join("host/src")
}

/// All Rust files below a path, with their code: comments are left out.
fn code(below: &str) -> Vec<(PathBuf, String)> {
    fn collect(path: &Path, files: &mut Vec<PathBuf>) {
        if path.is_file() {
            files.push(path.to_owned());
            return;
        }
        for entry in std::fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    }
    let mut files = Vec::new();
    collect(&sources().join(below), &mut files);
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    assert!(!files.is_empty(), "{below}");
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (file, lines.join("\n"))
    };
    files.into_iter().map(read).collect()
}

/// No file below these paths has any of these words in its code.
#[track_caller]
fn absent(paths: &[&str], words: &[&str]) {
    for (file, text) in paths.iter().flat_map(|path| code(path)) {
        for word in words {
            assert!(!text.contains(word), "{} names `{word}`", file.display());
        }
    }
}

#[test]
fn pure_core() {
    let pure = [
        "spec",
        "guarantee.rs",
        "record.rs",
        "effect.rs",
        "topic_name.rs",
        "access.rs",
        "publish/outbox.rs",
        "publish/ledgers.rs",
        "store/fold.rs",
        "store/satellite.rs",
        "store/settle.rs",
    ];
    absent(&pure, &["tokio", "rdkafka", "sqlx", "redis::", "axum", "wasmtime"]);
}

#[test]
fn one_way() {
    let steps = ["log", "transform", "lookup", "store", "publish", "mail", "lane"];
    absent(&steps, &["crate::pipeline", "crate::host", "crate::cli", "crate::control", "crate::config"]);
    absent(&["record.rs"], &["crate::"]);
    absent(&["transform", "lookup", "mail", "store"], &["crate::lane"]);
}

#[test]
fn one_knows_all() {
    let parts = ["crate::log", "crate::store", "crate::transform", "crate::lane"];
    for (file, text) in code("") {
        let knows = parts.iter().filter(|part| text.contains(**part)).count();
        let name = file.strip_prefix(sources()).unwrap().display().to_string();
        if knows == parts.len() {
            assert!(
                name == "pipeline.rs" || name.starts_with("host/"),
                "{name} knows log, store, transform and lane"
            );
        }
    }
}

#[test]
fn no_panics_and_no_unsafe() {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    for lint in ["unwrap_used", "expect_used", "panic", "indexing_slicing", "todo"] {
        assert!(manifest.contains(&format!("{lint} = \"warn\"")), "{lint}");
    }
    assert!(manifest.contains("unsafe_code = \"deny\""));
    for (file, text) in code("") {
        let name = file.display().to_string();
        // Generated; and what looks for faults, which the program is built without.
        let own = !name.ends_with("transform/bindings.rs") && !name.ends_with("/fuzzing.rs");
        for lint in
            ["clippy::unwrap_used", "clippy::expect_used", "clippy::panic", "clippy::indexing_slicing"]
        {
            assert!(!own || !text.contains(lint), "{name} lifts {lint}");
        }
        let may =
            ["cache.rs", "compiler.rs", "instance.rs", "interrupt.rs", "watchdog.rs", "stoppable/tests.rs"];
        assert!(
            may.iter().any(|file| name.ends_with(&format!("transform/{file}"))) || !text.contains("unsafe {"),
            "{name} has unsafe code"
        );
    }
}

#[test]
fn never_cancelled() {
    // Where a store transaction runs, nothing can end the future half-way.
    absent(&["store/commit.rs", "store/shared.rs"], &["select!", ".abort()"]);
}

#[test]
fn at_most_two_ahead() {
    let lane: String = code("lane/mod.rs").into_iter().map(|(_, text)| text).collect();
    assert!(lane.contains("(to_commit, committing) = std::sync::mpsc::sync_channel(0)"));
    assert!(lane.contains("(to_publish, publishing) = std::sync::mpsc::sync_channel(0)"));
}

/// The routes that the sources of `control/` add by a literal path, each with its methods.
fn own_routes() -> Vec<(String, &'static str)> {
    let sources: String = code("control").into_iter().map(|(_, text)| text).collect();
    let mut found = Vec::new();
    for part in sources.split(".route(").skip(1) {
        let Some((path, rest)) = part.trim_start().strip_prefix('"').and_then(|part| part.split_once('"'))
        else {
            continue;
        };
        let handlers = rest.split(';').next().unwrap();
        for (call, method) in
            [("get(", "GET"), ("post(", "POST"), ("put(", "PUT"), ("delete(", "DELETE"), ("patch(", "PATCH")]
        {
            if handlers.contains(call) {
                found.push((path.to_owned(), method));
            }
        }
        assert!(!handlers.contains("any("), "{path}: which methods does it answer?");
    }
    found
}

#[test]
fn every_route_has_a_rule() {
    use gristmill::control::auth::ruled;
    let routes = own_routes();
    assert!(routes.len() >= 14, "{routes:?}");
    for (path, method) in &routes {
        assert!(ruled(method, path), "{method} {path}: add a rule to host/src/control/auth/rules.rs");
    }
    assert!(!ruled("POST", "/v1/pipelines/{name}/unheard-of"));
    // Whoever adds routes in another way than by a literal path has to think of the rules too.
    let count = |way: &str| code("control").iter().map(|(_, text)| text.matches(way).count()).sum::<usize>();
    assert_eq!(count(".route(path,"), 0);
    assert_eq!(count(".fallback("), 1, "the specs' routes, and no others");
}

#[test]
fn tokens_are_compared_in_constant_time() {
    for (file, text) in code("control/auth") {
        let plainly = ["digest ==", "== digest", "digest !=", "digest.eq("];
        let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        assert!(plainly.iter().all(|way| !code.contains(way)), "{} compares digests plainly", file.display());
    }
    assert!(code("control/auth/known.rs")[0].1.contains("ct_eq"));
}

#[test]
fn operations_names_every_setting() {
    let text = std::fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    for variable in gristmill::config::ENVIRONMENT {
        assert!(text.contains(variable), "docs/operations.md does not tell of {variable}");
    }
}

#[test]
fn operations_names_every_metric_and_no_other() {
    let names = |text: &str, mark: char| -> std::collections::BTreeSet<String> {
        let quoted = text.split(mark).filter(|name| {
            let known = ["_total", "_seconds", "_records", "_lanes"].iter().any(|end| name.ends_with(end));
            known
                && name.starts_with("gristmill_")
                && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        });
        quoted.map(str::to_owned).collect()
    };
    let known =
        code("").iter().flat_map(|(_, text)| names(text, '"')).collect::<std::collections::BTreeSet<_>>();
    let told = names(&std::fs::read_to_string(repository().join("docs/operations.md")).unwrap(), '`');
    assert_eq!(known, told);
    assert!(known.len() > 12, "{known:?}");
}

/// The README's own pipeline is checked by the program that it is about.
#[test]
fn the_readmes_pipeline_is_whole() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Your pipeline\n").unwrap();
    let readme = section.split("\n## ").next().unwrap();
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [spec, route] = blocks[..] else { panic!("{} blocks of TOML", blocks.len()) };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pipeline.toml"), spec).unwrap();
    std::fs::write(folder.path().join("route.toml"), route).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .args(["check", "pipeline.toml"])
        .env("GRISTMILL_MODULES", crate::sandbox::modules())
        .current_dir(folder.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("rows of revenue") && printed.contains("exactly once"), "{printed}");
}

#[test]
fn wrong_use_exits_with_2_and_bad_settings_with_1() {
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_gristmill"))
            .args(arguments)
            .envs(variables.iter().copied())
            .env("GRISTMILL_DATA", folder.path().join("data"))
            .current_dir(folder.path())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(run(&["grind"], &[]).0, Some(2));
    assert_eq!(run(&["pipeline", "apply"], &[]).0, Some(2));
    assert_eq!(run(&["run", "--catalogue"], &[]).0, Some(2));
    assert_eq!(run(&["run", "no.toml"], &[]).0, Some(1));
    for (variable, value, part) in [
        ("GRISTMILL_STORE", "mysql://u:secret@h/d", "the store's address is not understood"),
        ("GRISTMILL_LOG", "amqp://u:secret@h", "is not kafka://host:port or journal:"),
        ("GRISTMILL_LOG", "journal:", ""),
        ("GRISTMILL_STORE_FILE", "/no/such/file", "GRISTMILL_STORE_FILE=/no/such/file: cannot be read"),
        ("GRISTMILL_SETTINGS", "/no/such/file", "settings file /no/such/file cannot be read"),
    ] {
        let (code, error) = run(&["dead-letter", "list"], &[(variable, value)]);
        assert!(error.contains(part), "{variable}={value}: {error}");
        assert!(!error.contains("secret"), "{error}");
        assert_eq!(code, Some(if part.is_empty() { 0 } else { 1 }), "{variable}={value}: {error}");
    }
}
