//! A running host against its own OpenAPI document: schemathesis sends what the document allows and what it forbids.

use crate::city::{Set, Site};
use crate::modules::{misbehave, to};
use std::process::Command;

/// How many requests each operation gets in each phase at the most.
const EXAMPLES: &str = "25";

#[test]
fn schemathesis_finds_no_server_error_and_no_undocumented_answer() {
    let program = std::env::var("GRISTMILL_TEST_SCHEMATHESIS")
        .expect("GRISTMILL_TEST_SCHEMATHESIS names the program schemathesis: run `cargo xtask test`");
    let site = Site::acting_with("openapi", Set::Embedded, 2, &misbehave(&[("stamp", 'S')]));
    let mut host = site.host(None);
    host.wait_until_ready();
    // Something of each kind to find.
    host.must_push("stamp", "a", &misbehave(&[("stamp", 'A')]));
    let swap = host.must_swap(&site.name, "act", &to("a"));
    host.wait_for_swap(&site.name, swap);
    let output = Command::new(program)
        .arg("run")
        .arg(format!("http://{}/openapi.json", host.address))
        .args(["--header", &format!("Authorization: Bearer {}", site.token.as_ref().unwrap())])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
        .args(["--checks", "response_headers_conformance,response_schema_conformance"])
        // It would revoke the token that it asks with.
        .args(["--exclude-path-regex", "^/v1/tokens/"])
        .args(["--max-examples", EXAMPLES, "--seed", "1", "--no-color"])
        .current_dir(site.folder.path())
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{}", host.log());
    assert!(said.contains("passed"), "{said}");
    assert_eq!(host.terminate(), Some(0), "{}", host.log());
}
