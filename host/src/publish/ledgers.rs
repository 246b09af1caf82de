//! The two ledgers of a lane, compared (DESIGN.md D4): the store knows what is committed, the group's offset what is
//! published. What lies between is published again from the outbox; ledgers that contradict each other stop the
//! pipeline, for guessing would lose or double records.
//!
//! | store | group's offset | outbox | what follows |
//! |---|---|---|---|
//! | new | none | – | begin where the spec says |
//! | new | any | – | contradiction: the group is ahead of the store |
//! | at batch d | of batch b ≤ d, not beyond the store's offset | | publish what is after b, set the group's offset |
//! | at batch d | of batch b > d, or beyond the store's offset | | contradiction: the group is ahead of the store |
//! | at batch d | none, or somebody else's | empty | set the group's offset |
//! | at batch d | none, or somebody else's | not empty | contradiction: nobody knows what was published |
//! | at an offset beyond the log's end | | | contradiction: the topic was made anew |
//! | at an offset before the log's start | | | contradiction: records were removed before they were read |

use crate::log::GroupLedger;
use crate::record::LaneId;
use crate::spec::Start;
use crate::store::{LaneState, OutboxEntry};

/// What a take-over does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Where to read on.
    pub next_offset: i64,
    /// Whether the lane is new, so that this start must be written down first.
    pub new: bool,
    /// The outbox entries after this batch are to be published (again).
    pub published: i64,
}

/// Two ledgers that cannot both be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{lane}: {what}. Nothing was read or written. Decide with: gristmill pipeline resolve {} --topic {} --partition {} {decisions}", .lane.pipeline, .lane.topic, .lane.partition)]
pub struct Contradiction {
    /// The lane.
    pub lane: LaneId,
    /// Both figures.
    pub what: String,
    /// The options of the command that decides, and what each means.
    pub decisions: String,
}

