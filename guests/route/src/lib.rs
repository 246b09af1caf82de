//! Turns JSON records into rows, messages and mail by the rules of its configuration (README.md). What the rules are
//! and do is in `gristmill-rules`.

use gristmill_rules::{Places, Rulebook, Rules, config};
use gristmill_sdk::{Failure, Out, Plan, Record, Transform};

/// The transform.
pub struct Route(Rulebook);

impl Transform for Route {
    const ABOUT: &'static str =
        "Turns JSON records into rows, messages and mail, by rules in its configuration.";
    type Config = config::Config;

    fn config_schema() -> Option<&'static str> {
        Some(concat!(
            r##"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Configuration of route",
  "type": "object",
  "required": ["rule"],
  "additionalProperties": false,
  "properties": {
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

    fn configure(config: config::Config, plan: &mut Plan) -> Result<Self, String> {
        let mut places = Places::default();
        let rules = Rules::compile(config.rule, "/rule", &mut places, plan)?;
        Rulebook::new(rules, places, plan).map(Self)
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        self.0.follow(record, record.text()?, &[], out)
    }
}

gristmill_sdk::export!(Route);
#[cfg(test)]
mod tests {
    use super::*;
    use gristmill_sdk::testing::refused_config;

    #[test]
    fn wrong_configurations_are_refused_with_a_pointer() {
        for (config, error) in [
            (r#"{}"#, ": missing field `rule`"),
            (r#"{"rule": [{}]}"#, "/rule/0: a rule that does nothing"),
            (r#"{"rule": [{"forward": 1}]}"#, "/rule/0/forward: "),
            (r#"{"rule": [{"forwards": true}]}"#, "/rule/0"),
            (r#"{"rule": [{"forward": true, "when": {}}]}"#, "/rule/0/when: "),
            (
                r#"{"rule": [{"forward": true, "when": {"pointer": "a", "exists": true}}]}"#,
                "/rule/0/when/pointer: ",
            ),
            (
                r#"{"rule": [{"forward": true, "when": {"pointer": "/a~2", "exists": true}}]}"#,
                "/rule/0/when/pointer: ",
            ),
            (
                r#"{"rule": [{"forward": true, "when": {"any": [{"pointer": "/a"}]}}]}"#,
                "/rule/0/when/any/0: ",
            ),
            (
                r#"{"rule": [{"forward": true, "when": {"pointer": "/a", "equals": []}}]}"#,
                "/rule/0/when/equals: ",
            ),
            (
                r#"{"rule": [{"rows": [{"table": "t", "columns": {"c": "text"}}]}]}"#,
                "/rule/0/rows/0/columns/c: ",
            ),
            (
                r#"{"rule": [{"rows": [{"table": "t", "columns": {"c": "@/x"}}]}]}"#,
                "/rule/0/rows/0/columns/c: ",
            ),
            (
                r#"{"rule": [{"rows": [{"table": "t", "columns": {"c": {"value": "x", "type": "int"}}}]}]}"#,
                "/rule/0/rows/0/columns/c: ",
            ),
            (
                r#"{"rule": [{"rows": [{"table": "t", "columns": {"c": {"pointer": "/a", "value": 1}}}]}]}"#,
                "/rule/0/rows/0/columns/c: ",
            ),
            (
                r#"{"rule": [{"rows": [
                    {"table": "t", "columns": {"c": "/a"}},
                    {"table": "t", "columns": {"c": {"pointer": "/a", "type": "int"}}}
                ]}]}"#,
                "/rule/0/rows/1: table `t`",
            ),
            (r#"{"rule": [{"messages": [{"output": "o", "key": "{/a"}]}]}"#, "/rule/0/messages/0/key: "),
            (
                r#"{"rule": [{"messages": [{"output": "o", "headers": {"h": 1}}]}]}"#,
                "/rule/0/messages/0/headers/h: ",
            ),
            (
                r#"{"rule": [{"mails": [{"to": "/a", "subject": "}", "text": ""}]}]}"#,
                "/rule/0/mails/0/subject: ",
            ),
            (
                r#"{"rule": [{"messages": [{"output": "o", "topic": "t"}, {"output": "o"}]}]}"#,
                "output `o` is declared both",
            ),
        ] {
            let refused = refused_config::<Route>(config).unwrap_or_default();
            assert!(refused.starts_with(error), "{config}: {refused}");
        }
    }
}
