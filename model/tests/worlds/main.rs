//! The worlds in which the models are explored, and the broken rules that must be found.
//!
//! `cargo test -p gristmill-model -- --nocapture` prints how many states each world has, and the shortest way to the
//! fault of each broken rule. The larger worlds are run with `--ignored`.

mod commit;
mod ledgers;
mod lessons;
mod mail;
mod parked;
mod partitions;
mod put_off;

use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

/// What stateright asks of a model before it explores it.
trait Explorable:
    Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq>
    + Copy
    + Send
    + Sync
    + 'static
{
}

impl<M> Explorable for M where
    M: Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq>
        + Copy
        + Send
        + Sync
        + 'static
{
}

/// Explores the whole world: everything that must hold does.
#[track_caller]
fn holds(name: &str, model: impl Explorable) {
    let must: Vec<&'static str> = always(&model);
    holds_but(name, model, &must);
}

/// Explores the whole world, and asks for some of what must hold only.
#[track_caller]
fn holds_but(name: &str, model: impl Explorable, must: &[&'static str]) {
    let start = Instant::now();
    let any = HasDiscoveries::AnyOf(BTreeSet::from_iter(must.iter().copied()));
    let checker = model.checker().finish_when(any).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{name}: {states} states, {depth} deep, {:.1} s: holds", start.elapsed().as_secs_f32());
    let found = checker.discoveries();
    for property in must {
        let steps = found.get(property).map(|path| path.clone().into_actions());
        assert!(steps.is_none(), "{name}: {property}: {steps:#?}");
    }
    assert!(found.contains_key("all is done"), "{name}: nothing is ever done");
}

/// Finds the shortest way to the fault, which is against this property.
#[track_caller]
fn found<M: Explorable>(name: &str, model: M, against: &'static str) {
    let mut shortest: Option<Vec<M::Action>> = None;
    let (mut states, start) = (0, Instant::now());
    loop {
        let any = HasDiscoveries::AnyOf(BTreeSet::from([against]));
        let checker = model.checker().finish_when(any);
        // A state with so many steps behind it is one deeper; stateright leaves out those that are as deep.
        let checker = match &shortest {
            Some(steps) => checker.target_max_depth(steps.len() + 1),
            None => checker,
        };
        let checker = checker.spawn_bfs().join();
        states += checker.unique_state_count();
        match checker.discovery(against) {
            Some(path) => shortest = Some(path.into_actions()),
            None => break,
        }
    }
    let steps = shortest.unwrap_or_default();
    assert!(!steps.is_empty(), "{name}: {against}: not found in {states} states");
    println!(
        "{name}: {states} states, {:.1} s: against '{against}' in {} steps",
        start.elapsed().as_secs_f32(),
        steps.len()
    );
    let steps: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
    println!("    {}", steps.join(" · "));
}

fn always(model: &impl Explorable) -> Vec<&'static str> {
    let properties = model.properties();
    let always = properties.iter().filter(|property| property.expectation == Expectation::Always);
    always.map(|property| property.name).collect()
}

const TWICE: &str = "no effect twice";
const EARLY: &str = "nothing is visible before it is committed";
const DISORDER: &str = "batches become visible in their order";
const HALT: &str = "no pipeline halts without a cause";
const ALONE: &str = "a host that is left alone finishes";
const END: &str = "where nothing can happen, all is done";
