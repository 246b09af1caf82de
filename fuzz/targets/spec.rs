//! The text of a spec: read, or refused with the place of what is wrong.
#![no_main]

use gristmill::spec::Spec;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    // The files that a spec names are looked for beside it.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/city-orders");
    let Err(error) = Spec::parse("pipeline.toml", text.to_owned(), &folder) else { return };
    assert!(!error.issues.is_empty());
    let lines = text.split('\n').count();
    for issue in &error.issues {
        assert!(error.place(issue).0 <= lines && !issue.message.is_empty(), "{issue:?}");
    }
    assert!(error.to_string().starts_with("pipeline.toml:"));
});
