//! The pipelines that are measured, and their specs with the names of one run.

use anyhow::Context;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Pipeline {
    /// One guest of the SDK's, one table: the job that a peer is usually measured by.
    Core,
    /// examples/city-orders without its topics and mail: two stages, one table.
    City,
    /// examples/city-orders as it is.
    CityWhole,
    /// examples/order-vault as one pipeline: three stages, 19 tables.
    Vault,
    /// `guests/misbehave`: a guest that fails on demand.
    #[value(skip)]
    Items,
}

impl Pipeline {
    /// Those that are worked natively, with guests, and so on.
    pub(crate) const ALL: [Pipeline; 3] = [Pipeline::Core, Pipeline::City, Pipeline::CityWhole];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Pipeline::Core => "core",
            Pipeline::City => "city-orders, topics and mail off",
            Pipeline::CityWhole => "city-orders",
            Pipeline::Vault => "order-vault",
            Pipeline::Items => "items",
        }
    }

    /// As a part of names: of folders, groups, databases.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Pipeline::Core => "core",
            Pipeline::City => "city",
            Pipeline::CityWhole => "citywhole",
            Pipeline::Vault => "vault",
            Pipeline::Items => "items",
        }
    }

    /// Pipelines with one backlog share its topic.
    pub(crate) fn backlog(self) -> &'static str {
        match self {
            Pipeline::Core => "core",
            Pipeline::City | Pipeline::CityWhole => "city",
            Pipeline::Vault => "vault",
            Pipeline::Items => "items",
        }
    }

    /// The table of its rows.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Pipeline::Core => "core_orders",
            Pipeline::City | Pipeline::CityWhole => "orders",
            Pipeline::Vault => "stg.order_events",
            Pipeline::Items => "items",
        }
    }
}

/// The names of one run.
pub(crate) struct Names<'a> {
    /// The pipeline, and so the group: new for each run, or it would find everything read.
    pub(crate) pipeline: &'a str,
    /// The source topic: the same for all runs.
    pub(crate) topic: &'a str,
    /// What the topics that are written begin with.
    pub(crate) prefix: &'a str,
    /// The folder of modules.
    pub(crate) modules: &'a Path,
}

