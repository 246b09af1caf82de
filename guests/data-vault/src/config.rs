//! The configuration as its author writes it; README.md explains it.

use crate::recipe;
pub use gristmill_rules::config::Condition as When;
use gristmill_rules::config::{Find, Rule};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A vault, or a part of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub recipe: recipe::Config,
    pub load_date: Stamp,
    pub record_source: Stamp,
    #[serde(default)]
    pub hub: Vec<Hub>,
    #[serde(default)]
    pub link: Vec<Link>,
    #[serde(default)]
    pub satellite: Vec<Satellite>,
    #[serde(default)]
    pub rule: Vec<Rule>,
}

/// A column that every table has.
#[derive(Debug, Deserialize)]
pub struct Stamp {
    /// Its name in the tables.
    pub column: String,
    /// How it is filled: as any column.
    #[serde(flatten)]
    pub source: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// What links, satellites and rules call it.
    pub name: String,
    pub table: String,
    /// The key's column.
    pub key: String,
    /// The columns that are the business key.
    pub business_key: Names,
    pub columns: Map<String, Value>,
    pub when: Option<When>,
    pub each: Option<String>,
    pub find: Option<Find>,
    pub distinct: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What satellites and rules call it; its table if not said.
    pub name: Option<String>,
    pub table: String,
    pub key: String,
    /// The hubs that it joins, in order.
    pub hubs: Vec<String>,
    /// The columns of the hubs' keys, if they are called otherwise than in the hubs.
    pub hub_columns: Option<Vec<String>>,
    /// More columns: what happened, of a transactional link.
    #[serde(default)]
    pub columns: Map<String, Value>,
    /// Which of those are part of the link's key: dependent children.
    #[serde(default)]
    pub dependent: Vec<String>,
    pub when: Option<When>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Satellite {
    pub table: String,
    /// The hub or link that it describes.
    pub of: String,
    /// The column of the parent's key, if it is called otherwise than there.
    pub key: Option<String>,
    /// The hashdiff's column; none where a state lasts from a start to an end.
    pub hashdiff: Option<String>,
    #[serde(default)]
    pub columns: Map<String, Value>,
    /// The columns that the hashdiff is made of; all if not said.
    pub hashdiff_of: Option<Names>,
    /// The parent's key in the place of a hashdiff: only the present state is kept then.
    #[serde(default)]
    pub hashdiff_is_key: bool,
    /// Of an array: a state is the set of rows that its items make (multi-active). With `children`.
    pub each: Option<String>,
    pub find: Option<Find>,
    pub distinct: Option<String>,
    /// The columns that tell the members of the set apart.
    #[serde(default)]
    pub children: Vec<String>,
    /// Of a link (effectivity): the hubs whose keys can have one of the others at a time.
    #[serde(default)]
    pub driving: Vec<String>,
    /// From when the link holds: this column gets the load date.
    pub start: Option<String>,
    /// Until when: this column gets 9999-12-31, and the host adds what ends it.
    pub end: Option<String>,
    pub when: Option<When>,
}

/// One name, or a list of names. Some recipes treat a value that is given alone otherwise than a list of one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Names {
    One(String),
    List(Vec<String>),
}

impl Names {
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::List(names) => names,
        }
    }

    pub fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }
}
