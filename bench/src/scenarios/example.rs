//! The examples, and what is fed to them.

use crate::backlog::Backlog;
use crate::load::{self, Made};
use crate::pipelines::{Pipeline, repository};
use crate::site::Bench;
use anyhow::Context;
use gristmill::generate::Scenario;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// When the generators begin: the same for all runs.
const AT_MS: i64 = 1_790_000_000_000;
const SEED: u64 = 3;
/// Products of a message of shop-sync, in its load.
const PRODUCTS: usize = 5;

/// Records that an example is fed with.
#[derive(Clone, Copy)]
pub(super) struct Feed {
    pub(super) scenario: Scenario,
    pub(super) topic: &'static str,
    pub(super) partitions: i32,
    /// Records per second beside the others.
    pub(super) pace: u64,
}

const fn feed(scenario: Scenario, topic: &'static str, partitions: i32, pace: u64) -> Feed {
    Feed { scenario, topic, partitions, pace }
}

/// One of the examples.
#[derive(Clone, Copy)]
pub(super) struct Example {
    pub(super) name: &'static str,
    /// Its specs; the first one is the heaviest.
    specs: &'static [&'static str],
    /// What it reads from outside, that of the heaviest first.
    pub(super) feeds: &'static [Feed],
    /// Other topics that its specs name.
    topics: &'static [&'static str],
    /// Records per second that are asked for.
    pub(super) goal: f64,
}

pub(super) const EXAMPLES: [Example; 5] = [
    Example {
        name: "city-orders",
        specs: &["pipeline.toml"],
        feeds: &[feed(Scenario::CityOrders, "product_orders", 4, 300)],
        topics: &[],
        goal: 5_000.0,
    },
    Example {
        name: "order-vault",
        specs: &["pipeline.toml"],
        feeds: &[feed(Scenario::OrderVault, "stg_topic", 4, 100)],
        topics: &[],
        goal: 2_000.0,
    },
    Example {
        name: "stock-ledger",
        specs: &["pipeline.toml"],
        feeds: &[feed(Scenario::StockLedger, "events", 4, 500)],
        topics: &["errors"],
        goal: 20_000.0,
    },
    Example {
        name: "shop-sync",
        specs: &["pipeline.toml", "categories.toml", "products.toml", "descriptions.toml", "local.toml"],
        feeds: &[
            feed(Scenario::ShopSync, "oltp_update_product_quantity", 3, 100),
            feed(Scenario::ShopSyncCategories, "local_db_upsert_category", 1, 5),
            feed(Scenario::ShopSyncProducts, "local_db_upsert_product", 1, 20),
            feed(Scenario::ShopSyncDescriptions, "local_db_update_product_desc", 1, 5),
        ],
        topics: &["local_catalogue"],
        goal: 15_000.0,
    },
    Example {
        name: "store-events",
        specs: &["pipeline.toml"],
        feeds: &[feed(Scenario::StoreEvents, "store-topic", 4, 500)],
        topics: &[],
        goal: 20_000.0,
    },
];

/// What record n of a feed is.
pub(super) type Maker = Arc<dyn Fn(u64) -> Made + Send + Sync>;

impl Feed {
    /// Makes so many records, as the example's generator does, beforehand: what one tells depends on those before it.
    pub(super) fn maker(self, records: u64) -> anyhow::Result<Maker> {
        let made = self.scenario.records(SEED, AT_MS, usize::try_from(records)?);
        let all: Vec<Made> = made.collect();
        Ok(Arc::new(move |n| {
            let place = usize::try_from(n).unwrap_or(0) % all.len().max(1);
            all.get(place).cloned().unwrap_or_default()
        }))
    }
}

impl Example {
    fn heaviest(self) -> anyhow::Result<Feed> {
        self.feeds.first().copied().context("an example that is fed with nothing")
    }

    /// What its heaviest pipeline is to drain: as its generator makes it, but for orders of the city, which are the 1 KB of
    /// the other benchmarks, one in a hundred faulty, and messages of shops, which have 5 products.
    pub(super) fn backlog(self, bench: &Bench, records: u64) -> anyhow::Result<Backlog> {
        let feed = self.heaviest()?;
        let make: Maker = match feed.scenario {
            Scenario::CityOrders => Arc::new(|n| load::record(Pipeline::City, n)),
            Scenario::ShopSync => {
                let make = feed.maker(records)?;
                Arc::new(move |n| of_few_products(make(n)))
            }
            _ => feed.maker(records)?,
        };
        Ok(Backlog { topic: bench.topic(feed.topic), partitions: feed.partitions, make })
    }

    /// Dead letters of so many records of that.
    pub(super) fn faulty(self, records: u64) -> anyhow::Result<u64> {
        let faulty = self.heaviest()?.scenario == Scenario::CityOrders;
        Ok(if faulty { load::expected(records).dead_letters } else { 0 })
    }

    /// Writes its specs, and what they name, into a folder; names are this run's own, and topics begin with `prefix`.
    pub(super) fn write(
        self,
        bench: &Bench,
        run: &str,
        folder: &Path,
        prefix: &str,
    ) -> anyhow::Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder)?;
        let example = repository().join("examples").join(self.name);
        for entry in std::fs::read_dir(&example)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "toml" || ending == "json") {
                let name = path.file_name().context("a file without a name")?;
                std::fs::copy(&path, folder.join(name))?;
            }
        }
        let mut paths = Vec::new();
        for file in self.specs {
            let mut spec = std::fs::read_to_string(example.join(file))?;
            for topic in self.feeds.iter().map(|feed| feed.topic).chain(self.topics.iter().copied()) {
                spec = spec.replace(
                    &format!("\"{topic}"),
                    &format!("\"{}", bench.topic(&format!("{prefix}{topic}"))),
                );
            }
            spec = spec.replace("topic = \"{}\"", &format!("topic = \"{}.city.{{}}\"", bench.id)).replace(
                &format!("name = \"{}", self.name),
                &format!("name = \"{}-{run}-{}", bench.id, self.name),
            );
            let path = folder.join(file);
            std::fs::write(&path, spec)?;
            paths.push(path);
        }
        Ok(paths)
    }
}

fn of_few_products(made: Made) -> Made {
    let Ok(mut message) = serde_json::from_str::<serde_json::Value>(&made.value) else { return made };
    if let Some(products) = message.get_mut("updated_products").and_then(serde_json::Value::as_object_mut) {
        let kept = std::mem::take(products).into_iter().take(PRODUCTS);
        products.extend(kept);
    }
    Made { value: message.to_string(), ..made }
}
