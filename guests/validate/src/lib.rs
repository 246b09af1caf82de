//! Checks each record against a JSON Schema: valid ones go on as they are, the others are refused with every
//! fault and its place.

mod faults;
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
mod randomness;
mod tree;

use gristmill_sdk::{Failure, Out, Output, Plan, Record, Transform};
use jsonschema::Validator;
use serde::Deserialize;
use serde_json::Value;
use tree::{Tree, Trees};

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

/// The transform.
pub struct Validate {
    schema: Validator<Trees>,
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
        let schema = jsonschema::options_for::<Trees>()
            .should_validate_formats(config.format)
            .build(&config.schema)
            .map_err(|error| format!("/schema{}: {}", error.instance_path(), faults::reason(&error)))?;
        Ok(Self { schema, output: plan.output(config.output) })
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let value: Tree<'_> = record.json()?;
        // The plain yes or no is much cheaper than the list of faults, and nearly always enough.
        if !self.schema.is_valid(&value) {
            faults::all(&self.schema, &value).check()?;
        }
        out.send(self.output);
        Ok(())
    }
}

gristmill_sdk::export!(Validate);

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill_sdk::testing::{TestRecord, refused_config, run};

    #[test]
    fn wrong_configurations_are_refused_with_a_pointer() {
        for (config, pointer) in [
            (r#"{"schema": {"type": "objekt"}}"#, "/schema/type: "),
            (r#"{"schema": {"properties": {"a": {"minimum": "1"}}}}"#, "/schema/properties/a/minimum: "),
            (r##"{"schema": {"$ref": "#/$defs/none"}}"##, "/schema"),
            (r#"{"schema": {"$ref": "https://example.org/far.json"}}"#, "/schema"),
            (r#"{"schema": {"pattern": "("}}"#, "/schema/pattern"),
            (r#"{"schema": true, "format": 1}"#, "/format: "),
            (r#"{"schema": true, "formats": true}"#, "/formats"),
            ("{}", ": missing field `schema`"),
        ] {
            let error = refused_config::<Validate>(config).unwrap_or_default();
            assert!(error.starts_with(pointer), "{config}: {error}");
        }
    }

    #[test]
    fn faults_and_reasons_are_bounded() {
        let items = vec![r#""long text""#; 10_000].join(",");
        let config = r#"{"schema": {"items": {"type": "integer"}, "maxItems": 3}}"#;
        let caused = run::<Validate>(config, &[TestRecord::text(format!("[{items}]"))]).unwrap();
        assert_eq!(caused[0].failures.len(), 50);
        assert!(caused[0].failures.iter().all(|fault| fault.reason.len() < 600), "{:?}", caused[0].failures);
    }

    #[test]
    fn names_from_records_cannot_blow_up_a_failure() {
        let config = r#"{"schema": {"additionalProperties": false}}"#;
        let record = TestRecord::text(format!(r#"{{"{}": 1}}"#, "n".repeat(1 << 20)));
        let caused = run::<Validate>(config, &[record]).unwrap();
        assert_eq!(caused[0].failures[0].pointer.as_deref(), Some(""));
        assert!(caused[0].failures[0].reason.len() < 600);
    }
}
