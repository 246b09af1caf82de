//! What a log can answer instead of doing it, classified where the error is born: by what the caller does next.

/// Why a log did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or it is not sure whether it happened: try again later.
    #[error("the {log} log is not available ({doing}): {message}")]
    Unavailable {
        /// Which log.
        log: &'static str,
        /// What was being done, with topic and partition.
        doing: String,
        /// What the client said.
        message: String,
    },
    /// A newer publisher of the same lane has been opened.
    #[error("fenced by a newer publisher of the same lane ({doing}): {message}")]
    Fenced {
        /// What was being done.
        doing: String,
        /// What the client said.
        message: String,
    },
    /// This host's place in the group is gone: it has to join anew, and does as soon as nothing holds it up.
    #[error("this host is no longer in the group as it was ({doing}): {message}")]
    NoMember {
        /// What was being done.
        doing: String,
        /// What the client said.
        message: String,
    },
    /// Too much is on its way already.
    #[error("the log takes no more records at the moment")]
    Busy,
    /// No such topic.
    #[error("there is no topic `{0}`")]
    UnknownTopic(String),
    /// A record that the log never takes: too large, say.
    #[error("record {index}: the log refuses it: {message}")]
    Refused {
        /// Which of the records.
        index: usize,
        /// Why.
        message: String,
    },
    /// Something that trying again will not change.
    #[error("{0}")]
    Unfit(String),
}
