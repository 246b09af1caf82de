//! The configuration as its author writes it; README.md explains it, `compile` makes it into rules.

use crate::kinds::ColumnType;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The rules, in the order in which they are followed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub rule: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For people only.
    #[serde(default)]
    pub about: String,
    pub when: Option<Condition>,
    pub each: Option<String>,
    /// Of an object: its entries are the items.
    #[serde(default)]
    pub entries: bool,
    pub find: Option<Find>,
    pub distinct: Option<String>,
    #[serde(default)]
    pub rows: Vec<Row>,
    #[serde(default)]
    pub messages: Vec<Message>,
    #[serde(default)]
    pub mails: Vec<Mail>,
    #[serde(default)]
    pub forward: bool,
}

/// The items of an array, each by each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Each {
    pub each: String,
    /// Whether it is an object: its entries are the items then, `@/0` the name and `@/1` the value.
    pub entries: bool,
    pub find: Option<Find>,
    pub distinct: Option<String>,
}

/// The entry of another array that belongs to an item.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Find {
    /// What pointers into the entry begin with: `dish:/price`.
    pub name: String,
    /// The other array.
    #[serde(rename = "in")]
    pub within: String,
    /// Where an entry has what the item has at `equals`.
    pub by: String,
    pub equals: String,
    #[serde(default)]
    pub missing: Missing,
}

/// What is done with a record that misses something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// It may come: the record is parked and tried again.
    Park,
    /// The record is a dead letter.
    #[default]
    Reject,
    /// The record goes on without it: what pointers name there is missing.
    Keep,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    pub all: Option<Vec<Condition>>,
    pub any: Option<Vec<Condition>>,
    pub not: Option<Box<Condition>>,
    pub pointer: Option<String>,
    pub equals: Option<Value>,
    pub not_equals: Option<Value>,
    pub one_of: Option<Vec<Value>>,
    pub exists: Option<bool>,
    pub prefix: Option<String>,
    pub greater: Option<Value>,
    pub less: Option<Value>,
    pub at_least: Option<Value>,
    pub at_most: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub table: String,
    /// Each a pointer, or a table with the keys of `Column`.
    pub columns: Map<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    pub pointer: Option<String>,
    /// Pointers: the first that has something counts.
    pub first: Option<Vec<String>>,
    /// Values that `first` takes for nothing, besides null.
    pub except: Option<Vec<Value>>,
    pub value: Option<Value>,
    pub template: Option<String>,
    pub record: Option<RecordPart>,
    #[serde(rename = "type")]
    pub kind: Option<ColumnType>,
    pub default: Option<Value>,
    #[serde(default)]
    pub nullable: bool,
    #[serde(default)]
    pub parse: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordPart {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    /// The item's place in its array.
    Index,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    pub output: String,
    pub topic: Option<String>,
    pub key: Option<String>,
    pub value: Option<Value>,
    #[serde(default)]
    pub headers: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// One address or several, each a pointer or a template.
    pub to: Value,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
}
