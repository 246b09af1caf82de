//! Keys and hashdiffs as the tools that people use were seen to make them: `pairs.json` has values, how a tool was set, and the
//! digest that it gave. Another file of this form can be named by `GRISTMILL_TEST_PAIRS`.

use super::{configured, ghosts, module};
use gristmill::effect::Cell;
use gristmill::record::Batch;
use gristmill::transform::Module;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
struct Pair {
    /// `MD5`, `SHA-1`, `SHA-256`.
    algorithm: String,
    /// A column's name, its value as PostgreSQL's text (or NULL), and, where the type matters, the SQL that gave it.
    inputs: Vec<Vec<Option<String>>>,
    config: Setting,
    /// In hex; `None`: the key is NULL.
    expected: Option<String>,
}

/// How a tool was set.
#[derive(Deserialize)]
struct Setting {
    tool: String,
    kind: String,
    casing: Option<String>,
    trim: Option<String>,
    concat: Option<String>,
    null_placeholder: Option<String>,
    /// `string` for a column by itself, or `list`.
    columns_given_as: Option<String>,
    null_columns: Option<NullColumns>,
}

/// What stands for NULL before anything is hashed.
#[derive(Deserialize)]
struct NullColumns {
    optional: String,
}

/// A column of the guest's configuration, and what the record has for it.
struct Column {
    name: String,
    rule: Value,
    /// As JSON, digit by digit.
    json: String,
}

impl Pair {
    /// Whether it is the key of rows that are there before anything is loaded: nothing was hashed for it.
    fn is_ghost(&self) -> bool {
        matches!(self.config.kind.as_str(), "ghost-record" | "error_key")
    }

    fn recipe(&self) -> Value {
        let Setting { tool, casing, trim, concat, null_placeholder, .. } = &self.config;
        let algorithm = self.algorithm.replace('-', "").to_lowercase();
        let upper = casing.as_deref() == Some("upper");
        let trim = trim.as_deref() != Some("none");
        let zoned = self.inputs.iter().flatten().flatten().any(|sql| sql.starts_with("TIMESTAMPTZ "));
        match tool.as_str() {
            "automate-dv" => {
                json!({ "name": tool, "algorithm": algorithm, "output": "hex", "upper": upper, "trim": trim,
                                     "delimiter": concat, "null": null_placeholder, "zoned": zoned })
            }
            "datavault4dbt" => {
                json!({ "name": tool, "algorithm": algorithm, "output": "hex", "upper": upper, "trim": trim,
                                       "zoned": zoned })
            }
            // A value by itself is hashed as it is by this one too.
            "dbt_utils.generate_surrogate_key" | "handbook-example" => {
                json!({ "name": "dbt-utils", "algorithm": algorithm, "output": "hex" })
            }
            _ => panic!("{tool}: which recipe is that?"),
        }
    }

    fn columns(&self) -> Vec<Column> {
        let column = |input: &Vec<Option<String>>| {
            let name = input[0].clone().unwrap();
            let sql = input.get(2).map(|sql| sql.as_deref().unwrap());
            let (ty, json) = typed(sql, input[1].as_deref());
            let mut rule = json!({ "pointer": format!("/{name}"), "type": ty, "nullable": true });
            if let Some(NullColumns { optional }) = &self.config.null_columns {
                rule["default"] = json!(optional);
            }
            Column { name, rule, json }
        };
        self.inputs.iter().map(column).collect()
    }

    /// A configuration that makes the one key or hashdiff, as text in the table `t`, column `digest`.
    fn guest_config(&self, columns: &[Column]) -> String {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let rules: Map<String, Value> =
            columns.iter().map(|one| (one.name.clone(), one.rule.clone())).collect();
        let list = self.config.columns_given_as.as_ref().map_or(names.len() > 1, |given| given == "list");
        let given = if list { json!(names) } else { json!(names[0]) };
        let mut config = json!({
            "recipe": self.recipe(),
            "load_date": { "column": "load_date", "record": "timestamp" },
            "record_source": { "column": "record_source", "value": "test" },
        });
        match self.config.kind.as_str() {
            "hashkey" | "surrogate_key" => {
                config["hub"] = json!([{
                    "name": "h", "table": "t", "key": "digest", "business_key": given, "columns": rules }]);
            }
            "hashkey(link)" | "hashkey(link/eff-sat)" => {
                let hub = |one: &Column| {
                    json!({ "name": one.name, "table": format!("h_{}", one.name), "key": format!("k_{}", one.name),
                            "business_key": one.name, "columns": { &*one.name: one.rule } })
                };
                config["hub"] = columns.iter().map(hub).collect();
                config["link"] = json!([{ "table": "t", "key": "digest", "hubs": names }]);
            }
            "hashdiff" => {
                config["hub"] = json!([{ "name": "h", "table": "h", "key": "h_key", "business_key": ["id"],
                                         "columns": { "id": { "value": 1, "type": "int" } } }]);
                config["satellite"] = json!([{
                    "table": "t", "of": "h", "hashdiff": "digest", "hashdiff_of": given, "columns": rules }]);
            }
            kind => panic!("{kind}: what is that?"),
        }
        config.to_string()
    }
}

