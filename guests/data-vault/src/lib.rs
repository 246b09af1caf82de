//! Loads a Data Vault from JSON records: hubs, links and satellites by its configuration (README.md).
//!
//! `config` is what an author writes, `vault` what it becomes, `recipe` how keys and hashdiffs are made and `text` what of;
//! `work` is what is done for each record. Rules (those of `route`) may name the keys.

#[allow(missing_docs, reason = "README.md explains what an author writes")]
mod config;
mod recipe;
mod text;
mod vault;
mod work;

pub use config::Config;
use gristmill_rules::{Facts, Places, Rules, declare, once_encoded};
use gristmill_sdk::{Failure, Faults, Out, Plan, Record, Transform};
use std::cell::RefCell;

/// The transform.
pub struct DataVault {
    vault: vault::Vault,
    rules: Rules,
    places: Places,
    /// The keys of the record that is at work, for its rules.
    made: RefCell<gristmill_rules::Made>,
}

impl Transform for DataVault {
    const ABOUT: &'static str =
        "Loads a Data Vault from JSON records: hubs, links and satellites by its configuration.";
    type Config = Config;

    fn config_schema() -> Option<&'static str> {
        Some(concat!(
            r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Configuration of data-vault",
  "type": "object",
  "required": ["recipe", "load_date", "record_source"],
  "additionalProperties": false,
  "properties": {
    "recipe": {
      "description": "How keys and hashdiffs are made.",
      "anyOf": [
        { "enum": ["framed", "keyed", "automate-dv", "datavault4dbt", "uuid3-x500", "dbt-utils"] },
        {
          "type": "object",
          "required": ["name"],
          "additionalProperties": false,
          "properties": {
            "name": { "enum": ["framed", "keyed", "automate-dv", "datavault4dbt", "uuid3-x500", "dbt-utils"] },
            "algorithm": { "enum": ["md5", "sha1", "sha256"] },
            "output": { "enum": ["binary", "hex"] },
            "upper": { "type": "boolean" },
            "upper_hashdiffs": { "type": "boolean" },
            "trim": { "type": "boolean" },
            "trim_hashdiffs": { "type": "boolean" },
            "delimiter": { "type": "string" },
            "null": { "type": "string" },
            "zoned": { "type": "boolean" },
            "secret": { "description": "Of the recipe keyed: the name of a secret.", "type": "string" }
          }
        }
      ]
    },
    "load_date": { "description": "A column with its name, `column`.", "type": "object", "required": ["column"] },
    "record_source": { "description": "A column with its name, `column`.", "type": "object", "required": ["column"] },
    "hub": {
      "type": "array",
      "items": {
        "type": "object",
        "required": ["name", "table", "key", "business_key", "columns"],
        "additionalProperties": false,
        "properties": {
          "name": { "type": "string" },
          "table": { "type": "string" },
          "key": { "type": "string" },
          "business_key": { "type": ["string", "array"], "items": { "type": "string" } },
          "columns": { "type": "object", "minProperties": 1 },
          "when": { "$ref": "#/$defs/condition" },
          "each": { "$ref": "#/$defs/pointer" },
          "distinct": { "$ref": "#/$defs/pointer" },
          "find": { "$ref": "#/$defs/find" }
        }
      }
    },
    "link": {
      "type": "array",
      "items": {
        "type": "object",
        "required": ["table", "key", "hubs"],
        "additionalProperties": false,
        "properties": {
          "name": { "type": "string" },
          "table": { "type": "string" },
          "key": { "type": "string" },
          "hubs": { "type": "array", "minItems": 2, "items": { "type": "string" } },
          "hub_columns": { "type": "array", "items": { "type": "string" } },
          "columns": { "type": "object" },
          "dependent": { "type": "array", "items": { "type": "string" } },
          "when": { "$ref": "#/$defs/condition" }
        }
      }
    },
    "satellite": {
      "type": "array",
      "items": {
        "type": "object",
        "required": ["table", "of"],
        "additionalProperties": false,
        "properties": {
          "table": { "type": "string" },
          "of": { "type": "string" },
          "key": { "type": "string" },
          "hashdiff": { "type": "string" },
          "columns": { "type": "object", "minProperties": 1 },
          "hashdiff_of": { "type": ["string", "array"], "items": { "type": "string" } },
          "hashdiff_is_key": { "type": "boolean", "default": false },
          "each": { "$ref": "#/$defs/pointer" },
          "distinct": { "$ref": "#/$defs/pointer" },
          "find": { "$ref": "#/$defs/find" },
          "children": { "type": "array", "items": { "type": "string" } },
          "driving": { "type": "array", "items": { "type": "string" } },
          "start": { "type": "string" },
          "end": { "type": "string" },
          "when": { "$ref": "#/$defs/condition" }
        }
      }
    },
    "rule": { "type": "array", "items": { "$ref": "#/$defs/rule" } }
  },
  "$defs": "##,
            include_str!("../../rules/defs.json"),
            "}"
        ))
    }

    fn configure(mut config: Config, plan: &mut Plan) -> Result<Self, String> {
        let mut places = Places::default();
        let rules = std::mem::take(&mut config.rule);
        let vault = vault::Vault::compile(config, &mut places, plan)?;
        let mut rules = Rules::compile(rules, "/rule", &mut places, plan)?;
        declare(rules.rows(), plan)?;
        let made = RefCell::new(places.made());
        Ok(Self { vault, rules, places, made })
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let text = once_encoded(record.text()?)?;
        let reading = self.places.read(&text, &[])?;
        let mut made = self.made.borrow_mut();
        made.clear();
        let mut faults = Faults::default();
        let facts = Facts::of(record, &reading);
        work::load(&self.vault, &facts, out, &mut made, &mut faults);
        if faults.is_empty() {
            self.rules.follow(&Facts { made: Some(&made), ..facts }, out, &mut faults);
        }
        faults.check()
    }
}

gristmill_sdk::export!(DataVault);
