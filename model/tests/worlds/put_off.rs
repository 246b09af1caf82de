//! Batches without messages: the group is told of them later, with messages or when there is nothing else to do.

use super::{ALONE, found, holds};
use gristmill_model::commit::Commit;
use gristmill_model::world::{Nature, Rule, World};

const MIXED: World = World {
    records: &[Nature::Quiet, Nature::Row, Nature::Quiet],
    crashes: 1,
    lost_answers: 1,
    epoch_max: 3,
    opens_max: 4,
    ..World::CALM
};

#[test]
fn some_batches_have_no_messages() {
    holds("batches with and without messages", Commit::<1>(MIXED));
}

#[test]
fn no_batch_has_messages() {
    let world = World { records: &[Nature::Quiet; 3], timeouts: 1, lost_answers: 0, ..MIXED };
    holds("batches without messages", Commit::<1>(world));
}

/// What was put off is told before a host leaves; and what is not told when it dies need not be known to anybody.
#[test]
fn the_groups_offset_vanishes() {
    let records = &[Nature::Row, Nature::Quiet];
    let world = World { records, vanishes: 1, leaves: 1, lost_answers: 0, ..MIXED };
    holds("the group's offset vanishes, with batches put off", Commit::<1>(world));
}

#[test]
fn a_quiet_batch_and_a_parked_record() {
    let records = &[Nature::Retry(1), Nature::Quiet];
    holds("a parked record, and a batch without messages", Commit::<1>(World { records, ..MIXED }));
}

#[test]
#[ignore = "minutes"]
fn two_rows_between_quiet_batches() {
    let records = &[Nature::Quiet, Nature::Row, Nature::Quiet, Nature::Row];
    let world = World { records, timeouts: 1, epoch_max: 4, opens_max: 5, ..MIXED };
    holds("rows between quiet batches", Commit::<1>(world));
}

#[test]
fn messages_are_put_off() {
    found("PutsOffMessages", Commit::<1>(World { rule: Rule::PutsOffMessages, ..MIXED }), ALONE);
}