/// The type that the guest gives a value of this SQL, and the value in a record.
fn typed(sql: Option<&str>, text: Option<&str>) -> (&'static str, String) {
    let quoted = |sql: &str| sql.split('\'').nth(1).map(str::to_owned).unwrap_or_else(|| panic!("{sql}"));
    let (value, cast) = match sql {
        None => ("", "varchar"),
        Some(sql @ ("TRUE" | "FALSE")) => (sql, "boolean"),
        // `'x'::varchar`, `DATE '1977-07-07'`
        Some(sql) => sql
            .rsplit_once("::")
            .or_else(|| sql.split_once(' ').map(|(cast, value)| (value, cast)))
            .unwrap_or_else(|| panic!("{sql}: which type is that?")),
    };
    let (ty, json): (&str, Option<String>) = match cast {
        "varchar" => ("text", text.map(|text| json!(text).to_string())),
        "int" | "bigint" => ("int", Some(value.trim_matches(['(', ')']).to_owned())),
        "float8" => ("float", Some(value.to_owned())),
        "uuid" => ("uuid", Some(json!(quoted(value)).to_string())),
        "boolean" => ("boolean", Some(value.to_lowercase())),
        "DATE" => ("date", Some(json!(quoted(value)).to_string())),
        "TIMESTAMP" => ("timestamp", Some(json!(quoted(value).replace(' ', "T") + "Z").to_string())),
        "TIMESTAMPTZ" => ("timestamp", Some(json!(quoted(value).replace(' ', "T") + ":00").to_string())),
        cast if cast.starts_with("numeric") => ("decimal", Some(value.to_owned())),
        _ => panic!("{sql:?}: which type is that?"),
    };
    (ty, json.filter(|_| text.is_some()).unwrap_or_else(|| "null".to_owned()))
}

/// The digest that the guest makes of a record with these columns.
fn digest(module: &Module, config: &str, columns: &[Column]) -> Option<String> {
    let mut trial = configured(module, config);
    let fields: Vec<String> = columns.iter().map(|one| format!("{}:{}", json!(one.name), one.json)).collect();
    let mut batch = Batch::new("in", 0);
    batch.push(0, 1_000, None, Some(format!("{{{}}}", fields.join(",")).as_bytes()));
    let checked = trial.apply(&batch).0.unwrap();
    assert!(checked.failures.is_empty(), "{fields:?}: {:?}", checked.failures);
    let table = trial.shape.tables.iter().position(|table| table.name == "t").unwrap();
    let column = trial.shape.tables[table].columns.iter().position(|one| one.name == "digest").unwrap();
    let rows = checked.rows.iter().find(|rows| rows.table == table && !rows.records.is_empty())?;
    match rows.cell(column, 0) {
        Cell::Text(text) => Some(text.to_owned()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_pair_comes_out_of_the_guest_byte_for_byte() {
    let pairs = match std::env::var("GRISTMILL_TEST_PAIRS") {
        Ok(path) => std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")),
        Err(_) => include_str!("pairs.json").to_owned(),
    };
    let pairs: Vec<Pair> = serde_json::from_str(&pairs).unwrap();
    let (ghosts, hashed): (Vec<&Pair>, Vec<&Pair>) = pairs.iter().partition(|pair| pair.is_ghost());
    println!("{} pairs were hashed, {} are keys of ghosts", hashed.len(), ghosts.len());
    assert!(!hashed.is_empty());
    let module = module();
    let mut wrong = Vec::new();
    for pair in &hashed {
        let columns = pair.columns();
        let found = digest(&module, &pair.guest_config(&columns), &columns);
        if found != pair.expected {
            wrong.push(format!(
                "{} of {:?} gives {found:?}, not {:?}",
                pair.recipe(),
                pair.inputs,
                pair.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), hashed.len(), wrong.join("\n"));
    // The host writes those with the tables; that they are there is a test of its own.
    let known = ghosts::keys();
    for pair in ghosts {
        assert!(known.contains(pair.expected.as_ref().unwrap()), "{:?}", pair.expected);
    }
}
