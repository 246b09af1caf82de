//! What a store can answer instead of doing it, classified where the error is born: by what the caller does next.

use crate::effect::TakenOut;
use crate::record::LaneId;

/// Why a store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else has taken the lane over: let go of it, write nothing.
    #[error(
        "{lane}: fenced: this host's epoch {epoch} and batch {batch} are no longer the lane's: another host has taken it over"
    )]
    Fenced {
        /// The lane.
        lane: LaneId,
        /// The epoch that was expected.
        epoch: i64,
        /// The batch that was expected.
        batch: i64,
    },
    /// The database cannot be reached or is overloaded: try again later, nothing is lost.
    #[error("the {store} store is not available ({doing}): {message}")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What was being done.
        doing: String,
        /// What the driver said, without secrets.
        message: String,
    },
    /// Something that trying again will not change: a table that is missing or does not fit, a missing right.
    #[error("{message}")]
    Unfit {
        /// What is wrong, where, and what to do.
        message: String,
    },
    /// Records are taken out of a batch whose other records may count on them ([`crate::effect::Effects::counted_on`]):
    /// nothing is written, and the batch is to be worked through without them.
    #[error("{} records are taken out of a batch whose others may count on them", .0.failures.len() + .0.duplicates.len())]
    TakenOut(Box<TakenOut>),
    /// A request that makes no sense: a filter of the wrong type, an unknown page.
    #[error("{0}")]
    BadRequest(String),
}

/// A row that the database refuses: the record's fault, not the store's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The table.
    pub table: String,
    /// SQLSTATE, five characters; of SQLite the nearest one.
    pub sqlstate: String,
    /// The constraint that is violated, if it has a name.
    pub constraint: Option<String>,
    /// The column, if the database names it.
    pub column: Option<String>,
    /// What the database said.
    pub message: String,
}
