//! What must be there: the effects of a record are a function of its number, and nothing that happens to hosts and
//! servers changes them.

use super::schedule::Rng;

/// How often a record is tried before it is given up; the spec's `retry.attempts_max`.
pub const ATTEMPTS_MAX: u32 = 6;

/// What a record asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Plain,
    /// Parked until the harness opens the gate.
    Gated,
    Reject,
    /// Parked until it is given up.
    Retry,
    Trap,
    /// The claim of an earlier record, word for word: nothing must come of it.
    Duplicate(i64),
    /// The claim of an earlier record with another content: a dead letter.
    Conflict(i64),
}

/// A record, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub n: i64,
    pub deed: Deed,
    pub topic: &'static str,
    pub amount: i64,
    pub mail: bool,
    /// Whether it has rows and nothing else. Such records come in stretches, so that there are batches without messages.
    pub quiet: bool,
}

/// In every thousand records so many at the end are quiet, or duplicates: on each of four lanes four batches or so.
const QUIET: i64 = 400;

fn is_quiet(n: i64) -> bool {
    n.rem_euclid(1_000) >= 1_000 - QUIET
}

/// The chance part of record `n`, before it is known whether it can refer to another.
fn drawn(n: i64) -> (u64, Rng) {
    let mut rng = Rng((n as u64).wrapping_mul(0xD134_2543_DE82_EF95));
    (rng.below(1_000), rng)
}

fn is_plain(n: i64) -> bool {
    n >= 0 && (drawn(n).0 < 860 || (is_quiet(n) && !(930..970).contains(&drawn(n).0)))
}

/// Record `n`.
pub fn record(n: i64) -> Asked {
    let ((lot, mut rng), quiet) = (drawn(n), is_quiet(n));
    // Some records back: mostly of another batch, and always plain, so that it holds its claim.
    let earlier = (1..200).map(|back| n - 20 - back).find(|m| is_plain(*m));
    let deed = match (lot, earlier) {
        (930..970, Some(earlier)) => Deed::Duplicate(earlier),
        _ if quiet => Deed::Plain,
        (860..900, _) => Deed::Gated,
        (900..915, _) => Deed::Reject,
        (915..925, _) => Deed::Retry,
        (925..930, _) => Deed::Trap,
        (970..1_000, Some(earlier)) => Deed::Conflict(earlier),
        _ => Deed::Plain,
    };
    let topic = ["a", "b", "c"][rng.below(3) as usize];
    let (amount, mail) = (rng.between(1, 9) as i64, rng.below(15) == 0 && !quiet);
    Asked { n, deed, topic, amount, mail, quiet }
}

impl Asked {
    /// The `once` key. It is the record's key too, so that who wants the same claim is in the same partition, where
    /// order decides.
    pub fn claim(&self) -> i64 {
        match self.deed {
            Deed::Duplicate(earlier) | Deed::Conflict(earlier) => earlier,
            _ => self.n,
        }
    }

    fn claimed_amount(&self) -> i64 {
        match self.deed {
            Deed::Duplicate(earlier) => record(earlier).amount,
            Deed::Conflict(earlier) => record(earlier).amount + 100,
            _ => self.amount,
        }
    }

    pub fn bucket(&self) -> i64 {
        self.n / 97
    }

    fn word(&self) -> &'static str {
        match self.deed {
            Deed::Gated => "gated",
            Deed::Reject => "reject",
            Deed::Retry => "retry",
            Deed::Trap => "trap",
            _ if self.quiet => "quiet",
            _ => "plain",
        }
    }

    /// The record's value.
    pub fn value(&self) -> String {
        format!(
            r#"{{"n":{},"claim":{},"bucket":{},"amount":{},"topic":"{}","mail":{},"do":"{}"}}"#,
            self.n,
            self.claim(),
            self.bucket(),
            self.claimed_amount(),
            self.topic,
            self.mail,
            self.word()
        )
    }

    /// What adds up in `totals`.
    pub fn added(&self) -> i64 {
        if self.works() { self.amount } else { 0 }
    }

    fn works(&self) -> bool {
        matches!(self.deed, Deed::Plain | Deed::Gated)
    }

    pub fn mails(&self) -> bool {
        self.works() && self.mail
    }

    /// The effects, one line each, sorted.
    pub fn effects(&self) -> Vec<String> {
        let mut effects = match self.deed {
            Deed::Duplicate(_) => Vec::new(),
            Deed::Reject => letter("asked-for", 1),
            Deed::Retry => letter("not-yet", ATTEMPTS_MAX),
            Deed::Trap => letter("guest-trap", 1),
            Deed::Conflict(_) => letter("key-conflict", 1),
            Deed::Plain | Deed::Gated => {
                let mut effects = vec![
                    format!("items {}", self.word()),
                    format!("firsts {}", self.topic),
                    format!("claims {}", self.amount),
                ];
                if !self.quiet {
                    effects.extend(["out".to_owned(), format!("by-kind {}", self.topic)]);
                }
                effects
            }
        };
        effects.sort();
        effects
    }

    /// What a gated record becomes if the harness was late with opening the gate.
    pub fn effects_if_late(&self) -> Option<Vec<String>> {
        (self.deed == Deed::Gated).then(|| letter("gate-closed", ATTEMPTS_MAX))
    }
}

/// A dead letter and its copy, sorted.
fn letter(code: &str, attempts: u32) -> Vec<String> {
    vec![format!("dlq {code}"), format!("letter {code} {attempts}")]
}

#[cfg(test)]
mod tests {
    #[allow(
        unused_imports,
        reason = "in the harness itself, which is no test of libtest's, nothing is left to use it"
    )]
    use super::*;

    #[test]
    fn all_kinds_come_and_refer_to_what_is_there() {
        let records: Vec<Asked> = (0..5_000).map(record).collect();
        let count = |what: fn(&Deed) -> bool| records.iter().filter(|record| what(&record.deed)).count();
        assert!(count(|deed| *deed == Deed::Gated) > 100);
        assert!(count(|deed| *deed == Deed::Trap) > 5);
        let messages =
            |asked: &Asked| asked.effects().iter().any(|effect| effect == "out" || effect.starts_with("dlq"));
        assert!(records[600..1_000].iter().all(|asked| asked.quiet && !messages(asked)));
        assert!(records[..600].iter().filter(|asked| messages(asked)).count() > 500);
        assert!(count(|deed| *deed == Deed::Retry) > 20);
        assert!(count(|deed| matches!(deed, Deed::Conflict(_))) > 50);
        for asked in &records {
            if let Deed::Duplicate(earlier) | Deed::Conflict(earlier) = asked.deed {
                assert!(earlier < asked.n && records[earlier as usize].deed == Deed::Plain);
            }
        }
        assert_eq!(records[40], record(40));
    }
}
