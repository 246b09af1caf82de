//! Test cases of a module: a folder of small files, run in the very sandbox that pipelines use (`docs/cases.md`).
//!
//! [`Cases`] are files, [`Subject`] is the module, [`run`] makes a [`Report`] of both. Each case is one instance, one
//! call of `configure` and one of `apply`, and all of it once more in an engine that counts fuel: what comes out must
//! be the same.

mod bytes;
mod case;
mod caused;
mod compare;
mod expected;
mod files;
mod input;
mod json;
mod show;
#[cfg(test)]
mod tests;
mod value;

pub use compare::Difference;
pub use files::{BYTES_MAX, Cases, Error, FILES_MAX};
pub use show::text;

use crate::spec::{Limits, suggestion};
use crate::transform::{Cost, Engine, Fault, Module, Shape, Trial};
use case::{Case, EXPECTED};
use caused::Caused;
use compare::{compare, only_named};
use expected::Expected;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a set of cases may take: each call has its own limit, and there may be hundreds.
const TOGETHER_MAX: Duration = Duration::from_secs(300);

/// A module that is tested: compiled for pipelines, and for counting fuel.
#[derive(Clone)]
pub struct Subject {
    /// As in a pipeline.
    pub module: Module,
    /// For [`Engine::metered`].
    pub metered: Module,
}

impl Subject {
    /// Compiles a module for both engines.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn compile(
        engine: &Engine,
        meter: &Engine,
        name: &str,
        bytes: &[u8],
    ) -> Result<Self, crate::transform::Error> {
        let module = Module::compile(engine, name, bytes)?;
        Ok(Subject { module, metered: Module::compile(meter, name, bytes)? })
    }
}

/// What became of a set of cases.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Each case, in the order of their names.
    pub cases: Vec<CaseReport>,
}

/// What became of a case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    /// The case's name: its folder's.
    pub name: String,
    /// What it says of itself.
    pub about: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How many records it has.
    pub records: usize,
    /// Fuel of the call with its records: the same on every machine.
    pub fuel: u64,
    /// Processor time of that call, microseconds.
    pub time_us: u64,
    /// The most memory that the guest had, bytes.
    pub memory_bytes: u64,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "why", rename_all = "lowercase")]
pub enum Outcome {
    /// As it expects.
    Passed,
    /// Otherwise.
    Failed(Vec<Difference>),
    /// It could not be run: what is wrong with its files.
    Broken(String),
}

impl Report {
    /// Whether every case passed.
    pub fn passed(&self) -> bool {
        self.cases.iter().all(|case| case.outcome == Outcome::Passed)
    }

    /// How many passed, failed, and are broken.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |is: fn(&Outcome) -> bool| self.cases.iter().filter(|case| is(&case.outcome)).count();
        (
            count(|outcome| matches!(outcome, Outcome::Passed)),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Broken(_))),
        )
    }
}

/// Runs cases, one after the other, on this thread: off the async ones. Each call is bounded by the limits.
pub fn run(subject: &Subject, cases: &Cases, limits: &Limits) -> Report {
    let start = Instant::now();
    let run = |name: &String| match Case::read(cases, name, false) {
        Ok(_) if start.elapsed() > TOGETHER_MAX => {
            broken(name, format!("the cases before it took {} s: it was not run", TOGETHER_MAX.as_secs()))
        }
        Ok(case) => {
            let ran = Ran::of(subject, name, &case, limits);
            ran.report(name, &case, case.expected.as_ref())
        }
        Err(message) => broken(name, message),
    };
    Report { cases: cases.names().iter().map(run).collect() }
}

/// Runs cases and says which of their `expected.json` should be written anew, by path inside the folder of cases,
/// so that they expect what the module causes. The report is that of the cases as they are then.
///
/// A trap, a call that takes too long, and effects that are not the same each time are never made an expectation.
pub fn bless(subject: &Subject, cases: &Cases, limits: &Limits) -> (Report, BTreeMap<String, String>) {
    let mut report = Report::default();
    let mut files = BTreeMap::new();
    for name in cases.names() {
        let case = match Case::read(cases, name, true) {
            Ok(case) => case,
            Err(message) => {
                report.cases.push(broken(name, message));
                continue;
            }
        };
        let ran = Ran::of(subject, name, &case, limits);
        let as_it_is = ran.report(name, &case, case.expected.as_ref());
        let anew = ran.blessed(&case).filter(|_| as_it_is.outcome != Outcome::Passed);
        match anew.and_then(|text| Some((Expected::parse(&text, case.batch.len()).ok()?, text))) {
            Some((expected, text)) if ran.repeatable() => {
                report.cases.push(ran.report(name, &case, Some(&expected)));
                files.insert(format!("{name}/{EXPECTED}"), text);
            }
            _ => report.cases.push(as_it_is),
        }
    }
    (report, files)
}

