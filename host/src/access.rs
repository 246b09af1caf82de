//! Who may do what over HTTP: the nouns that tokens, the store and the routes share.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What somebody may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads: rows, dead letters, how pipelines are, metrics.
    Viewer,
    /// Looks after what runs: sends records, replays and drops dead letters, pauses, swaps.
    Operator,
    /// Changes what runs: modules and pipelines.
    Author,
    /// Changes who may do all this, and reads who did.
    Admin,
}

impl Role {
    /// All of them, ascending.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Operator, Role::Author, Role::Admin];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Author => "author",
            Role::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn of_name(name: &str) -> Option<Role> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// All that a role may do.
    Role(Role),
    /// Sending records to these topics, and nothing else.
    Ingest(Vec<String>),
}

impl Grant {
    /// Whether it is as good as a role.
    pub fn covers(&self, needed: Role) -> bool {
        matches!(self, Grant::Role(role) if *role >= needed)
    }

    /// Whether records may be sent to a topic with it.
    pub fn covers_ingest(&self, topic: &str) -> bool {
        match self {
            Grant::Role(role) => *role >= Role::Operator,
            Grant::Ingest(topics) => topics.iter().any(|granted| granted == topic),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grant::Role(role) => write!(f, "the role {role}"),
            Grant::Ingest(topics) => write!(f, "ingest to {}", topics.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_the_ones_before_may() {
        for (place, role) in Role::ALL.into_iter().enumerate() {
            assert_eq!(Role::of_name(role.name()), Some(role));
            for (other, needed) in Role::ALL.into_iter().enumerate() {
                assert_eq!(Grant::Role(role).covers(needed), place >= other, "{role} for {needed}");
            }
            assert_eq!(Grant::Role(role).covers_ingest("t"), role != Role::Viewer);
        }
        assert_eq!(Role::of_name("Admin"), None);
    }

    #[test]
    fn an_ingest_token_sends_to_its_topics_and_reads_nothing() {
        let grant = Grant::Ingest(vec!["orders".into()]);
        assert!(
            grant.covers_ingest("orders") && !grant.covers_ingest("order") && !grant.covers_ingest("orders2")
        );
        assert!(!grant.covers(Role::Viewer));
    }
}
