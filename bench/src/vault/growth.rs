//! Whether an order costs more in a full vault than in a small one.
//!
//! The same number of orders is drained beside 10,000 that are there and beside a million. It is not one long run whose first
//! and last parts are compared: partitions are not equal, lanes are served alike, and at the end of a long run fewer lanes are
//! left, which overlap less. Each of these drains has the same end.

use super::site::{Leg, Vault};
use super::{Way, verdict};
use crate::backlog::Backlog;
use crate::pipelines::Pipeline;
use crate::report::median;
use crate::site::{Bench, say};
use anyhow::ensure;

/// Orders in a vault that is small.
const FEW_ORDERS: u64 = 10_000;
/// How much more an order may cost in the full vault, for a cost that is called flat.
const GROWTH_MAX: f64 = 0.2;

/// What orders cost by how many are in the vault.
#[derive(serde::Serialize)]
pub(super) struct Growth {
    /// How many were drained each time that costs were taken.
    orders: u64,
    few: Beside,
    /// What brought the vault from few to many: autovacuum and checkpoints are in it, which the other two are rid of.
    between: Leg,
    many: Beside,
}

/// What an order cost beside those that were in the vault.
#[derive(serde::Serialize)]
struct Beside {
    in_vault: u64,
    costs: Vec<Cost>,
}

#[derive(Clone, Copy, serde::Serialize)]
struct Cost {
    orders_per_second: f64,
    /// Processor time per order, microseconds: the host's, with its guests and clients.
    host_cpu_us: f64,
    /// PostgreSQL's.
    database_cpu_us: f64,
}

impl Cost {
    fn cpu_us(self) -> f64 {
        self.host_cpu_us + self.database_cpu_us
    }
}

impl From<&Leg> for Cost {
    fn from(leg: &Leg) -> Self {
        Cost {
            orders_per_second: leg.drained.records_per_second,
            host_cpu_us: leg.drained.cpu_seconds_per_million.total(),
            database_cpu_us: leg.database_cpu_us,
        }
    }
}

/// Drains `orders` beside few and beside `many`, `rounds` times each and in turns, so that who else uses the machine slows both
/// alike: beside few in a new vault each time.
pub(super) fn growth(bench: &mut Bench, many: u64, orders: u64, rounds: usize) -> anyhow::Result<Growth> {
    ensure!(many > FEW_ORDERS, "--many-orders must be more than {FEW_ORDERS}");
    let mut full = Loaded::new(bench, "many")?;
    full.to(bench, FEW_ORDERS)?;
    let between = full.to(bench, many)?;
    let (mut few_costs, mut many_costs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut small = Loaded::new(bench, &format!("few-{round}"))?;
        small.to(bench, FEW_ORDERS)?;
        few_costs.push(small.settled(bench, FEW_ORDERS + orders)?);
        small.vault.check(small.orders)?;
        let to = full.orders + orders;
        many_costs.push(full.settled(bench, to)?);
    }
    full.vault.check(full.orders)?;
    Ok(Growth {
        orders,
        few: Beside { in_vault: FEW_ORDERS, costs: few_costs },
        between,
        many: Beside { in_vault: many, costs: many_costs },
    })
}

/// A vault, its topic, and how many orders are in both.
struct Loaded {
    vault: Vault,
    backlog: Backlog,
    orders: u64,
}

impl Loaded {
    fn new(bench: &Bench, name: &str) -> anyhow::Result<Self> {
        let topic = bench.topic(name);
        let vault = Vault::ready(bench, Way::One, name, &topic)?;
        Ok(Loaded { vault, backlog: Backlog { topic, ..bench.backlog(Pipeline::Vault) }, orders: 0 })
    }

    /// Loads it up to so many orders.
    fn to(&mut self, bench: &mut Bench, orders: u64) -> anyhow::Result<Leg> {
        bench.fill(&self.backlog, orders)?;
        let leg = self.vault.drain(orders - self.orders)?;
        say(&format!(
            "orders {} to {orders}: {:.0} orders/s, {:.0} µs",
            self.orders,
            leg.drained.records_per_second,
            Cost::from(&leg).cpu_us()
        ));
        self.orders = orders;
        Ok(leg)
    }

    /// The same, when nothing is left to be done for the orders that are there.
    fn settled(&mut self, bench: &mut Bench, orders: u64) -> anyhow::Result<Cost> {
        self.vault.settle()?;
        Ok(Cost::from(&self.to(bench, orders)?))
    }
}

impl Growth {
    /// The figures and the verdict.
    pub(super) fn text(&self) -> String {
        let beside = |beside: &Beside| {
            let of = |figure: fn(&Cost) -> f64| median(&beside.costs.iter().map(figure).collect::<Vec<_>>());
            format!(
                "beside {}: {:.0} µs of CPU per order (host {:.0}, PostgreSQL {:.0}), {:.0} orders/s",
                beside.in_vault,
                of(|cost| cost.cpu_us()),
                of(|cost| cost.host_cpu_us),
                of(|cost| cost.database_cpu_us),
                of(|cost| cost.orders_per_second),
            )
        };
        let between = Cost::from(&self.between);
        let pairs = self.many.costs.iter().zip(&self.few.costs);
        let ratios: Vec<f64> = pairs.map(|(many, few)| many.cpu_us() / few.cpu_us()).collect();
        let ratio = median(&ratios);
        let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        format!(
            "{} orders {}; {}: {ratio:.2} of that, the median of {} (at most {:.1}: {}); on the way there {:.0} µs, \
             {:.0} orders/s",
            self.orders,
            beside(&self.few),
            beside(&self.many),
            each.join(", "),
            1.0 + GROWTH_MAX,
            verdict(ratio <= 1.0 + GROWTH_MAX),
            between.cpu_us(),
            between.orders_per_second,
        )
    }
}