fn broken(name: &str, message: String) -> CaseReport {
    CaseReport {
        name: name.to_owned(),
        about: String::new(),
        outcome: Outcome::Broken(message),
        records: 0,
        fuel: 0,
        time_us: 0,
        memory_bytes: 0,
    }
}

/// A case that was run, in both engines.
struct Ran {
    shape: Option<Shape>,
    caused: Caused,
    cost: Cost,
    /// The second run; none after a call that took too long, which would do so again.
    again: Option<(Caused, Cost)>,
}

impl Ran {
    fn of(subject: &Subject, name: &str, case: &Case, limits: &Limits) -> Self {
        let (shape, caused, cost) = attempt(&subject.module, name, case, limits);
        let in_time = !matches!(
            caused,
            Caused::Fault(Fault::Timeout(_)) | Caused::Unready(crate::transform::Unready::Failed(_))
        );
        let again = in_time.then(|| attempt(&subject.metered, name, case, limits));
        Ran { shape, caused, cost, again: again.map(|(_, caused, cost)| (caused, cost)) }
    }

    fn repeatable(&self) -> bool {
        self.again.as_ref().is_none_or(|(again, _)| again.is(&self.caused))
    }

    fn report(&self, name: &str, case: &Case, expected: Option<&Expected>) -> CaseReport {
        let fuel = self.again.as_ref().and_then(|(_, cost)| cost.fuel);
        CaseReport {
            name: name.to_owned(),
            about: case.about.clone(),
            outcome: self.outcome(case, expected),
            records: case.batch.len(),
            fuel: fuel.unwrap_or(0),
            time_us: u64::try_from(self.cost.time.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: self.cost.memory_bytes,
        }
    }

    fn outcome(&self, case: &Case, expected: Option<&Expected>) -> Outcome {
        if let Some(message) = self.stray_lookup(case) {
            return Outcome::Broken(message);
        }
        let Some(expected) = expected else {
            return Outcome::Broken(format!("{EXPECTED} cannot be written: {}", self.caused.line()));
        };
        let mut differences = compare(case, expected, &self.caused, self.shape.as_ref());
        if let Some((again, _)) = self.again.as_ref().filter(|_| !self.repeatable()) {
            let place = "not repeatable: a second run of the same records";
            differences.push(Difference::whole(place, self.caused.line(), again.line()));
        }
        if differences.is_empty() { Outcome::Passed } else { Outcome::Failed(differences) }
    }

    /// Answers that nobody can ask for: most likely a name that is mistyped.
    fn stray_lookup(&self, case: &Case) -> Option<String> {
        let known = &self.shape.as_ref()?.lookups;
        let stray = case.answers.lookups().find(|lookup| !known.iter().any(|known| known == lookup))?;
        let hint = suggestion(stray, known.iter().map(String::as_str));
        Some(format!(
            "case.toml answers for the lookup `{stray}`, which the guest's plan does not name{hint}"
        ))
    }

    /// What `expected.json` would have to say.
    fn blessed(&self, case: &Case) -> Option<String> {
        match (&self.caused, &case.expected) {
            (Caused::Effects(got, _), Some(Expected::Effects(named)))
                if case.compare == case::Compare::Named =>
            {
                Some(expected::file(&only_named(named, got)).pretty())
            }
            // That it traps was expected already: only how may have changed.
            (Caused::Fault(Fault::Trap(reason)), Some(Expected::ApplyTrap(_))) => {
                Some(expected::ending(expected::APPLY_TRAP, reason).pretty())
            }
            (caused, _) => caused.file().map(|file| file.pretty()),
        }
    }
}

/// One run: an instance, configured and called once.
fn attempt(module: &Module, name: &str, case: &Case, limits: &Limits) -> (Option<Shape>, Caused, Cost) {
    let place = format!("case {name}");
    let (answers, secrets) = (Arc::new(case.answers.clone()), case.secrets.clone());
    let mut trial = match Trial::configure(module, &place, &case.config, limits, answers, secrets) {
        Ok(trial) => trial,
        Err(unready) => return (None, Caused::Unready(unready), Cost::default()),
    };
    if case.batch.is_empty() {
        // A case that expects its configuration to be refused, and it is not.
        let cost = Cost { memory_bytes: trial.memory_bytes(), ..Cost::default() };
        return (Some(trial.shape), Caused::Effects(expected::Groups::new(), Vec::new()), cost);
    }
    let (result, cost) = trial.apply(&case.batch);
    let caused = match result {
        Ok(checked) => Caused::of(&checked, &case.batch, &trial.shape, limits),
        Err(fault) => Caused::Fault(fault),
    };
    (Some(trial.shape), caused, cost)
}

/// An error of `serde_json`, as what follows a file's name: line, column, message. `before` is the number of lines
/// before the text that was read.
fn at(error: &serde_json::Error, before: usize) -> String {
    let said = error.to_string();
    let message = said.rsplit_once(" at line ").map_or(said.as_str(), |(message, _)| message);
    format!(":{}:{}: {message}", before + error.line(), error.column())
}
