//! Two partitions, two hosts, and a group that says who owns what: a host dies, is given something else, or is silent
//! for so long that the group expels it while it goes on.

use super::holds;
use gristmill_model::commit::Commit;
use gristmill_model::world::{Nature, World};

/// Everything begins on one host.
const GROUP: World =
    World { records: &[Nature::Row], expulsions: Some(0), epoch_max: 4, opens_max: 5, ..World::CALM };

#[test]
fn both_on_one_host_that_dies() {
    holds("two partitions, a host dies twice", Commit::<2>(World { crashes: 2, lost_answers: 1, ..GROUP }));
}

#[test]
fn partitions_go_to_and_fro() {
    let world = World { records: &[Nature::Row; 2], crashes: 1, revokes: 2, ..GROUP };
    holds("two partitions, rebalances, a host dies", Commit::<2>(world));
}

#[test]
fn a_host_is_expelled_and_does_not_know() {
    let world = World { expulsions: Some(1), epoch_max: 2, opens_max: 3, ..GROUP };
    holds("two partitions, a host is expelled", Commit::<2>(world));
}

#[test]
fn one_partition_and_a_host_that_is_expelled_and_one_that_dies() {
    let world = World { records: &[Nature::Retry(1), Nature::Row], expulsions: Some(1), crashes: 1, ..GROUP };
    holds("one partition, a host is expelled, one dies", Commit::<1>(World { epoch_max: 3, ..world }));
}

#[test]
#[ignore = "minutes"]
fn an_expelled_host_comes_back() {
    let world = World { expulsions: Some(1), epoch_max: 3, opens_max: 4, ..GROUP };
    holds("two partitions, a host is expelled and comes back", Commit::<2>(world));
}
