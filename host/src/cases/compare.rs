//! What differs between what a case expects and what the guest caused.

use super::case::{Case, Compare};
use super::caused::{Breach, Caused};
use super::expected::{APPLY_TRAP, CONFIG_REFUSED, Entry, Expected, Group, Groups, ending, shown};
use super::json::Json;
use super::value::Value;
use crate::spec::suggestion;
use crate::transform::{Fault, Shape, Unready};
use serde::Serialize;
use std::collections::BTreeSet;

/// Differences of one case that are told; the others are only counted.
const DIFFERENCES_MAX: usize = 100;
/// The longest value that is told whole, bytes.
const VALUE_BYTES_MAX: usize = 4_000;

/// Something that is not as a case expects it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The record that it is about, counted from 0; none if it is about the whole case.
    pub record: Option<u32>,
    /// The line of that record in `input.ndjson`.
    pub line: Option<usize>,
    /// What it is about: `rows of orders`.
    pub place: String,
    /// The column, or the part of a message, mail or failure; none if it is about a whole one.
    pub field: Option<String>,
    /// What is expected, as `expected.json` has it.
    pub expected: String,
    /// What there is.
    pub got: String,
}

impl Difference {
    /// A difference of the whole case.
    pub(super) fn whole(place: &str, expected: String, got: String) -> Self {
        Difference {
            record: None,
            line: None,
            place: place.to_owned(),
            field: None,
            expected: bounded(&expected),
            got: bounded(&got),
        }
    }
}

fn bounded(text: &str) -> String {
    match text.get(..text.floor_char_boundary(VALUE_BYTES_MAX)) {
        Some(cut) if cut.len() < text.len() => format!("{cut}… ({} bytes)", text.len()),
        _ => text.to_owned(),
    }
}

/// Compares how a case ended with how it should have. `shape` is what the guest announced, if it came to that.
pub(super) fn compare(
    case: &Case,
    expected: &Expected,
    caused: &Caused,
    shape: Option<&Shape>,
) -> Vec<Difference> {
    let says = |expected: &str, got: &str| got.contains(expected);
    let fits = match (expected, caused) {
        (Expected::Effects(expected), Caused::Effects(got, breaches)) => {
            let mut found = Found { case, differences: Vec::new(), more: 0, shape };
            found.breaches(breaches);
            match case.compare {
                Compare::Everything => found.everything(expected, got),
                Compare::Named => found.named(expected, got),
            }
            return found.into_differences();
        }
        (Expected::ConfigRefused(expected), Caused::Unready(Unready::Refused(got))) => says(expected, got),
        (Expected::ApplyError(expected), Caused::Fault(Fault::GaveUp(got)))
        | (Expected::ApplyTrap(expected), Caused::Fault(Fault::Trap(got))) => says(expected, got),
        _ => false,
    };
    if fits {
        return Vec::new();
    }
    let wanted = match expected {
        Expected::Effects(groups) => format!("{} effects", groups.values().map(Vec::len).sum::<usize>()),
        Expected::ConfigRefused(says) => ending(CONFIG_REFUSED, says).line(),
        Expected::ApplyError(says) => ending(super::expected::APPLY_ERROR, says).line(),
        Expected::ApplyTrap(says) => ending(APPLY_TRAP, says).line(),
    };
    vec![Difference::whole("the whole batch", wanted, caused.line())]
}

struct Found<'a> {
    case: &'a Case,
    differences: Vec<Difference>,
    /// How many there are beyond those that are told.
    more: usize,
    shape: Option<&'a Shape>,
}