/// The repository that this program was built from: the specs are read from it.
pub(crate) fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// Writes the spec of one run and what it names into a folder; answers the spec's path. `change` has the last word.
pub(crate) fn write_spec(
    pipeline: Pipeline,
    names: &Names<'_>,
    folder: &Path,
    change: impl FnOnce(&mut Table),
) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut spec = match pipeline {
        Pipeline::Vault => vault_part("pipeline.toml", folder)?,
        Pipeline::Core => read(&repository().join("bench/pipelines/core/pipeline.toml"))?,
        Pipeline::Items => read(&repository().join("bench/pipelines/items/pipeline.toml"))?,
        Pipeline::City | Pipeline::CityWhole => {
            let example = repository().join("examples/city-orders");
            let schema = "order.schema.json";
            std::fs::copy(example.join(schema), folder.join(schema)).context("cannot copy the schema")?;
            let mut route = read(&example.join("route.toml"))?;
            let mut spec = read(&example.join("pipeline.toml"))?;
            spec.remove("http");
            if pipeline == Pipeline::City {
                without_messages(&mut spec, &mut route);
            }
            std::fs::write(folder.join("route.toml"), toml::to_string(&route)?)?;
            spec
        }
    };
    rename(&mut spec, names);
    change(&mut spec);
    let path = folder.join("pipeline.toml");
    std::fs::write(&path, toml::to_string(&spec)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The example order-vault: where its files are.
fn vault() -> PathBuf {
    repository().join("examples/order-vault")
}

/// A spec of the example order-vault; what it names is copied into the folder.
fn vault_part(file: &str, folder: &Path) -> anyhow::Result<Table> {
    for config in ["enrich.toml", "vault.toml", "marts.toml"] {
        std::fs::copy(vault().join(config), folder.join(config))
            .with_context(|| format!("cannot copy {config}"))?;
    }
    let mut spec = read(&vault().join(file))?;
    spec.remove("http");
    Ok(spec)
}

/// The three specs of order-vault that are joined by topics, in their order; the first one reads `topic`.
pub(crate) fn write_joined(names: &Names<'_>, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut topic = names.topic.to_owned();
    let mut paths = Vec::new();
    for part in ["stg", "dds", "cdm"] {
        let mut spec = vault_part(&format!("{part}.toml"), folder)?;
        let group = format!("{}-{part}", names.pipeline);
        // The topics between are new for each run, as the groups are.
        let prefix = format!("{}.{group}", names.prefix);
        rename(&mut spec, &Names { pipeline: &group, topic: &topic, prefix: &prefix, ..*names });
        let output = spec.get("output").and_then(Value::as_array).and_then(|all| all.first());
        if let Some(next) = output.and_then(|output| output.get("topic")).and_then(Value::as_str) {
            topic = next.to_owned();
        }
        let path = folder.join(format!("{part}.toml"));
        std::fs::write(&path, toml::to_string(&spec)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        paths.push(path);
    }
    Ok(paths)
}

fn read(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

/// Lets a spec read a topic with so many partitions.
pub(crate) fn set_source(spec: &mut Table, topic: String, partitions: i32) {
    if let Some(source) = spec.get_mut("source").and_then(Value::as_table_mut) {
        source.insert("topic".to_owned(), Value::String(topic));
        source.insert("partitions".to_owned(), Value::Integer(partitions.into()));
    }
}

/// Rows only.
fn without_messages(spec: &mut Table, route: &mut Table) {
    for part in ["output", "mail", "dead_letters"] {
        spec.remove(part);
    }
    let Some(rules) = route.get_mut("rule").and_then(Value::as_array_mut) else { return };
    for rule in rules.iter_mut().filter_map(Value::as_table_mut) {
        rule.remove("messages");
        rule.remove("mails");
    }
    rules.retain(|rule| rule.get("rows").is_some());
}

fn rename(spec: &mut Table, names: &Names<'_>) {
    let text = |text: String| Value::String(text);
    spec.insert("name".to_owned(), text(names.pipeline.to_owned()));
    if let Some(source) = spec.get_mut("source").and_then(Value::as_table_mut) {
        source.insert("topic".to_owned(), text(names.topic.to_owned()));
    }
    if let Some(letters) = spec.get_mut("dead_letters").and_then(Value::as_table_mut) {
        letters.insert("topic".to_owned(), text(format!("{}.dlq", names.prefix)));
    }
    let lists = [("output", "topic"), ("stage", "module")];
    for (list, key) in lists {
        let entries = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for entry in entries.filter_map(Value::as_table_mut) {
            let Some(Value::String(value)) = entry.get_mut(key) else { continue };
            if list == "output" {
                *value = format!("{}.{value}", names.prefix);
            } else {
                *value = value.replace("MODULES", &names.modules.display().to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill::spec::Spec;

    #[test]
    fn every_spec_is_one() {
        for pipeline in Pipeline::ALL.into_iter().chain([Pipeline::Vault, Pipeline::Items]) {
            let folder =
                std::env::temp_dir().join(format!("bench-{}-{}", pipeline.slug(), std::process::id()));
            let names = Names { pipeline: "p", topic: "t", prefix: "out", modules: Path::new("/modules") };
            let spec = Spec::read(&write_spec(pipeline, &names, &folder, |_| {}).unwrap()).unwrap();
            assert_eq!((spec.name.as_str(), spec.source.topic.as_str()), ("p", "t"));
            assert_eq!(spec.tables[0].name, pipeline.table());
            assert_eq!(
                spec.publishes(),
                matches!(pipeline, Pipeline::CityWhole | Pipeline::Items | Pipeline::Vault)
            );
            assert_eq!(spec.mail.is_some(), pipeline == Pipeline::CityWhole);
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
}
