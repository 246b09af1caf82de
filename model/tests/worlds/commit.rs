//! Two hosts and one partition: hosts that die, zombies, transactions that the broker ends, answers that are lost.

use super::{ALONE, DISORDER, EARLY, HALT, TWICE, found, holds, holds_but};
use gristmill_model::commit::Commit;
use gristmill_model::world::{Nature, Rule, World};

/// What every broken rule is looked for in.
const SMALL: World =
    World { crashes: 1, timeouts: 1, lost_answers: 1, epoch_max: 4, opens_max: 5, ..World::CALM };

fn broken(rule: Rule, against: &'static str) {
    found(&format!("{rule:?}"), Commit::<1>(World { rule, ..SMALL }), against);
}

#[test]
fn two_hosts_three_batches() {
    let world = World {
        records: &[Nature::Row; 3],
        crashes: 2,
        timeouts: 1,
        epoch_max: 4,
        opens_max: 5,
        ..World::CALM
    };
    holds("two hosts, three batches", Commit::<1>(world));
}

#[test]
fn answers_are_lost() {
    let world = World { crashes: 1, timeouts: 1, lost_answers: 2, epoch_max: 3, opens_max: 5, ..World::CALM };
    holds("answers are lost", Commit::<1>(world));
}

#[test]
fn batches_are_cut_differently_by_the_next_owner() {
    let world =
        World { records: &[Nature::Row; 3], batch_records_max: 2, lost_answers: 0, epoch_max: 3, ..SMALL };
    holds("batches of one or two records", Commit::<1>(world));
}

#[test]
#[ignore = "minutes: four batches, so that the bound on running ahead is met"]
fn two_hosts_four_batches() {
    let world = World { records: &[Nature::Row; 4], crashes: 2, opens_max: 6, ..SMALL };
    holds("two hosts, four batches", Commit::<1>(world));
}

#[test]
fn without_any_fence() {
    broken(Rule::NoFence, TWICE);
}

/// The expected batch alone is enough for a simple commit: nothing is lost or doubled. (A take-over, which reads the
/// group's offset before the row, can find a contradiction in what a zombie does meanwhile, and halt.) This commit
/// needs the epoch: a lane that opens its publisher anew must know that the batches it still has are its own.
#[test]
fn without_the_epoch() {
    let simple = World { rule: Rule::NoEpochSimple, ..SMALL };
    holds_but("NoEpochSimple", Commit::<1>(simple), &[TWICE, EARLY, DISORDER, ALONE]);
    found("NoEpochSimple", Commit::<1>(simple), HALT);
    broken(Rule::NoEpoch, TWICE);
}

/// The expected batch is what makes a commit safe to repeat; where no answer is lost, the epoch is enough.
#[test]
fn without_the_expected_batch() {
    let world = World { rule: Rule::NoExpected, ..SMALL };
    holds("NoExpected, no answer lost", Commit::<1>(World { lost_answers: 0, ..world }));
    found("NoExpected, an answer lost", Commit::<1>(world), TWICE);
}

#[test]
fn the_groups_offset_is_read_too_early() {
    broken(Rule::ReadBeforeInit, TWICE);
}

#[test]
fn nothing_is_published_again() {
    broken(Rule::NoOutbox, ALONE);
}

#[test]
fn the_outbox_is_forgotten_too_early() {
    broken(Rule::ForgetEarly, ALONE);
}

#[test]
fn a_batch_is_published_before_it_is_committed() {
    broken(Rule::PublishFirst, EARLY);
}

#[test]
fn a_publisher_is_opened_anew_without_asking_whose_the_lane_is() {
    broken(Rule::ReopenUnasked, TWICE);
}
