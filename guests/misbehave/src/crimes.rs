//! The misdeeds, by name. Those of `during` happen while a record is worked on; those of `spoil` make garbage
//! of the effects of the batch.

use crate::effects::{Items, messages};
use gristmill_sdk::bindings::gristmill::transform::types::{
    Column, ColumnValues, Effects, Mail, PackedTexts, Rows, Texts, Verdict,
};
use gristmill_sdk::log;

/// What happens at once. `true`: the record is dealt with, it becomes no item.
pub(crate) fn during(deed: &str, input: u32, items: &mut Items) -> Result<bool, String> {
    match deed {
        "trap" => trap(),
        "loop" => spin(),
        "hog" => hog(),
        "recurse" => {
            std::hint::black_box(recurse(u64::from(input)));
        }
        "panic" => complain(),
        "error" => return Err("misbehave was asked for an error".to_owned()),
        "log-flood" => flood(),
        "many-faults" => {
            for number in 0..1_000 {
                items.fail(input, Verdict::Reject, "fault", Some("/do"), &format!("fault number {number}"));
            }
            return Ok(true);
        }
        "retry" => {
            items.fail(input, Verdict::Retry, "not-yet", None, "misbehave was asked to have it tried again");
            return Ok(true);
        }
        "reject" => {
            items.fail(input, Verdict::Reject, "asked-for", Some("/do"), "misbehave was asked to refuse it");
            return Ok(true);
        }
        "bad-code" => {
            items.fail(
                input,
                Verdict::Reject,
                "no code: blanks, ümlauts, and far more than 64 characters of them",
                None,
                "",
            );
            return Ok(true);
        }
        _ => {}
    }
    Ok(false)
}

#[cfg(target_arch = "wasm32")]
fn trap() {
    core::arch::wasm32::unreachable();
}

#[cfg(not(target_arch = "wasm32"))]
fn trap() {
    std::process::abort();
}

fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

/// Touches each page, so that the memory is really had.
fn hog() {
    let mut had = Vec::new();
    loop {
        had.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

#[allow(unconditional_recursion, reason = "this is what it is for")]
fn recurse(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 16]);
    // The call must not be the last thing done: a loop would come of it.
    recurse(here.iter().sum::<u64>().wrapping_add(1)).wrapping_add(std::hint::black_box(depth))
}

#[allow(clippy::panic, reason = "this is what it is for")]
fn complain() {
    panic!("misbehave was asked to panic");
}

fn flood() {
    let line = "misbehave floods the log. ".repeat(40);
    for _ in 0..10_000 {
        log::info(&line);
    }
}

/// Makes garbage of the effects. Deeds that are none of these leave them as they are.
pub(crate) fn spoil(deed: &str, input: u32, effects: &mut Effects) {
    match deed {
        "short-column" => each_note(effects, |texts| {
            texts.ends.pop();
            let end = texts.ends.last().copied().unwrap_or(0);
            texts.data.truncate(end as usize);
        }),
        "unknown-table" => each_rows(effects, |rows| rows.table = "unheard_of".to_owned()),
        "unknown-output" => effects.messages.push(messages("unheard-of", &[(input, 1)])),
        "next-unplanned" => effects.messages.push(messages("next", &[(input, 1)])),
        "mail-unplanned" => effects.mails.push(Mail {
            input,
            to: vec!["nobody@gristmill.example".to_owned()],
            subject: "unplanned".to_owned(),
            text: String::new(),
            html: None,
        }),
        "bad-index" => each_rows(effects, |rows| {
            if let Some(last) = rows.inputs.last_mut() {
                *last = u32::MAX;
            }
        }),
        "unsorted-inputs" => unsorted(input, effects),
        "bad-ends" => each_note(effects, |texts| {
            let ends = texts.ends.len();
            texts.data = "x".repeat(ends);
            texts.ends = (0..ends).rev().map(crate::effects::narrow).collect();
        }),
        "ends-beyond" => each_note(effects, |texts| {
            if let Some(last) = texts.ends.last_mut() {
                *last += 1_000;
            }
        }),
        "ends-in-character" => each_note(effects, |texts| {
            let ends = texts.ends.len();
            texts.data = "ü".repeat(ends);
            texts.ends = (0..ends).map(|end| crate::effects::narrow(end * 2 + 1)).collect();
        }),
        "gigabyte" => effects.rows = vec![gigabyte(input)],
        "wrong-kind" => each_rows(effects, |rows| {
            for column in rows.columns.iter_mut().filter(|column| column.name == "id") {
                column.values = ColumnValues::Float(vec![0.5; rows.inputs.len()]);
            }
        }),
        _ => {}
    }
}

fn each_rows(effects: &mut Effects, mut spoil: impl FnMut(&mut Rows)) {
    effects.rows.iter_mut().for_each(&mut spoil);
}

fn each_note(effects: &mut Effects, mut spoil: impl FnMut(&mut PackedTexts)) {
    for column in effects.rows.iter_mut().flat_map(|rows| &mut rows.columns) {
        if let ColumnValues::Text(Texts::Packed(texts)) = &mut column.values {
            spoil(texts);
        }
    }
}

/// Two messages whose inputs go down: of the same record and of one before it, or, for the first record of a
/// batch, of one that may not exist.
fn unsorted(input: u32, effects: &mut Effects) {
    let (first, second) = if input == 0 { (1, 0) } else { (input, input - 1) };
    effects.messages.push(messages("out", &[(first, 1), (second, 2)]));
}

/// A gigabyte for the host, a megabyte here: one text, named by a thousand rows. Natively it stays at one.
fn gigabyte(input: u32) -> Rows {
    let notes: Vec<String> = aliases("x".repeat(1 << 20), 1_024);
    let ids = vec![0; notes.len()];
    Rows {
        table: "items".to_owned(),
        inputs: vec![input; notes.len()],
        columns: vec![
            Column { name: "id".to_owned(), values: ColumnValues::Int(ids), nulls: Vec::new() },
            Column {
                name: "note".to_owned(),
                values: ColumnValues::Text(Texts::Plain(notes)),
                nulls: Vec::new(),
            },
        ],
    }
}

#[cfg(not(target_family = "wasm"))]
fn aliases(text: String, _: usize) -> Vec<String> {
    vec![text]
}

#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "the misdeed itself: safe code cannot name one piece of memory twice")]
fn aliases(text: String, count: usize) -> Vec<String> {
    let mut text = std::mem::ManuallyDrop::new(text);
    let (start, length, capacity) = (text.as_mut_ptr(), text.len(), text.capacity());
    // SAFETY: none of them is written to. If the host takes them all, freeing them spoils this sandbox, which is
    // no more than it deserves.
    (0..count).map(|_| unsafe { String::from_raw_parts(start, length, capacity) }).collect()
}
