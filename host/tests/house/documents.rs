//! What the documents say can be typed is typed here.

use crate::city::repository;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

fn read(document: &str) -> String {
    std::fs::read_to_string(repository().join(document)).unwrap()
}

fn gristmill(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gristmill")).args(arguments).output().unwrap()
}

/// The commands of a document: what stands in backticks or on an indented line of its own and begins with
/// `gristmill`, without its comment.
fn commands(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2).filter(|code| !code.contains('\n'));
    let indented = text.lines().filter(|line| line.starts_with("    ")).map(str::trim);
    let named = quoted.chain(indented).filter(|line| line.starts_with("gristmill "));
    named.map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect()
}

/// A synopsis as something that can be typed: what is optional is given, and the first of alternatives taken.
fn typed(command: &str) -> Vec<String> {
    let words = command.replace(['[', ']'], " ").replace('…', "");
    words.split_whitespace().skip(1).map(|word| word.split('|').next().unwrap().to_owned()).collect()
}

#[test]
fn every_command_that_a_document_names_is_understood() {
    let documents = ["README.md", "ARCHITECTURE.md", "docs/cases.md", "docs/operations.md", "docs/spec.md"];
    let examples = ["examples/city-orders/README.md", "guests/README.md"];
    let mut seen = 0;
    for document in documents.into_iter().chain(examples) {
        for command in commands(&read(document)) {
            let mut words = typed(&command);
            // Whatever is wrong before it is told first.
            words.push("--help".to_owned());
            let words: Vec<&str> = words
                .iter()
                .map(|word| if ["N", "P", "ID"].contains(&word.as_str()) { "1" } else { word })
                .collect();
            let output = gristmill(&words);
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{document}: `{command}`: {error}");
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} commands were found");
}

/// The subcommands that `--help` lists.
fn subcommands(of: &[&str]) -> Vec<String> {
    let output = gristmill(&[of, &["--help"]].concat());
    let help = String::from_utf8(output.stdout).unwrap();
    let Some((_, list)) = help.split_once("Commands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let names =
        lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn operations_names_every_command() {
    let text = read("docs/operations.md");
    let top = subcommands(&[]);
    assert!(top.len() >= 6, "{top:?}");
    for command in &top {
        let below = subcommands(&[command]);
        assert!(text.contains(&format!("gristmill {command}")), "gristmill {command}");
        for below in below {
            let whole = format!("gristmill {command} {below}");
            let short = format!("`{below} ");
            assert!(text.contains(&whole) || text.contains(&short), "{whole} is not in docs/operations.md");
        }
    }
}

/// The commands of README's "Try it", each with the comment above it.
fn curls() -> Vec<String> {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("## Try it").unwrap();
    let (section, _) = rest.split_once("\n## ").unwrap();
    let mut curls: Vec<String> = Vec::new();
    for line in section.lines().filter_map(|line| line.strip_prefix("    ")) {
        if line.starts_with("curl") {
            curls.push(line.to_owned());
        } else if let (true, Some(last)) = (line.starts_with(' '), curls.last_mut()) {
            last.push('\n');
            last.push_str(line);
        }
    }
    curls
}

/// `gristmill demo --serve` in a folder of its own: what `cargo xtask demo --serve` becomes.
struct Demo {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Demo {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gristmill"))
            .args(["demo", "examples/city-orders", "--serve"])
            .current_dir(repository())
            .env("GRISTMILL_DATA", folder.path().join("demo"))
            .env("GRISTMILL_LISTEN", "127.0.0.1:0")
            .env("GRISTMILL_MODULES", crate::sandbox::modules())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("serving http://")?;
            rest.split(' ').next().map(str::to_owned)
        });
        let address = serving.expect("the demo serves");
        // Whatever it still says must not block it.
        std::thread::spawn(move || lines.for_each(drop));
        Demo { child, address, _folder: folder }
    }

    fn curl(&self, command: &str) -> String {
        let command = command.replace("127.0.0.1:7171", &self.address);
        let output = Command::new("bash").args(["-c", &command]).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_readmes_requests_work_as_printed() {
    let curls = curls();
    let [order, no_order, row, filtered, letters, pipeline, metrics, paths] = &curls[..] else {
        panic!("{curls:#?}")
    };
    let demo = Demo::start();
    let json = |command: &str| -> Value {
        let answer = demo.curl(command);
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{command}: {error}: {answer}"))
    };
    assert!(demo.curl(order).starts_with("HTTP/1.1 202"), "{order}");
    let refused = demo.curl(no_order);
    assert!(refused.starts_with("HTTP/1.1 422") && refused.contains("/order_id"), "{refused}");
    let start = std::time::Instant::now();
    let found = loop {
        let found = json(row);
        if found["rows"].as_array().is_some_and(|rows| !rows.is_empty()) {
            break found;
        }
        assert!(start.elapsed().as_secs() < 90, "the row of the order does not come");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert_eq!(found["rows"][0]["city"], "New York");
    let filtered = json(filtered);
    assert_eq!(filtered["rows"].as_array().unwrap().len(), 2);
    assert!(filtered["rows"].as_array().unwrap().iter().all(|row| row["quantity"].as_i64() >= Some(30)));
    let letters = json(letters);
    assert_eq!(letters["dead_letters"].as_array().map(Vec::len), Some(3), "{letters:#}");
    assert_eq!(json(pipeline)["state"], "running");
    assert!(demo.curl(metrics).contains("gristmill_ingest_records_total"));
    assert!(json(paths)["paths"]["/orders"]["post"].is_object());
}
