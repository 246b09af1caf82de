//! Specs with random faults: whatever is written, it is read or refused with a place in the text.

use super::*;
use proptest::prelude::*;

const WHOLE: &str = include_str!("../../../examples/city-orders/pipeline.toml");

/// What a fault may put in: words that mean something here, and what people mistype.
const PIECES: [&str; 40] = [
    "",
    "\n",
    "\"",
    "'",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ",",
    ".",
    "#",
    "-1",
    "0",
    "4294967296",
    "1e9",
    "nan",
    "true",
    "\"\"",
    "\"{}\"",
    "\"ö\"",
    "\"\\u0000\"",
    "'''",
    "\"/\"",
    "[[table]]",
    "[[stage]]",
    "[[output]]",
    "[[http]]",
    "[[lookup]]",
    "[limits]",
    "[retry]",
    "[mail]",
    "[dead_letters]",
    "key = []",
    "name = 1",
    "type = \"numeric(1000,-1)\"",
    "mode = \"once\"",
    "columns = [{}]",
];

#[derive(Clone, Debug)]
struct Change {
    at: prop::sample::Index,
    remove: usize,
    insert: String,
}

fn change() -> impl Strategy<Value = Change> {
    let insert = prop_oneof![prop::sample::select(PIECES.to_vec()).prop_map(str::to_owned), "\\PC{0,8}"];
    (any::<prop::sample::Index>(), 0..12_usize, insert).prop_map(|(at, remove, insert)| Change {
        at,
        remove,
        insert,
    })
}

fn changed(changes: &[Change]) -> String {
    let mut text: Vec<char> = WHOLE.chars().collect();
    for change in changes {
        let start = change.at.index(text.len() + 1);
        let end = (start + change.remove).min(text.len());
        text.splice(start..end, change.insert.chars());
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_text_is_read_or_refused_with_its_place(changes in prop::collection::vec(change(), 1..5)) {
        let text = changed(&changes);
        let lines = text.split('\n').count();
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/city-orders"));
        if let Err(error) = Spec::parse("pipeline.toml", text, folder) {
            prop_assert!(!error.issues.is_empty());
            for issue in &error.issues {
                let (line, _) = error.place(issue);
                prop_assert!(line <= lines && !issue.message.is_empty());
            }
            prop_assert!(error.to_string().starts_with("pipeline.toml:"));
        }
    }
}
