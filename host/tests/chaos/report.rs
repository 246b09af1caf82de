//! What a run prints, and writes as JSON.

use super::judge::Verdict;
use super::load::Recovery;
use super::schedule::Kind;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// One run: the faults that were done, what the judge found, how long recovery took.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub set: String,
    pub seed: u64,
    pub counts: BTreeMap<Kind, u64>,
    pub verdict: Verdict,
    pub recoveries: Vec<Recovery>,
    pub took: Duration,
    pub batches: i64,
    pub checkpoints: u64,
    /// Sleepers whose lanes had another owner when they woke up.
    pub zombies_followed: u64,
    pub ended_by_themselves: Vec<String>,
    /// The number of the last fault before something was found to be wrong.
    pub wrong_after: Option<usize>,
    pub again: Option<String>,
}

impl Report {
    pub fn count(&mut self, kind: Kind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    pub fn faults(&self) -> u64 {
        self.counts.values().sum()
    }

    pub fn kills(&self) -> u64 {
        self.counts.iter().filter(|(kind, _)| kind.is_kill()).map(|(_, count)| count).sum()
    }

    /// Median and worst of a way of recovering, milliseconds.
    fn times(&self) -> BTreeMap<&'static str, (usize, u64, u64)> {
        let mut all: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
        for recovery in &self.recoveries {
            all.entry(recovery.what).or_default().push(recovery.ms);
        }
        all.into_iter()
            .map(|(what, mut times)| {
                times.sort_unstable();
                (what, (times.len(), times[times.len() / 2], times[times.len() - 1]))
            })
            .collect()
    }

    pub fn print(&self) {
        let verdict = &self.verdict;
        println!(
            "\n{} set, seed {}: {} faults in {:.0} s",
            self.set,
            self.seed,
            self.faults(),
            self.took.as_secs_f64()
        );
        for (kind, count) in &self.counts {
            println!("  {kind:<17}{count:>6}");
        }
        println!(
            "  {} records in {} batches, judged {} times; {} mails arrived, {} of them again, {} refused with 5xx",
            verdict.records,
            self.batches,
            self.checkpoints,
            verdict.mails_sent,
            verdict.mails_again,
            verdict.mails_refused
        );
        if self.zombies_followed > 0 {
            println!("  {} zombies woke up after others had taken over their lanes", self.zombies_followed);
        }
        for (what, (count, median, worst)) in self.times() {
            println!(
                "  {what}: next batch on every lane after {:.1} s (median of {count}), {:.1} s at worst",
                median as f64 / 1_000.0,
                worst as f64 / 1_000.0
            );
        }
        if !self.ended_by_themselves.is_empty() {
            println!("  {} hosts ended by themselves and were started again", self.ended_by_themselves.len());
            self.ended_by_themselves.iter().take(3).for_each(|words| println!("    {words}"));
        }
        println!("  {} lost, {} doubled, {} torn", verdict.lost, verdict.doubled, verdict.torn);
        for wrong in &verdict.wrong {
            println!("  WRONG: {wrong}");
        }
        if let (Some(number), Some(again)) = (self.wrong_after, &self.again) {
            println!("  found after fault {number}; the same part again:\n    {again}");
        }
    }

    pub fn json(&self) -> Value {
        let verdict = &self.verdict;
        let counts: BTreeMap<&str, u64> =
            self.counts.iter().map(|(kind, count)| (kind.name(), *count)).collect();
        let times = self.times().into_iter().map(|(what, (count, median, worst))| {
            (what.to_owned(), json!({ "count": count, "median_ms": median, "worst_ms": worst }))
        });
        json!({
            "set": self.set, "seed": self.seed, "faults": self.faults(), "kills": self.kills(), "by_kind": counts,
            "lost": verdict.lost, "doubled": verdict.doubled, "torn": verdict.torn, "wrong": verdict.wrong,
            "records": verdict.records, "batches": self.batches, "checkpoints": self.checkpoints,
            "mails": verdict.mails_sent, "mails_again": verdict.mails_again, "mails_refused": verdict.mails_refused,
            "zombies_followed": self.zombies_followed, "ended_by_themselves": self.ended_by_themselves.len(),
            "recovery": times.collect::<serde_json::Map<_, _>>(), "seconds": self.took.as_secs(),
        })
    }
}
