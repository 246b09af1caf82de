//! Parked records: a batch of them moves no offset, and yet it publishes.

use super::{ALONE, found, holds};
use gristmill_model::commit::Commit;
use gristmill_model::world::{Nature, Rule, World};

const PARKED: World = World {
    records: &[Nature::Retry(1), Nature::Row],
    crashes: 1,
    lost_answers: 1,
    epoch_max: 3,
    opens_max: 4,
    ..World::CALM
};

#[test]
fn a_parked_record_comes_back() {
    holds("a parked record comes back", Commit::<1>(PARKED));
}

#[test]
fn one_is_parked_for_good_and_one_is_refused() {
    let records = &[Nature::Retry(3), Nature::Reject];
    let world = World { records, batch_records_max: 2, lost_answers: 0, timeouts: 1, ..PARKED };
    holds("parked until it is a dead letter, beside one that is refused", Commit::<1>(world));
}

#[test]
#[ignore = "a minute"]
fn two_come_back_together_or_apart() {
    let records = &[Nature::Retry(1), Nature::Reject, Nature::Retry(3)];
    let world = World { records, batch_records_max: 3, lost_answers: 0, ..PARKED };
    holds("two parked records", Commit::<1>(world));
}

#[test]
fn what_is_published_is_told_by_the_offset_alone() {
    found("ByOffset", Commit::<1>(World { rule: Rule::ByOffset, ..PARKED }), ALONE);
}