impl Found<'_> {
    fn add(&mut self, record: u32, group: &Group, field: Option<&str>, expected: String, got: String) {
        if self.differences.len() >= DIFFERENCES_MAX {
            self.more += 1;
            return;
        }
        self.differences.push(Difference {
            record: Some(record),
            line: self.case.lines.get(record as usize).copied(),
            place: group.to_string(),
            field: field.map(str::to_owned),
            expected: bounded(&expected),
            got: bounded(&got),
        });
    }

    fn into_differences(self) -> Vec<Difference> {
        let Found { mut differences, more, .. } = self;
        if more > 0 {
            differences.push(Difference::whole(
                "and so on",
                String::new(),
                format!("{more} more differences"),
            ));
        }
        differences
    }

    fn breaches(&mut self, breaches: &[Breach]) {
        for Breach { record, table, column } in breaches {
            let group = Group::Rows(table.clone());
            let expected = "not NULL: the guest's own plan says so".to_owned();
            self.add(*record, &group, Some(column), expected, "null".to_owned());
        }
    }

    fn everything(&mut self, expected: &Groups<Json>, got: &Groups<Value>) {
        let groups: BTreeSet<&Group> = expected.keys().chain(got.keys()).collect();
        for group in groups {
            let expected = expected.get(group).map(Vec::as_slice).unwrap_or_default();
            let got = got.get(group).map(Vec::as_slice).unwrap_or_default();
            let records: BTreeSet<u32> = expected
                .iter()
                .map(|entry| entry.record)
                .chain(got.iter().map(|entry| entry.record))
                .collect();
            for record in records {
                self.of_record(group, record, expected, got);
            }
        }
    }

    fn named(&mut self, expected: &Groups<Json>, got: &Groups<Value>) {
        for (group, expected) in expected {
            let got = got.get(group).map(Vec::as_slice).unwrap_or_default();
            // A place that is named with an empty list: there is nothing at all.
            let named: BTreeSet<u32> = if expected.is_empty() {
                got.iter().map(|entry| entry.record).collect()
            } else {
                expected.iter().map(|entry| entry.record).collect()
            };
            for record in named {
                self.of_record(group, record, expected, got);
            }
        }
    }

    /// The effects of one record in one place: equal ones at both ends aside, each is compared with its counterpart.
    fn of_record(&mut self, group: &Group, record: u32, expected: &[Entry<Json>], got: &[Entry<Value>]) {
        let mut expected: Vec<_> = expected.iter().filter(|entry| entry.record == record).collect();
        let mut got: Vec<_> = got.iter().filter(|entry| entry.record == record).collect();
        let compare = self.case.compare;
        let equal =
            |expected: &Entry<Json>, got: &Entry<Value>| fields(group, compare, expected, got).is_empty();
        if expected.len() != got.len() {
            let same = expected.iter().zip(&got).take_while(|(expected, got)| equal(expected, got)).count();
            expected.drain(..same);
            got.drain(..same);
            let same = expected
                .iter()
                .rev()
                .zip(got.iter().rev())
                .take_while(|(expected, got)| equal(expected, got));
            let same = same.count();
            expected.truncate(expected.len() - same);
            got.truncate(got.len() - same);
        }
        for index in 0..expected.len().max(got.len()) {
            match (expected.get(index), got.get(index)) {
                (Some(expected), Some(got)) => {
                    for (field, expected, got) in fields(group, compare, expected, got) {
                        self.add(record, group, Some(&field), expected, got);
                    }
                }
                (Some(expected), None) => {
                    let line = Json::Object(expected.fields.clone()).line();
                    let nothing = format!("nothing{}", self.unknown(group));
                    self.add(record, group, None, format!("{} {line}", group.one()), nothing);
                }
                (None, Some(got)) => {
                    let line = shown(group, got).line();
                    self.add(record, group, None, "nothing".to_owned(), format!("{} {line}", group.one()));
                }
                (None, None) => {}
            }
        }
    }

    /// What to add if the guest's plan does not know a place.
    fn unknown(&self, group: &Group) -> String {
        let Some(shape) = self.shape else { return String::new() };
        let (what, name, known): (_, _, Vec<&str>) = match group {
            Group::Rows(table) => {
                ("table", table, shape.tables.iter().map(|table| table.name.as_str()).collect())
            }
            Group::Messages(output) if output != crate::spec::NEXT => {
                ("output", output, shape.outputs.iter().map(String::as_str).collect())
            }
            _ => return String::new(),
        };
        if known.contains(&name.as_str()) {
            return String::new();
        }
        format!(" (the guest's plan names no {what} `{name}`{})", suggestion(name, known))
    }
}

/// The fields that differ: name, expected, got.
fn fields(
    group: &Group,
    compare: Compare,
    expected: &Entry<Json>,
    got: &Entry<Value>,
) -> Vec<(String, String, String)> {
    let named = expected.fields.iter().map(|(name, _)| name.as_str());
    let there = got.fields.iter().map(|(name, _)| name.as_str()).filter(|_| compare == Compare::Everything);
    let mut names: Vec<&str> = Vec::new();
    for name in named.chain(there) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let difference = |name: &str| {
        let expected = expected.field(name).cloned().unwrap_or_else(|| group.unnamed(name));
        let got = got.field(name).unwrap_or(&Value::Null);
        (!got.is(&expected)).then(|| (name.to_owned(), expected.line(), got.shown().line()))
    };
    names.into_iter().filter_map(difference).collect()
}

/// Of what a guest caused, only what is named: what a case that compares only that is rewritten with.
pub(super) fn only_named(expected: &Groups<Json>, got: &Groups<Value>) -> Groups<Value> {
    let mut kept = Groups::new();
    for (group, named) in expected {
        let records: BTreeSet<u32> = named.iter().map(|entry| entry.record).collect();
        let entries = got.get(group).map(Vec::as_slice).unwrap_or_default().iter();
        let entries = entries.filter(|entry| named.is_empty() || records.contains(&entry.record));
        let restricted = entries.map(|entry| {
            let names: BTreeSet<&str> = named
                .iter()
                .filter(|named| named.record == entry.record)
                .flat_map(|named| named.fields.iter().map(|(name, _)| name.as_str()))
                .collect();
            let fields =
                entry.fields.iter().filter(|(name, _)| named.is_empty() || names.contains(name.as_str()));
            Entry { record: entry.record, fields: fields.cloned().collect() }
        });
        kept.insert(group.clone(), restricted.collect());
    }
    kept
}
