//! What a model is explored with: how many records and disturbances there are, and which rule is broken.

/// What a guest makes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nature {
    /// A row and a message.
    Row,
    /// A row, and nothing to publish.
    Quiet,
    /// A dead letter, and its copy to the topic of dead letters.
    Reject,
    /// Parked so many times, then a row and a message.
    Retry(u8),
}

/// Attempts before a record that is parked again and again is a dead letter (`retry.attempts_max`).
pub const ATTEMPTS_MAX: u8 = 3;

/// How far storing may run ahead of publishing: one batch being published, and one that is committed and waits to be
/// handed to the step `publish` (`sync_channel(0)` in `lane/mod.rs`).
pub const AHEAD_MAX: u8 = 2;

/// Hosts; each is as good as the other.
pub const HOSTS: usize = 2;

/// A bounded world.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// What the guest makes of each record of a partition, by offset.
    pub records: &'static [Nature],
    /// Records that one batch of the log may have; fewer are possible too.
    pub batch_records_max: u8,
    /// How often a host dies.
    pub crashes: u8,
    /// How often the answer to a COMMIT, of the store or of the log, is lost.
    pub lost_answers: u8,
    /// How often a broker ends a transaction by its time limit.
    pub timeouts: u8,
    /// How often the group's offset vanishes.
    pub vanishes: u8,
    /// How often a host that has nothing to do leaves (drains, writes the idle mark, ends).
    pub leaves: u8,
    /// `None`: every host may believe at any time that it owns every partition, the worst case. `Some(n)`: the group
    /// says who owns which partition, and takes all from a host that is silent for too long n times.
    pub expulsions: Option<u8>,
    /// How often the group gives a partition to the other host.
    pub revokes: u8,
    /// Where exploring ends: a lane's epoch in the store.
    pub epoch_max: u8,
    /// Where exploring ends: how often a lane's publisher is opened.
    pub opens_max: u8,
    /// The rule that is broken.
    pub rule: Rule,
}

impl World {
    /// Nothing goes wrong, but hosts may take each other's lane.
    pub const CALM: World = World {
        records: &[Nature::Row, Nature::Row],
        batch_records_max: 1,
        crashes: 0,
        lost_answers: 0,
        timeouts: 0,
        vanishes: 0,
        leaves: 0,
        expulsions: None,
        revokes: 0,
        epoch_max: 3,
        opens_max: 4,
        rule: Rule::None,
    };
}

/// A rule of the commit that is broken, to see that the model finds out what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// None: what the code does.
    None,
    /// No take-over raises the epoch, so nothing that asks for it fences anybody.
    NoEpoch,
    /// The same in a simpler commit: a take-over reads the lane's row and its outbox in one snapshot, and a lane whose
    /// transaction fails lets go instead of opening its publisher anew.
    NoEpochSimple,
    /// `advance` does not ask for the batch that is next.
    NoExpected,
    /// Neither.
    NoFence,
    /// The group's offset is read before `init_transactions`.
    ReadBeforeInit,
    /// A take-over publishes nothing again.
    NoOutbox,
    /// A commit forgets all earlier outbox values, published or not.
    ForgetEarly,
    /// A batch is published before it is committed.
    PublishFirst,
    /// A batch is put off whether or not it has messages.
    PutsOffMessages,
    /// The producer of a publisher that is opened anew is used without asking whether the lane is still ours.
    ReopenUnasked,
    /// What is published is told by the group's offset alone, without the batch in its metadata.
    ByOffset,
    /// Nobody writes the idle mark.
    NoIdleMark,
    /// The idle mark says what is stored instead of what is published.
    MarksStored,
    /// A vanished group offset is taken for one that was never set: everything in the outbox is published.
    VanishedIsStart,
    /// A vanished group offset is taken for that of the last batch: nothing in the outbox is published.
    VanishedIsPublished,
    /// A vanished group offset makes the lane new: it is read from the log's start.
    VanishedIsNew,
    /// A publisher that is opened anew takes a vanished group offset for one that is behind. Otherwise the
    /// lane lets go, and the take-over decides.
    ReopenGuesses,
    /// A take-over that finds a contradiction halts the pipeline without asking whether the lane is still ours.
    HaltUnasked,
    /// A lane that has nothing to do never asks whether it is still ours.
    IdleUnasked,
    /// A host whose take-over was fenced stays in the group without reading the partition.
    LeftOut,
}
