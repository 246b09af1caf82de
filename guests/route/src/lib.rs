//! Turns JSON records into rows, messages and mail by the rules of its configuration (README.md).
//!
//! `config` is what an author writes, `rule` what it becomes: everything that has a name is resolved once.
//! Per record, `scan` picks the wanted places out of the text in one pass, `leaf` reads them as what is needed,
//! and `rows` and `messages` make the effects, or gather every fault.

mod condition;
mod config;
mod kinds;
mod leaf;
mod messages;
mod place;
mod rows;
mod rule;
mod scan;
mod template;

pub use config::Config;
use gristmill_sdk::{Failure, Out, Plan, Record, Transform};

struct Route(rule::Rules);

impl Transform for Route {
    const ABOUT: &'static str =
        "Turns JSON records into rows, messages and mail, by rules in its configuration.";
    type Config = Config;

    fn config_schema() -> Option<&'static str> {
        Some(include_str!("../config.schema.json"))
    }

    fn configure(config: Config, plan: &mut Plan) -> Result<Self, String> {
        rule::Rules::compile(config, plan).map(Self)
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        self.0.follow(record, out)
    }
}

gristmill_sdk::export!(Route);
