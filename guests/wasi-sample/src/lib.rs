//! Looks for what a WASI would give it, and writes down what it found: a test that WASI imports are linked and
//! grant nothing. Build it for `wasm32-wasip2`.

use gristmill_sdk::{Config, Failure, Out, Plan, Record, Row, Transform};
use serde::Deserialize;

#[derive(Deserialize)]
struct Item {
    id: i64,
}

#[derive(Row)]
#[row(table = "items")]
struct ItemRow {
    id: i64,
    note: Option<String>,
}

struct Look;

impl Transform for Look {
    const ABOUT: &'static str =
        "Looks for files and an environment, and writes down what it found. For tests of the host.";
    type Config = Config;

    fn configure(_: Config, plan: &mut Plan) -> Result<Self, String> {
        plan.table::<ItemRow>();
        Ok(Self)
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let Item { id } = record.json()?;
        println!("record {id} looks around");
        eprintln!("record {id} complains");
        out.row(&ItemRow { id, note: Some(found()) });
        Ok(())
    }
}

/// What is there, in the words that the host's test expects: see README.md.
fn found() -> String {
    let environment = std::env::vars_os().count();
    let arguments = std::env::args_os().count();
    let outcome = |result: std::io::Result<()>| if result.is_ok() { "opened" } else { "refused" };
    let file = outcome(std::fs::read("/etc/passwd").map(drop));
    let folder = outcome(std::fs::read_dir("/").map(drop));
    let written = outcome(std::fs::write("/tmp/gristmill-wasi-sample", "x"));
    let socket = outcome(std::net::TcpStream::connect(("127.0.0.1", 7171)).map(drop));
    format!(
        "env {environment}, args {arguments}, file {file}, folder {folder}, write {written}, socket {socket}"
    )
}

gristmill_sdk::export!(Look);
