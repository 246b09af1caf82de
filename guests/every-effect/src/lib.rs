//! Causes every kind of effect, as each record asks for it (README.md). What a record causes depends on nothing but
//! the record, so that a model can say what must be there after any number of faults.

use gristmill_sdk::{Config, Failure, Keys, Lookup, Mail, Out, Output, Plan, Record, Row, Transform};
use serde::Deserialize;

/// What a record asks for.
#[derive(Deserialize)]
struct Asked<'a> {
    n: i64,
    claim: i64,
    bucket: i64,
    amount: i64,
    topic: &'a str,
    #[serde(default)]
    mail: bool,
    #[serde(rename = "do")]
    deed: &'a str,
}

#[derive(Row)]
#[row(table = "items")]
struct Item<'a> {
    n: i64,
    note: &'a str,
}

#[derive(Row)]
#[row(table = "totals")]
struct Total {
    bucket: i64,
    amount: i64,
}

#[derive(Row)]
#[row(table = "firsts")]
struct First<'a> {
    n: i64,
    note: &'a str,
}

#[derive(Row)]
#[row(table = "claims")]
struct Claim {
    claim: i64,
    amount: i64,
}

struct EveryEffect {
    out: Output,
    by_kind: Output,
    gate: Lookup,
}

/// The one key of the lookup.
const GATE: &str = "gate";

impl EveryEffect {
    /// Whether the gate is open for this record.
    fn admitted(&self, record: &Record<'_>, n: i64) -> bool {
        let answer = record.looked_up(self.gate, GATE).and_then(|answer| std::str::from_utf8(answer).ok());
        answer.and_then(|answer| answer.parse().ok()).is_some_and(|open: i64| open >= n)
    }
}

impl Transform for EveryEffect {
    const ABOUT: &'static str =
        "Causes every kind of effect, as each record asks for it. For the fault harness.";
    type Config = Config;

    fn configure(_: Config, plan: &mut Plan) -> Result<Self, String> {
        plan.table::<Item<'_>>();
        plan.table::<Total>();
        plan.table::<First<'_>>();
        plan.table::<Claim>();
        plan.mails();
        Ok(Self {
            out: plan.output("out"),
            by_kind: plan.dynamic_output("by-kind"),
            gate: plan.lookup("gate"),
        })
    }

    fn lookups(&self, record: &Record<'_>, keys: &mut Keys<'_>) -> Result<(), Failure> {
        if record.json::<Asked<'_>>()?.deed == "gated" {
            keys.ask(self.gate, GATE);
        }
        Ok(())
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let asked: Asked<'_> = record.json()?;
        match asked.deed {
            "reject" => return Err(Failure::reject("asked-for", "the record asks to be refused").at("/do")),
            "retry" => return Err(Failure::retry("not-yet", "the record asks to be tried again")),
            "gated" if !self.admitted(record, asked.n) => {
                return Err(Failure::retry("gate-closed", "the gate is not open for this record"));
            }
            "trap" => trap(),
            _ => {}
        }
        out.row(&Item { n: asked.n, note: asked.deed });
        out.row(&Total { bucket: asked.bucket, amount: asked.amount });
        out.row(&First { n: asked.n, note: asked.topic });
        out.row(&Claim { claim: asked.claim, amount: asked.amount });
        if asked.deed == "quiet" {
            return Ok(());
        }
        let n = asked.n;
        out.send(self.out).key_display(n).header("n", n.to_string());
        out.send(self.by_kind).topic(asked.topic).key_display(n);
        if asked.mail {
            out.mail(Mail::new(
                format!("{n}@chaos.example"),
                format!("record {n}"),
                format!("amount {}", asked.amount),
            ));
        }
        Ok(())
    }
}

gristmill_sdk::export!(EveryEffect, lookups);

#[cfg(target_arch = "wasm32")]
fn trap() {
    core::arch::wasm32::unreachable();
}

#[cfg(not(target_arch = "wasm32"))]
fn trap() {
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill_sdk::testing::{Answers, TestRecord, run_with};

    fn record(n: i64, deed: &str) -> TestRecord {
        TestRecord::text(format!(
            r#"{{"n":{n},"claim":{n},"bucket":0,"amount":4,"topic":"b","mail":true,"do":"{deed}"}}"#
        ))
    }

    #[test]
    fn a_record_has_all_effects_or_none() {
        let records = [record(1, "plain"), record(2, "reject"), record(3, "gated"), record(7, "gated")];
        let answers = Answers::default().with("gate", "gate", "5");
        let caused = run_with::<EveryEffect>("{}", &records, &answers).unwrap();
        let counts: Vec<_> =
            caused.iter().map(|one| (one.rows.len(), one.messages.len(), one.mails.len())).collect();
        assert_eq!(counts, [(4, 2, 1), (0, 0, 0), (4, 2, 1), (0, 0, 0)]);
        // Two of them have the same columns.
        let tables: Vec<_> = caused[0].rows.iter().map(|row| row.table.as_str()).collect();
        assert_eq!(tables, ["items", "totals", "firsts", "claims"]);
    }
}
