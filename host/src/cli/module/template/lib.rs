//! Each person becomes a row of `people`; one without a name is refused.

use gristmill_sdk::{Config, Failure, Out, Plan, Record, Row, Transform};
use serde::Deserialize;

/// What a record holds, as JSON.
#[derive(Deserialize)]
struct Person {
    id: i64,
    name: String,
}

/// What it becomes: a column for each field.
#[derive(Row)]
#[row(table = "people")]
struct PersonRow<'a> {
    id: i64,
    name: &'a str,
}

struct Module;

impl Transform for Module {
    const ABOUT: &'static str = "Each person becomes a row of `people`.";
    type Config = Config; // it takes no configuration

    fn configure(_: Config, plan: &mut Plan) -> Result<Self, String> {
        plan.table::<PersonRow<'_>>();
        Ok(Module)
    }

    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let person: Person = record.json()?;
        let name = person.name.trim();
        if name.is_empty() {
            return Err(Failure::reject("no-name", "a person has a name").at("/name"));
        }
        out.row(&PersonRow {
            id: person.id,
            name,
        });
        Ok(())
    }
}

gristmill_sdk::export!(Module);

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill_sdk::testing::{TestRecord, run};

    #[test]
    fn people_need_a_name() {
        let record = |name: &str| TestRecord::text(format!(r#"{{"id": 1, "name": "{name}"}}"#));
        let caused = run::<Module>("{}", &[record("Ada"), record(" ")]).unwrap();
        assert_eq!(caused[0].rows[0].columns["id"], 1);
        assert_eq!(caused[1].failures[0].code, "no-name");
    }
}
