//! Looks up what belongs to JSON records, and turns both into rows, messages and mail by rules (README.md). The rules are
//! those of `route`; what was looked up has a name in them.

mod lookups;

use gristmill_rules::{Places, Rulebook, Rules, config, once_encoded};
use gristmill_sdk::{Failure, Keys, Out, Plan, Record, Transform};
use lookups::Lookups;
use serde::Deserialize;

/// The configuration as its author writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    lookup: Vec<lookups::Config>,
    rule: Vec<config::Rule>,
}

/// The transform.
pub struct Enrich {
    lookups: Lookups,
    rules: Rulebook,
}

impl Transform for Enrich {
    const ABOUT: &'static str =
        "Looks up what belongs to JSON records, and turns both into rows, messages and mail by rules.";
    type Config = Config;

    fn config_schema() -> Option<&'static str> {
        Some(concat!(
            r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Configuration of enrich",
  "type": "object",
  "required": ["lookup", "rule"],
  "additionalProperties": false,
  "properties": {
    "lookup": {
      "description": "What is looked up for every record, or for those of a condition.",
      "type": "array",
      "minItems": 1,
      "items": {
        "type": "object",
        "required": ["name", "key"],
        "additionalProperties": false,
        "properties": {
          "name": { "description": "What pointers into the answer begin with.", "type": "string" },
          "lookup": { "description": "The pipeline's lookup, if it is called otherwise.", "type": "string" },
          "key": { "$ref": "#/$defs/expression" },
          "missing": { "default": "park", "$ref": "#/$defs/missing" },
          "when": { "$ref": "#/$defs/condition" }
        }
      }
    },
    "rule": {
      "description": "Followed one after the other, for every record.",
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
        let lookups = Lookups::compile(config.lookup, &mut places, plan)?;
        let rules = Rules::compile(config.rule, "/rule", &mut places, plan)?;
        Ok(Self { lookups, rules: Rulebook::new(rules, places, plan)? })
    }

    fn lookups(&self, record: &Record<'_>, keys: &mut Keys<'_>) -> Result<(), Failure> {
        let text = once_encoded(record.text()?)?;
        self.lookups.ask(record, &text, keys)
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let text = once_encoded(record.text()?)?;
        let answers = self.lookups.answers(record, &text)?;
        self.rules.follow(record, &text, &answers, out)
    }
}

gristmill_sdk::export!(Enrich, lookups);
