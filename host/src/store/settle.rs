//! What becomes of refused records: parked, to be tried again later, or a dead letter. Pure arithmetic over the
//! failures, the attempts so far and the pipeline's patience.

use super::{Origin, Work};
use crate::effect::{Failure, Fault, Verdict};
use crate::spec::Retry;
use std::collections::BTreeMap;

/// A record that ends as a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// The record in its batch.
    pub record: u32,
    /// How often it was tried.
    pub attempts: u32,
    /// Why.
    pub failure: Failure,
}

/// A record that is to be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The record in its batch.
    pub record: u32,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is to come back, milliseconds since 1970-01-01 UTC.
    pub due_ms: i64,
    /// Why.
    pub failure: Failure,
}

/// The refused records of a batch, each in one of two places, in the order of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The dead letters.
    pub dead: Vec<Dead>,
    /// The parked.
    pub waiting: Vec<Waiting>,
}

/// How often a record of this batch was tried before.
pub fn attempts_before(work: &Work, record: u32) -> u32 {
    match &work.origin {
        Origin::Log { .. } => 0,
        Origin::Parked(parked) => parked.get(record as usize).map_or(0, |origin| origin.attempts),
    }
}

/// Decides what becomes of each refused record.
pub fn settle(failures: &BTreeMap<u32, Failure>, work: &Work, retry: &Retry, now_ms: i64) -> Settled {
    let mut settled = Settled::default();
    for (&record, failure) in failures {
        let attempts = attempts_before(work, record).saturating_add(1);
        let failure = failure.clone();
        if failure.verdict == Verdict::Reject {
            settled.dead.push(Dead { record, attempts, failure });
        } else if attempts >= retry.attempts_max {
            settled.dead.push(Dead { record, attempts, failure: given_up(failure, attempts) });
        } else {
            let delay_ms = i64::try_from(retry.delay_ms(attempts)).unwrap_or(i64::MAX);
            let due_ms = now_ms.saturating_add(delay_ms);
            settled.waiting.push(Waiting { record, attempts, due_ms, failure });
        }
    }
    settled
}

/// The same failure, saying that it was the last attempt; the code stays, for counting.
fn given_up(mut failure: Failure, attempts: u32) -> Failure {
    let times = if attempts == 1 { "attempt" } else { "attempts" };
    match failure.faults.first_mut() {
        Some(fault) => fault.reason = format!("given up after {attempts} {times}: {}", fault.reason),
        None => failure.faults.push(Fault {
            code: "unknown".to_owned(),
            pointer: None,
            reason: format!("given up after {attempts} {times}"),
        }),
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Effects;
    use crate::record::Batch;
    use crate::store::ParkedOrigin;

    fn work(attempts: u32) -> Work {
        let origin = Origin::Parked(vec![ParkedOrigin { id: 1, attempts }]);
        Work { batch: Batch::new("t", 0), origin, effects: Effects::default(), stages: vec![] }
    }

    fn one(verdict: Verdict, attempts: u32) -> Settled {
        let failures = BTreeMap::from([(0, Failure::one(verdict, "s", "d", "busy", "no answer".into()))]);
        let retry = Retry { attempts_max: 3, delay_ms_first: 100, delay_ms_max: 150 };
        settle(&failures, &work(attempts), &retry, 1_000)
    }

    #[test]
    fn rejected_records_are_dead_letters_at_once() {
        let settled = one(Verdict::Reject, 0);
        assert_eq!((settled.dead[0].attempts, settled.dead[0].failure.reason().as_str()), (1, "no answer"));
    }

    #[test]
    fn others_wait_longer_each_time_and_are_given_up() {
        assert_eq!(one(Verdict::Retry, 0).waiting[0].due_ms, 1_100);
        assert_eq!(one(Verdict::Retry, 1).waiting[0].due_ms, 1_150);
        let settled = one(Verdict::Retry, 2);
        assert_eq!(settled.dead[0].failure.reason(), "given up after 3 attempts: no answer");
        assert_eq!((settled.dead[0].failure.code(), settled.waiting.len()), ("busy", 0));
    }
}
