//! Reports for people.

use super::{CaseReport, Difference, Outcome, Report};
use similar::TextDiff;
use std::fmt::Write as _;

/// A report as lines for a person: a line for each case, below it what differs.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let width = report.cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0);
    for case in &report.cases {
        let word = match case.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed(_) => "FAILED",
            Outcome::Broken(_) => "BROKEN",
        };
        let facts = if matches!(case.outcome, Outcome::Broken(_)) { String::new() } else { facts(case) };
        let line = format!("{word}  {:width$}  {facts}", case.name);
        let _ = writeln!(text, "{}", line.trim_end());
        match &case.outcome {
            Outcome::Passed => {}
            Outcome::Failed(differences) => differences.iter().for_each(|one| difference(&mut text, one)),
            Outcome::Broken(message) => message.lines().for_each(|line| {
                let _ = writeln!(text, "    {line}");
            }),
        }
    }
    let (passed, failed, broken) = report.counts();
    let _ = writeln!(
        text,
        "{}: {passed} passed, {failed} failed, {broken} broken",
        counted(report.cases.len(), "case")
    );
    text
}

fn facts(case: &CaseReport) -> String {
    let (records, fuel) = (counted(case.records, "record"), grouped(case.fuel));
    let (ms, kib) = (case.time_us as f64 / 1_000.0, case.memory_bytes.div_ceil(1_024));
    format!("{records}, {fuel} fuel, {ms:.2} ms, {kib} KiB")
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a difference is about, in one line.
pub(crate) fn headline(difference: &Difference) -> String {
    let mut text = match (difference.record, difference.line) {
        (Some(record), Some(line)) => format!("record {record} (input.ndjson:{line}), {}", difference.place),
        (Some(record), None) => format!("record {record}, {}", difference.place),
        (None, _) => difference.place.clone(),
    };
    if let Some(field) = &difference.field {
        let _ = write!(text, ", {field}");
    }
    text
}

fn difference(text: &mut String, difference: &Difference) {
    let _ = writeln!(text, "    {}", headline(difference));
    if let Some((expected, got)) = long_texts(difference) {
        let lines = TextDiff::from_lines(&expected, &got);
        for change in lines.iter_all_changes() {
            let _ = writeln!(text, "        {} {}", change.tag(), change.value().trim_end_matches('\n'));
        }
        return;
    }
    if !difference.expected.is_empty() {
        let _ = writeln!(text, "        expected  {}", difference.expected);
    }
    let _ = writeln!(text, "        got       {}", difference.got);
}

/// Two texts of several lines: these are compared line by line.
fn long_texts(difference: &Difference) -> Option<(String, String)> {
    let of = |json: &str| serde_json::from_str::<String>(json).ok();
    let (expected, got) = (of(&difference.expected)?, of(&difference.got)?);
    (expected.contains('\n') && got.contains('\n')).then_some((expected, got))
}
