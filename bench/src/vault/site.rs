//! A vault: the pipelines that load it, and their database.

use super::Way;
use crate::database::{Database, psql};
use crate::drain::{Drained, watch};
use crate::load;
use crate::pipelines::{Pipeline, set_source};
use crate::process::{HostProcess, Setup};
use crate::site::{Bench, PARTITIONS};
use anyhow::ensure;
use std::path::{Path, PathBuf};

pub(super) struct Vault {
    way: Way,
    specs: Vec<PathBuf>,
    setup: Setup,
    database: Database,
}

/// What was drained in one go, and what it cost.
#[derive(serde::Serialize)]
pub(super) struct Leg {
    pub(super) drained: Drained,
    /// Processor time of PostgreSQL per order, microseconds.
    pub(super) database_cpu_us: f64,
}

impl Vault {
    /// An empty one, to be loaded from a topic of this benchmark's.
    pub(super) fn ready(bench: &Bench, way: Way, name: &str, topic: &str) -> anyhow::Result<Self> {
        let (specs, setup, database) = if way == Way::Three {
            bench.ready_joined(name, topic)?
        } else {
            let ready =
                bench.ready(Pipeline::Vault, name, |spec| set_source(spec, topic.to_owned(), PARTITIONS))?;
            (vec![ready.spec], ready.setup, ready.database)
        };
        Ok(Vault { way, specs, setup, database })
    }

    /// Starts a host for it.
    pub(super) fn start(&self) -> anyhow::Result<HostProcess> {
        let specs: Vec<&Path> = self.specs.iter().map(AsRef::as_ref).collect();
        HostProcess::start(&self.setup, &specs, self.way.stages())
    }

    /// Has the orders that wait drained by a new host, which is ended then.
    pub(super) fn drain(&self, orders: u64) -> anyhow::Result<Leg> {
        let before = database_cpu_seconds()?;
        let mut host = self.start()?;
        let drained = watch(&mut host, orders * self.way.readings())?;
        let database_cpu_us = (database_cpu_seconds()? - before) * 1e6 / orders as f64;
        host.stop()?;
        Ok(Leg { drained, database_cpu_us })
    }

    /// Does what the orders so far have left to do, so that it is not counted with the next ones.
    pub(super) fn settle(&self) -> anyhow::Result<()> {
        psql(&self.database.url(), "VACUUM (ANALYZE)\nCHECKPOINT").map(drop)
    }

    /// Checks that each of the first orders, and no other, has been counted once for each of its products; answers how many
    /// rows there are.
    pub(super) fn check(&self, orders: u64) -> anyhow::Result<u64> {
        let number =
            |sql: &str| -> anyhow::Result<u64> { Ok(psql(&self.database.url(), sql)?.trim().parse()?) };
        let counted = number("SELECT coalesce(sum(order_cnt), 0) FROM cdm.user_product_counters")?;
        let expected = products(orders)?;
        ensure!(counted == expected, "{counted} products were counted instead of {expected}");
        let letters = number("SELECT count(*) FROM gristmill.dead_letters")?;
        ensure!(letters == 0, "{letters} dead letters");
        number(
            "SELECT sum((xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I.%I', schemaname, \
             tablename), false, true, '')))[1]::text::bigint) FROM pg_tables WHERE schemaname IN ('stg', 'dds', 'cdm')",
        )
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.setup.folder);
    }
}

/// How many products are in the first orders.
fn products(orders: u64) -> anyhow::Result<u64> {
    let mut count = 0;
    for number in 0..orders {
        let order: serde_json::Value = serde_json::from_str(&load::record(Pipeline::Vault, number).value)?;
        count += order.pointer("/payload/order_items").and_then(|items| items.as_array()).map_or(0, Vec::len)
            as u64;
    }
    Ok(count)
}

/// Processor time of all PostgreSQL processes of this machine, those that have ended included as far as their parent knows.
fn database_cpu_seconds() -> anyhow::Result<f64> {
    let per_second = procfs::ticks_per_second() as f64;
    let processes = procfs::process::all_processes()?.flatten().filter_map(|process| process.stat().ok());
    let of_postgres = processes.filter(|stat| stat.comm == "postgres");
    Ok(of_postgres
        .map(|stat| {
            let ended = stat.cutime.max(0) as f64 + stat.cstime.max(0) as f64;
            ((stat.utime + stat.stime) as f64 + ended) / per_second
        })
        .sum())
}
