//! Checks each record against a JSON Schema: valid ones go on as they are, the others are refused with every
//! fault and its place.

mod faults;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod randomness;

use gristmill_sdk::{Failure, Out, Output, Plan, Record, Transform};
use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value;

/// What to check, and where the valid records go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    schema: Value,
    #[serde(default = "next")]
    output: String,
    #[serde(default = "yes")]
    format: bool,
}

fn next() -> String {
    "next".to_owned()
}

fn yes() -> bool {
    true
}

struct Validate {
    schema: Validator,
    output: Output,
}

impl Transform for Validate {
    const ABOUT: &'static str = "Checks each record's JSON against a JSON Schema. Valid records go on unchanged; \
        the others are refused, with one failure for every fault.";
    type Config = Config;

    fn config_schema() -> Option<&'static str> {
        Some(include_str!("../config.schema.json"))
    }

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, String> {
        let schema = jsonschema::options()
            .should_validate_formats(config.format)
            .build(&config.schema)
            .map_err(|error| format!("/schema{}: {}", error.instance_path(), faults::reason(&error)))?;
        Ok(Self { schema, output: plan.output(config.output) })
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let value: Value = record.json()?;
        // The plain yes or no is much cheaper than the list of faults, and nearly always enough.
        if !self.schema.is_valid(&value) {
            faults::all(&self.schema, &value).check()?;
        }
        out.send(self.output);
        Ok(())
    }
}

gristmill_sdk::export!(Validate);
