//! Counts and adds up what JSON records tell, each event once (README.md). A counter is a row of a `sum` table; which event
//! it counts goes along, and the store sees to it that the event counts once for each key.

use gristmill_rules::{Places, Rulebook, Rules, config, once_encoded};
use gristmill_sdk::{Failure, Out, Plan, Record, Transform};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The configuration as its author writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    counter: Vec<Counter>,
    #[serde(default)]
    rule: Vec<config::Rule>,
}

/// One table of counters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    table: String,
    when: Option<config::Condition>,
    each: Option<String>,
    find: Option<config::Find>,
    distinct: Option<String>,
    /// What is counted for: columns as in rules.
    key: Map<String, Value>,
    /// Columns that show what the last counted event said.
    #[serde(default)]
    keep: Map<String, Value>,
    /// What is added: a number, or a column as in rules.
    add: Map<String, Value>,
    /// Which event it is: the table's `counted_by`.
    #[serde(default)]
    event: Map<String, Value>,
}

impl Counter {
    /// The rule that writes its rows.
    fn rule(self, at: &str) -> Result<config::Rule, String> {
        if self.add.is_empty() {
            return Err(format!("{at}/add: name what is added"));
        }
        let add = self.add.into_iter().map(|(name, value)| match value {
            Value::Number(number) => {
                let ty = if number.is_f64() { "decimal" } else { "int" };
                (name, json!({ "value": number, "type": ty }))
            }
            column => (name, column),
        });
        let mut columns = Map::new();
        for (name, column) in self.key.into_iter().chain(self.keep).chain(add).chain(self.event) {
            if columns.insert(name.clone(), column).is_some() {
                return Err(format!("{at}: the column `{name}` is there twice"));
            }
        }
        Ok(config::Rule {
            when: self.when,
            each: self.each,
            find: self.find,
            distinct: self.distinct,
            rows: vec![config::Row { table: self.table, columns }],
            ..config::Rule::default()
        })
    }
}

/// The transform.
pub struct Mart(Rulebook);

impl Transform for Mart {
    const ABOUT: &'static str =
        "Counts and adds up what JSON records tell, each event once, by its configuration.";
    type Config = Config;

    fn config_schema() -> Option<&'static str> {
        Some(concat!(
            r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Configuration of mart",
  "type": "object",
  "required": ["counter"],
  "additionalProperties": false,
  "properties": {
    "counter": {
      "type": "array",
      "minItems": 1,
      "items": {
        "type": "object",
        "required": ["table", "key", "add"],
        "additionalProperties": false,
        "properties": {
          "table": { "type": "string" },
          "when": { "$ref": "#/$defs/condition" },
          "each": { "$ref": "#/$defs/pointer" },
          "distinct": { "$ref": "#/$defs/pointer" },
          "find": { "$ref": "#/$defs/find" },
          "key": { "description": "What is counted for.", "type": "object", "minProperties": 1 },
          "keep": { "description": "What the last counted event said.", "type": "object" },
          "add": { "description": "Numbers, or columns.", "type": "object", "minProperties": 1 },
          "event": { "description": "Which event it is.", "type": "object" }
        }
      }
    },
    "rule": {
      "description": "Followed after the counters, for every record.",
      "type": "array",
      "items": { "$ref": "#/$defs/rule" }
    }
  },
  "$defs": "##,
            include_str!("../../rules/defs.json"),
            "}"
        ))
    }

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, String> {
        let mut places = Places::default();
        let counters = config.counter.into_iter().enumerate();
        let counters: Vec<config::Rule> =
            counters.map(|(n, counter)| counter.rule(&format!("/counter/{n}"))).collect::<Result<_, _>>()?;
        if counters.is_empty() {
            return Err("/counter: nothing to count: `route` does without".to_owned());
        }
        let counters = Rules::compile(counters, "/counter", &mut places, plan)?;
        let rules = Rules::compile(config.rule, "/rule", &mut places, plan)?;
        Rulebook::new(counters.and(rules), places, plan).map(Self)
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let text = once_encoded(record.text()?)?;
        self.0.follow(record, &text, &[], out)
    }
}

gristmill_sdk::export!(Mart);

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill_sdk::testing::{TestRecord, refused_config, run};

    const CONFIG: &str = r#"{"counter": [{
        "table": "orders_by_user", "each": "", "when": {"pointer": "@/type", "equals": "order"},
        "key": {"user": "@/user"}, "keep": {"name": "@/name"}, "add": {"orders": 1}, "event": {"order": "@/order"}}]}"#;

    #[test]
    fn a_row_for_each_event() {
        let array = r#"[{"type":"order","user":"u","name":"n","order":"o"},{"type":"other"}]"#;
        let twice = serde_json::to_string(array).unwrap();
        let caused = run::<Mart>(CONFIG, &[TestRecord::text(array), TestRecord::text(twice)]).unwrap();
        for caused in &caused {
            assert_eq!(caused.rows.len(), 1);
            let columns = serde_json::to_string(&caused.rows[0].columns).unwrap();
            assert_eq!(columns, r#"{"user":"u","name":"n","orders":1,"order":"o"}"#);
        }
    }

    #[test]
    fn wrong_configurations_are_refused() {
        for (config, error) in [
            (r#"{"counter": []}"#, "/counter: "),
            (r#"{"counter": [{"table": "t", "key": {"a": "/a"}, "add": {}}]}"#, "/counter/0/add: "),
            (
                r#"{"counter": [{"table": "t", "key": {"a": "/a"}, "add": {"a": 1}}]}"#,
                "/counter/0: the column",
            ),
        ] {
            let refused = refused_config::<Mart>(config).unwrap_or_default();
            assert!(refused.starts_with(error), "{config}: {refused}");
        }
    }
}
