//! Rules that the code did not keep until these models showed what can come of it. Each test has the way to the fault.

use super::{END, HALT, TWICE, found, holds};
use gristmill_model::commit::Commit;
use gristmill_model::mail::{MailRule, MailWorld, Mails};
use gristmill_model::world::{Nature, Rule, World};

/// A take-over that reads group, row and outbox one after the other and believes a contradiction between them without
/// asking again whether the lane is still ours: a zombie's halts its pipeline, though all is well.
#[test]
fn a_zombies_take_over_halts_its_pipeline() {
    let world = World { rule: Rule::HaltUnasked, crashes: 1, opens_max: 5, ..World::CALM };
    found("HaltUnasked", Commit::<1>(world), HALT);
}

/// A host that joins the group anew for lanes that were fenced at work, but not for those that were fenced while they
/// were taken over: the group counts on it, and it does not read the partition until something else makes it rebalance.
#[test]
fn a_partition_is_read_by_nobody() {
    let records = &[Nature::Row];
    let world = World { rule: Rule::LeftOut, records, expulsions: Some(1), opens_max: 5, ..World::CALM };
    found("LeftOut", Commit::<1>(world), END);
    holds("LeftOut mended", Commit::<1>(World { rule: Rule::None, ..world }));
}

/// A host that was expelled before it took the lane over does so late, commits a parked record, and is gone before it
/// publishes. The lane's real owner has nothing to do, so nothing tells it that the lane was taken from it: the
/// message stays in the outbox until the partition gets another record.
#[test]
fn an_idle_owner_does_not_hear_that_its_lane_was_taken() {
    let records = &[Nature::Retry(1)];
    let world = World { records, expulsions: Some(1), opens_max: 5, ..World::CALM };
    found("IdleUnasked", Commit::<1>(World { rule: Rule::IdleUnasked, ..world }), END);
    holds("IdleUnasked mended", Commit::<1>(world));
}

/// A publisher that is opened anew takes a group offset that is missing for one that is behind. If the
/// answer to a transaction was lost and the offset vanishes before it is read again, the batch goes out twice. It
/// needs both: without the lost answer all is well.
#[test]
fn a_publisher_that_is_opened_anew_guesses() {
    let world = World { rule: Rule::ReopenGuesses, vanishes: 1, lost_answers: 1, ..World::CALM };
    found("ReopenGuesses", Commit::<1>(world), TWICE);
    holds("ReopenGuesses, no answer lost", Commit::<1>(World { lost_answers: 0, timeouts: 1, ..world }));
}

/// An attempt that is counted each time that its end is written down, which the relay repeats when no answer came: a
/// mail can be given up before it has had its attempts.
#[test]
fn an_attempt_is_counted_twice() {
    let (crashes, lost_answers, slow, refusals, rejections) = (0, 1, 0, 2, 0);
    let rule = MailRule::CountsTwice;
    let world = MailWorld { mails: 1, crashes, lost_answers, slow, refusals, rejections, rule };
    found("CountsTwice", Mails(world), "no mail is given up without a cause");
}
