//! Mail: at least once, with the same Message-ID, never before its row.

use super::{END, found, holds};
use gristmill_model::mail::{MailRule, MailWorld, Mails};

/// Two mails, two relays, and everything that can go wrong.
const MAIL: MailWorld = MailWorld {
    mails: 2,
    crashes: 1,
    lost_answers: 1,
    slow: 1,
    refusals: 2,
    rejections: 1,
    rule: MailRule::None,
};

fn broken(rule: MailRule, against: &'static str) {
    found(&format!("{rule:?}"), Mails(MailWorld { rule, ..MAIL }), against);
}

#[test]
fn two_mails_two_relays() {
    holds("two mails, two relays", Mails(MAIL));
}

#[test]
fn a_mail_is_sent_before_it_is_committed() {
    broken(MailRule::SendBeforeCommit, "no mail before its row");
}

#[test]
fn a_mail_is_called_sent_before_it_is() {
    broken(MailRule::SettleBeforeSend, "what is called sent was sent");
    broken(MailRule::SettleBeforeSend, END);
}

#[test]
fn relays_take_mails_without_a_lease() {
    broken(MailRule::NoLease, "no second copy without a cause");
}

#[test]
fn each_attempt_has_its_own_message_id() {
    broken(MailRule::IdPerAttempt, "every copy has the same Message-ID");
}
