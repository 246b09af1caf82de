//! A batch, record by record.

use crate::crimes;
use crate::effects::Items;
use crate::mode;
use crate::request::{self, Request};
use gristmill_sdk::bindings::gristmill::transform::types::{Batch, Effects, Verdict};

/// What a record can have done outside of the sandbox.
pub(crate) trait Host {
    fn look_up(&self, key: &str) -> Option<Vec<u8>>;
    fn sha256(&self, value: &[u8]) -> Vec<u8>;
}

/// The effects of a batch. Misdeeds that concern the effects are done when all records are through.
pub(crate) fn apply(batch: &Batch, config: &Request, host: &impl Host) -> Result<Effects, String> {
    let mut items = Items::default();
    let mut spoils = Vec::new();
    for (index, input) in (0..batch.offsets.len()).zip(0..) {
        let Some(asked) = request::of_record(batch, index, config) else {
            items.fail(input, Verdict::Reject, "invalid-json", None, "not an object with the right fields");
            continue;
        };
        let mut deed = asked.deed.clone().unwrap_or_default();
        match mode::letter("stamp") {
            b'R' => deed = "reject".to_owned(),
            b'T' => deed = "trap".to_owned(),
            _ => {}
        }
        if !crimes::during(&deed, input, &mut items)? {
            add(
                stamped(asked, config),
                &deed,
                input,
                request::value(batch, index).unwrap_or_default(),
                host,
                &mut items,
            );
            spoils.push((deed, input));
        }
    }
    let mut effects = items.into_effects();
    for (deed, input) in spoils {
        crimes::spoil(&deed, input, &mut effects);
    }
    Ok(effects)
}

/// A stamped module writes its letter, and its configuration's note, before each note.
fn stamped(mut asked: Request, config: &Request) -> Request {
    let letter = mode::letter("stamp");
    if letter != b'.' {
        let before = config.note.as_deref().unwrap_or_default();
        asked.note = Some(format!("{}{before}{}", char::from(letter), asked.note.unwrap_or_default()));
    }
    asked
}

fn add(asked: Request, deed: &str, input: u32, value: &[u8], host: &impl Host, items: &mut Items) {
    let Some(id) = asked.id else {
        return items.fail(input, Verdict::Reject, "missing-field", Some("/id"), "an item needs an id");
    };
    let note = match deed {
        "lookup" => {
            let key = asked.key.unwrap_or_else(|| id.to_string());
            host.look_up(&key).map(|answer| String::from_utf8_lossy(&answer).into_owned())
        }
        "hash" => Some(host.sha256(value).iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => asked.note,
    };
    items.row(input, id, note);
    if asked.to.is_some() {
        items.send(input, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill_sdk::bindings::gristmill::transform::types::{Blobs, ColumnValues, Texts};

    struct Nobody;

    impl Host for Nobody {
        fn look_up(&self, key: &str) -> Option<Vec<u8>> {
            (key == "known").then(|| b"answer".to_vec())
        }
        fn sha256(&self, value: &[u8]) -> Vec<u8> {
            vec![u8::try_from(value.len()).unwrap()]
        }
    }

    fn effects(values: &[&str]) -> Result<Effects, String> {
        let mut blobs = Blobs { data: Vec::new(), ends: Vec::new() };
        for value in values {
            blobs.data.extend_from_slice(value.as_bytes());
            blobs.ends.push(u32::try_from(blobs.data.len()).unwrap());
        }
        let count = values.len();
        let batch = Batch {
            topic: "t".to_owned(),
            partition: 0,
            offsets: vec![0; count],
            timestamps_ms: vec![0; count],
            keys: Blobs { data: Vec::new(), ends: vec![0; count] },
            no_key: Vec::new(),
            values: blobs,
            no_value: Vec::new(),
            headers: Vec::new(),
        };
        apply(&batch, &Request::default(), &Nobody)
    }

    fn notes(effects: &Effects) -> (&str, &[u32]) {
        let column = &effects.rows[0].columns[1];
        match &column.values {
            ColumnValues::Text(Texts::Packed(texts)) => (&texts.data, &column.nulls),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn plain_items() {
        let effects = effects(&[r#"{"id": 1, "note": "a", "to": true}"#, "{", "{}", r#"{"id": 2}"#]).unwrap();
        assert_eq!(effects.rows[0].inputs, [0, 3]);
        assert_eq!(notes(&effects), ("a", &[1][..]));
        assert_eq!(effects.messages[0].inputs, [0]);
        assert_eq!(effects.failures.iter().map(|failure| failure.input).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn through_the_host() {
        let values = [
            r#"{"id": 1, "do": "lookup", "key": "known"}"#,
            r#"{"id":2,"do":"hash"}"#,
            r#"{"id": 3, "do": "lookup"}"#,
        ];
        assert_eq!(notes(&effects(&values).unwrap()), ("answer14", &[2][..]));
    }

    #[test]
    fn garbage_is_garbage() {
        let spoiled = |deed: &str| {
            effects(&[
                r#"{"id": 1, "note": "abc"}"#,
                &format!(r#"{{"id": 2, "note": "de", "do": "{deed}"}}"#),
            ])
            .unwrap()
        };
        let good = spoiled("nothing");
        for deed in [
            "short-column",
            "unknown-table",
            "unknown-output",
            "next-unplanned",
            "mail-unplanned",
            "bad-index",
            "unsorted-inputs",
            "bad-ends",
            "ends-beyond",
            "ends-in-character",
            "gigabyte",
            "wrong-kind",
            "reject",
            "retry",
            "many-faults",
        ] {
            assert_ne!(spoiled(deed), good, "{deed}");
        }
        assert!(effects(&[r#"{"do": "error"}"#]).is_err());
    }
}