/// Compares the ledgers. `bounds` are the log's first offset and its end.
///
/// # Errors
/// [`Contradiction`] with both figures and the command that decides.
pub fn compare(
    lane: &LaneId,
    state: &LaneState,
    outbox: &[OutboxEntry],
    group: &GroupLedger,
    bounds: (i64, i64),
    start: Start,
) -> Result<Agreement, Contradiction> {
    let contradiction = |what: String, decisions: &str| {
        Err(Contradiction { lane: lane.clone(), what, decisions: decisions.to_owned() })
    };
    let (first, end) = bounds;
    let Some(next_offset) = state.next_offset else {
        if let (Some(offset), false) = (group.next_offset, state.distrust_group) {
            let by = group
                .batch
                .map_or("set by another program".to_owned(), |batch| format!("set by batch {batch}"));
            let what = format!(
                "the group's offset is {offset} ({by}), but the store knows nothing of this lane: the store is new, or \
                 from a backup"
            );
            let decisions = "--trust group (read on there) | --trust store (begin where the spec says; what was \
                             published before may be published again)";
            return contradiction(what, decisions);
        }
        let next_offset = match start {
            Start::Earliest => first,
            Start::Latest => end,
        };
        return Ok(Agreement { next_offset, new: true, published: 0 });
    };
    if next_offset > end {
        let what = format!(
            "the store's next offset is {next_offset}, but the log ends at {end}: the topic was made anew, or the log \
             lost records"
        );
        return contradiction(what, "--trust log (read the log from its start)");
    }
    if next_offset < first {
        let what = format!(
            "the store's next offset is {next_offset}, but the log begins at {first}: {} records were removed before \
             they were read",
            first - next_offset
        );
        return contradiction(what, "--trust log (go on at the log's start)");
    }
    if state.distrust_group {
        return Ok(Agreement { next_offset, new: false, published: state.published });
    }
    let ahead = group.batch.is_some_and(|batch| batch > state.batch)
        || group.next_offset.is_some_and(|offset| offset > next_offset);
    if ahead {
        let batch = group.batch.map_or("no batch of ours".to_owned(), |batch| format!("batch {batch}"));
        let what = format!(
            "the group's offset is {} ({batch}), ahead of the store's {next_offset} (batch {}): the store is from a \
             backup",
            group.next_offset.unwrap_or(-1),
            state.batch
        );
        let decisions = "--trust group (go on at the group's offset; the rows between are missing) | --trust store \
                         (go on at the store's offset; messages between are published again)";
        return contradiction(what, decisions);
    }
    match group.batch {
        Some(batch) => Ok(Agreement { next_offset, new: false, published: batch.max(state.published) }),
        None if outbox.is_empty() => Ok(Agreement { next_offset, new: false, published: state.batch }),
        None => {
            let group = group
                .next_offset
                .map_or("is missing".to_owned(), |offset| format!("is {offset}, set by another program"));
            let batches: Vec<String> = outbox.iter().map(|entry| entry.batch.to_string()).collect();
            let what = format!(
                "the group's offset {group}, while the store (batch {}, next offset {next_offset}) has batches {} in \
                 its outbox: nobody knows which of them were published",
                state.batch,
                batches.join(", ")
            );
            let decisions =
                "--trust store (publish them, perhaps again) | --trust group (take them as published)";
            contradiction(what, decisions)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> LaneId {
        LaneId { pipeline: "p".into(), topic: "t".into(), partition: 3 }
    }

    fn state(batch: i64, next_offset: Option<i64>, published: i64) -> LaneState {
        LaneState { epoch: 1, batch, next_offset, published, distrust_group: false }
    }

    fn group(next_offset: Option<i64>, batch: Option<i64>) -> GroupLedger {
        GroupLedger { next_offset, batch }
    }

    fn outbox(batches: &[i64]) -> Vec<OutboxEntry> {
        batches.iter().map(|&batch| OutboxEntry { batch, next_offset: batch * 10, value: vec![1] }).collect()
    }

    fn run(state: &LaneState, outbox_batches: &[i64], group: &GroupLedger) -> Result<(i64, i64), String> {
        compare(&lane(), state, &outbox(outbox_batches), group, (0, 1_000), Start::Earliest)
            .map(|agreement| (agreement.next_offset, agreement.published))
            .map_err(|contradiction| contradiction.to_string())
    }

    #[test]
    fn ledgers_that_agree_say_what_to_publish_again() {
        assert_eq!(run(&state(0, None, 0), &[], &group(None, None)), Ok((0, 0)));
        assert_eq!(run(&state(7, Some(70), 5), &[6, 7], &group(Some(60), Some(6))), Ok((70, 6)));
        assert_eq!(run(&state(7, Some(70), 7), &[], &group(Some(70), Some(7))), Ok((70, 7)));
        // A batch of parked records moved no offset, and yet the group is one batch behind.
        assert_eq!(run(&state(8, Some(70), 7), &[8], &group(Some(70), Some(7))), Ok((70, 7)));
        // The group's offset expired after everything was out, or somebody moved it back.
        assert_eq!(run(&state(7, Some(70), 7), &[], &group(None, None)), Ok((70, 7)));
        assert_eq!(run(&state(7, Some(70), 7), &[], &group(Some(10), None)), Ok((70, 7)));
    }

    #[test]
    fn contradictions_name_both_figures_and_the_command() {
        let cases = [
            (state(7, Some(70), 6), vec![7], group(None, None), "is missing"),
            (state(7, Some(70), 6), vec![7], group(Some(10), None), "set by another program"),
            (state(7, Some(70), 7), vec![], group(Some(90), Some(9)), "ahead of the store's 70 (batch 7)"),
            (state(7, Some(70), 7), vec![], group(Some(90), None), "ahead of the store's 70"),
            (state(0, None, 0), vec![], group(Some(90), Some(9)), "the store knows nothing"),
            (state(7, Some(2_000), 7), vec![], group(Some(2_000), Some(7)), "the log ends at 1000"),
            (state(7, Some(-1), 7), vec![], group(Some(-1), Some(7)), "the log begins at 0"),
        ];
        for (state, batches, group, part) in cases {
            let error = run(&state, &batches, &group).unwrap_err();
            assert!(error.contains(part), "{error}");
            assert!(
                error.contains("gristmill pipeline resolve p --topic t --partition 3 --trust"),
                "{error}"
            );
        }
    }

    #[test]
    fn an_operators_word_ends_a_contradiction() {
        let decided = LaneState { distrust_group: true, ..state(7, Some(70), 6) };
        assert_eq!(run(&decided, &[7], &group(None, None)), Ok((70, 6)));
        assert_eq!(run(&decided, &[7], &group(Some(90), Some(9))), Ok((70, 6)));
        let new = LaneState { distrust_group: true, ..state(0, None, 0) };
        assert_eq!(run(&new, &[], &group(Some(90), None)), Ok((0, 0)));
    }
}
