//! From the store's outbox to the log: what was committed becomes visible, once.

pub mod ledgers;
pub mod outbox;
