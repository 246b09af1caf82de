//! The bounded world of mails, and what a state of it is made of.

use crate::tally::Tally;
use crate::world::HOSTS;

/// Mails of a world, at most.
pub const MAILS: usize = 2;

/// A bounded world of mails.
#[derive(Clone, Copy, Debug)]
pub struct MailWorld {
    /// Mails; one record each.
    pub mails: u8,
    /// How often a host dies.
    pub crashes: u8,
    /// How often an answer of the server or the store is lost.
    pub lost_answers: u8,
    /// How often a lease runs out while its relay is still at it.
    pub slow: u8,
    /// How often the server refuses for the moment.
    pub refusals: u8,
    /// How often the server refuses for good.
    pub rejections: u8,
    /// The rule that is broken.
    pub rule: MailRule,
}

/// A rule of mail that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MailRule {
    /// All rules hold.
    None,
    /// A mail is handed to the server before the batch is committed.
    SendBeforeCommit,
    /// A mail is written down as sent before it is.
    SettleBeforeSend,
    /// Taking a mail keeps nobody else from taking it.
    NoLease,
    /// The Message-ID is made for each attempt, not from the record's origin.
    IdPerAttempt,
    /// `settle` counts an attempt whenever it is told of one; otherwise once for each lease.
    CountsTwice,
}

/// A mail in the store, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mail {
    /// Its row's state; nothing before the commit.
    pub state: MailState,
    /// Counted attempts.
    pub attempts: u8,
    /// Whether it is due later: leased.
    pub leased: bool,
    /// Attempts that a server answered or should have.
    pub tried: u8,
    /// Whether a server refused it for good.
    pub rejected: bool,
    /// Different Message-IDs that it went out with.
    pub ids: u8,
}

/// `gristmill.mails.state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MailState {
    /// Its batch is not committed.
    #[default]
    Absent,
    /// To be sent.
    Pending,
    /// A server took it.
    Sent,
    /// Given up.
    Failed,
}

/// Where a relay is with a mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// Not under way.
    #[default]
    Idle,
    /// Leased, with so many attempts before.
    Leased(u8),
    /// The server has answered, or not; to be settled.
    Answered(u8, Answer),
}

/// How an attempt ended, as the relay knows it: `MailOutcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Taken.
    Sent,
    /// Not now.
    Again,
    /// Never.
    Failed,
}

/// How an attempt really ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// Taken.
    Taken,
    /// Taken, and the answer is lost.
    TakenUnanswered,
    /// Refused for the moment.
    Refused,
    /// Refused for good.
    Rejected,
}

/// A state of mails and relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MailsState {
    /// The mails.
    pub mails: [Mail; MAILS],
    /// The relays, one per host.
    pub relays: [[Delivery; MAILS]; HOSTS],
    /// Copies at the recipient, by mail.
    pub mailbox: Tally,
    /// Disturbances that are left: crashes, lost answers, slow relays, refusals, rejections.
    pub left: [u8; 5],
}
