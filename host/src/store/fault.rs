//! What can go wrong in a statement: a row is refused (its record's fault), or the store cannot or must not go on.
//! Classified here, where SQLSTATEs are known, by what happens next.

use super::{Error, Refusal};
use crate::effect::{Failure, Verdict};

/// The stage of failures that the database found.
pub const STAGE: &str = "store";

/// Characters of a database's message that are kept: it may quote the row, which may be large.
const MESSAGE_CHARS_MAX: usize = 300;

/// Why a statement failed.
#[derive(Debug)]
pub enum Fault {
    /// The database refuses a row, or what stands for one here does.
    Refused(Refusal),
    /// Everything else.
    Store(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Store(error)
    }
}

impl Fault {
    /// For statements on Gristmill's own tables: nothing that a record could be blamed for.
    pub fn into_error(self) -> Error {
        match self {
            Fault::Store(error) => error,
            Fault::Refused(refusal) => Error::Unfit {
                message: format!(
                    "the store refuses a row of gristmill's own ({}): {}: compare its table with the migrations",
                    refusal.table,
                    refusal.reason()
                ),
            },
        }
    }
}

impl Refusal {
    /// What a dead letter says: table, constraint, column, message.
    pub fn reason(&self) -> String {
        let mut reason = format!("table {}", self.table);
        if let Some(constraint) = &self.constraint {
            reason.push_str(&format!(", constraint {constraint}"));
        }
        if let Some(column) = &self.column {
            reason.push_str(&format!(", column {column}"));
        }
        format!("{reason}: {}", self.message)
    }

    /// The failure of the record that this row belongs to.
    pub fn failure(&self) -> Failure {
        let code = format!("sqlstate-{}", self.sqlstate.to_ascii_lowercase());
        Failure::one(Verdict::Reject, STAGE, "", &code, self.reason())
    }
}

/// A message of bounded length without characters that a text column would refuse.
pub fn bounded(message: &str) -> String {
    let mut short: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    if short.len() < message.len() {
        short.push('…');
    }
    short.replace('\0', "\u{fffd}")
}

/// What an SQLSTATE means for the one who ran the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The row is at fault.
    Row,
    /// The moment is at fault: again later.
    Moment,
    /// Trying again will not change it.
    Lasting,
}

/// Classifies an SQLSTATE.
pub fn class(sqlstate: &str) -> Class {
    match (sqlstate.get(..2).unwrap_or(""), sqlstate) {
        (_, "21000" | "44000" | "P0001") | ("22" | "23" | "54", _) => Class::Row,
        (_, "25P02" | "25P03") | ("08" | "40" | "53" | "55" | "57" | "58", _) => Class::Moment,
        _ => Class::Lasting,
    }
}

/// Turns what sqlx reports into a fault. `state` finds the SQLSTATE, constraint, column and table of a database's own
/// error; `doing` is what was being done.
pub fn from_sqlx(
    store: &'static str,
    doing: &str,
    error: &sqlx::Error,
    state: impl FnOnce() -> State,
) -> Fault {
    use sqlx::Error as E;
    let unavailable =
        |message: String| Error::Unavailable { store, doing: doing.to_owned(), message: bounded(&message) };
    match error {
        E::Database(database) => {
            let state = state();
            let message = bounded(database.message());
            match class(&state.sqlstate) {
                Class::Row => Fault::Refused(Refusal {
                    table: state.table.unwrap_or_else(|| doing.to_owned()),
                    sqlstate: state.sqlstate,
                    constraint: state.constraint,
                    column: state.column,
                    message,
                }),
                Class::Moment => unavailable(format!("{message} ({})", state.sqlstate)).into(),
                Class::Lasting => {
                    let advice = if state.sqlstate.starts_with("28") {
                        "check user, password and TLS (sslmode) in GRISTMILL_STORE against what the server wants of them"
                    } else {
                        "compare the database's tables and rights with the pipeline spec, then start the pipeline again"
                    };
                    let message = format!(
                        "the {store} store cannot go on ({doing}): {message} ({}): {advice}",
                        state.sqlstate
                    );
                    Error::Unfit { message }.into()
                }
            }
        }
        // A setting may hold the password.
        E::Configuration(_) => Error::Unfit {
            message: format!("the {store} store's address or one of its settings is not understood"),
        }
        .into(),
        E::Encode(_)
        | E::Decode(_)
        | E::ColumnDecode { .. }
        | E::TypeNotFound { .. }
        | E::ColumnNotFound(_) => {
            Error::Unfit { message: format!("the {store} store was misunderstood ({doing}): {error}") }.into()
        }
        other => unavailable(other.to_string()).into(),
    }
}

/// What a database says about an error besides its message.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub sqlstate: String,
    pub table: Option<String>,
    pub constraint: Option<String>,
    pub column: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_classified_by_what_happens_next() {
        for state in ["23514", "23503", "22001", "22021", "21000", "P0001", "54000"] {
            assert_eq!(class(state), Class::Row, "{state}");
        }
        for state in ["08006", "40001", "40P01", "53300", "55P03", "57014", "57P01"] {
            assert_eq!(class(state), Class::Moment, "{state}");
        }
        for state in ["42P01", "42703", "42501", "0A000", ""] {
            assert_eq!(class(state), Class::Lasting, "{state}");
        }
    }

    #[test]
    fn long_messages_are_cut_and_lose_their_nul() {
        assert_eq!(bounded("a\0b"), "a\u{fffd}b");
        assert_eq!(bounded(&"ß".repeat(1000)).chars().count(), MESSAGE_CHARS_MAX + 1);
    }
}
