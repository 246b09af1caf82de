//! The commit of a batch, and the relay of mail, as models: small worlds of hosts that die, fall silent and come back,
//! in which [stateright] tries everything that can happen in any order. `cargo test -p gristmill-model -- --nocapture`
//! says how many states each world has. A change of the commit is tried here first.
//!
//! [`commit`] is the model of the commit: two hosts, one or two partitions, one store, one log, a consumer group.
//! [`mail`] is that of mail; it begins where a commit has put a mail into the store. [`world`] says how much there is
//! of everything and lists the rules that can be broken; `tests/worlds/` has the worlds, and each broken rule is found
//! there.
//!
//! # What stands for what
//!
//! One step of a model is one thing that happens at once for everybody else: one transaction of the store, one request
//! to the broker. What a host computes between two of them is part of the step before. Steps have the names of the
//! code that they stand for:
//!
//! | step | in `host/src` |
//! |---|---|
//! | `Assigned`, `Lost`, `Revoke` | `PartitionEvents` as `pipeline.rs` works it through |
//! | `TakeOver`, `Lane`, `Outbox`, `BeginAt`, `MarkPublished` | the methods of `Store` of these names, called by `lane/take_over.rs` in this order; the statements are in `store/lanes.rs` |
//! | `InitTransactions`, `GroupLedger` | `Publisher::open`: `log/kafka/publisher.rs` |
//! | `Outbox`, its second part | `publish/ledgers.rs`, `compare`: [`take_over`] has the same table |
//! | `Publish`, `CommitTransaction` | `Publisher::publish`: up to `send_offsets_to_transaction`, and its end |
//! | `DueParked` | `Store::due_parked`, called by `lane/parked.rs` |
//! | `Commit`, `CommitAgain` | `Store::commit` (`store/commit.rs`): `advance`, `effects`, `ledger_line`, COMMIT; and `arrived_before` after an answer that was lost |
//! | `Owned`, then `InitTransactions`, `GroupLedger`, `Owned` | `reopen` in `lane/publish.rs` |
//! | `PutOff`, `Tell` | a batch without messages: `Telling` and `rest` in `lane/publish.rs` |
//! | `MarkPublished` at work | the idle mark: `mark` in `lane/publish.rs` |
//! | `Leave` | a drained lane: `Lane::drain`, then the mark |
//! | `Rejoin` | `Pipeline::watch`: a fenced lane that is still ours |
//! | `Halted` | `Pipeline::halt`, of this lane only |
//! | `IdleLook` | `owned`, asked by a publisher that has nothing to do: `lane/publish.rs` |
//!
//! The journal's publisher does in one transaction what takes Kafka's two steps, so it is a special case.
//!
//! # What is simpler than the code
//!
//! There is no clock: what is due may be worked on, and what has a time limit may run into it at any moment. Reading
//! the log is no step, for what it has does not change. The broker would also refuse an old generation of the group;
//! the models do without, which only lets more happen. An operator's word (`Store::resolve`), replayed dead letters,
//! a log that lost records and a store from a backup are left out.
//!
//! # What the code learned here
//!
//! Five rules were not kept by the code when the models were made, and are now: `HaltUnasked`, `LeftOut`, `IdleUnasked`,
//! `ReopenGuesses` and `CountsTwice` say what it did instead, and `tests/worlds/lessons.rs` what could come of each.
//! None of them lost a row; `ReopenGuesses` doubled a message.
//!
//! # What must hold
//!
//! In every state: no effect twice; nothing visible before it is committed; batches visible in their order; no pipeline
//! halts without a cause; and if everybody dies now, one host that takes over and is left alone finishes all of it. And
//! where nothing can happen any more, every record has had its row or dead letter and its message (if it has one),
//! once, whether or not it was parked before.

pub mod commit;
pub mod lane;
pub mod log;
pub mod mail;
mod must;
pub mod store;
pub mod take_over;
pub mod tally;
pub mod working;
pub mod world;
