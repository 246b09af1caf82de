//! The group's offset vanishes: it expires when the group has been empty for days, or somebody deletes it. Where
//! everything was known to be published (the idle mark, or an outbox that is empty) work goes on; otherwise the
//! pipeline halts, and nothing is lost or doubled.

use super::{ALONE, found, holds};
use gristmill_model::commit::Commit;
use gristmill_model::world::{Rule, World};

const VANISHES: World =
    World { vanishes: 1, leaves: 1, crashes: 1, epoch_max: 4, opens_max: 5, ..World::CALM };

fn broken(rule: Rule, against: &'static str) {
    found(&format!("{rule:?}"), Commit::<1>(World { rule, ..VANISHES }), against);
}

#[test]
fn the_groups_offset_vanishes() {
    holds("the group's offset vanishes", Commit::<1>(VANISHES));
}

#[test]
fn the_groups_offset_vanishes_and_an_answer_is_lost() {
    let world = World { lost_answers: 1, leaves: 0, epoch_max: 3, opens_max: 4, ..VANISHES };
    holds("the group's offset vanishes, an answer is lost", Commit::<1>(world));
}

/// A host that has nothing to do leaves, the group's offset expires, and the next host halts.
#[test]
fn nobody_writes_the_idle_mark() {
    broken(Rule::NoIdleMark, ALONE);
}

#[test]
fn the_idle_mark_says_what_is_stored() {
    broken(Rule::MarksStored, ALONE);
}

#[test]
fn everything_is_published_again() {
    broken(Rule::VanishedIsStart, ALONE);
}

#[test]
fn nothing_is_published_again() {
    broken(Rule::VanishedIsPublished, ALONE);
}

#[test]
fn the_lane_is_taken_for_new() {
    broken(Rule::VanishedIsNew, ALONE);
}
