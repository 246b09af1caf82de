//! The arguments. Few enough that a library for them would be most of this crate's build time.

use std::path::PathBuf;

use crate::fuzz::TARGETS;
use crate::services::{Action, Order, Service};

pub(crate) const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [--serve] [--json]
                              builds everything and runs examples/city-orders on the embedded set, with no
                              server; --serve keeps the host up, --json prints one object
  test [FILTER]               everything that must hold: format, licenses, lints, docs, guests and their cases, and
                              all tests against real servers; with FILTER only the tests whose names contain it
  chaos [OPTIONS]             the fault harness: hosts and servers killed, stopped and cut off by a schedule, and
                              what comes out compared with a model. [--seed N] [--faults N] [--from K]
                              [--set real|embedded|both] [--only KIND,…] [--seconds-max N] [--session-ms N]
                              [--break RULE|all] [--json FILE]; without --faults a short run
  fuzz [TARGET…] [--runs N] [--seconds N]
                              libFuzzer on what comes from outside: effects, records, spec, http, outbox (all,
                              unless named), each for so many inputs or seconds (600), guided by coverage
  guests                      builds the guests to <target>/modules
  bench [--quick] [OPTION…]   measures what the sandbox costs, with real servers and the shipped profile: a table,
                              and bench.json and bench.svg in <target>/bench. --quick: small numbers from a debug
                              build, to see that it works. More options: docs/benchmark.md
  bench vault [--quick] [OPTION…]
                              the same for examples/order-vault: orders per second as one pipeline and as three, what
                              an order costs, natively and with guests, and whether that grows; vault.json
  bench scenarios [--quick] [OPTION…]
                              the examples: records per second of each one's heaviest pipeline, and all of them in one
                              host at once, while one is poisoned and the lookup of another is down; scenarios.json
  bench --profile [OPTION…]   shows where the time goes on the same load, function by function (by perf)
  services up                 Kafka, PostgreSQL, Redis and an SMTP sink on loopback, in plaintext and with TLS and
                              passwords; prints their addresses and writes them to DIR/env. Servers named by GRISTMILL_TEST_LOG, _STORE,
                              _LOOKUP, _MAIL are used instead of new ones
  services down [--purge]     ends what `up` started; with --purge its data goes too
  services restart SERVICE    stops and starts one of kafka, postgres, redis, mail, at the same address
  services kill SERVICE       kill -9, for tests of failure; `restart` or `up` brings it back
                              all four: [--dir DIR], else GRISTMILL_SERVICES_DIR, else .gristmill/services

  --help                      this text

Exit code: 0 done, 1 failed, 2 used wrongly.";

#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    /// With the arguments for the host.
    Demo(Vec<String>),
    Guests,
    Bench(Bench),
    /// With the arguments for the harness.
    Chaos(Vec<String>),
    Fuzz(Fuzz),
    Test(Option<String>),
    Services(Order),
}

/// What is to be fuzzed.
#[derive(Debug, PartialEq)]
pub(crate) struct Fuzz {
    pub(crate) targets: Vec<&'static str>,
    /// Inputs for each target; as many as there is time for if `None`.
    pub(crate) runs: Option<u64>,
    /// The time for each target.
    pub(crate) seconds: u64,
}

/// What the benchmark is to do.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Bench {
    pub(crate) quick: bool,
    pub(crate) what: What,
    /// The benchmark's own.
    pub(crate) arguments: Vec<String>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum What {
    /// The sandbox, on its own two pipelines.
    #[default]
    Run,
    /// Where the time goes.
    Profile,
    /// examples/order-vault.
    Vault,
    /// The examples.
    Scenarios,
}

pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Command, String> {
    let arguments: Vec<String> = arguments.collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => Err("no command".to_owned()),
        ["--help" | "-h" | "help"] => Ok(Command::Help),
        ["demo", rest @ ..] => demo(rest).map(Command::Demo),
        ["chaos", rest @ ..] => chaos(rest).map(Command::Chaos),
        ["fuzz", rest @ ..] => fuzz(rest).map(Command::Fuzz),
        ["guests"] => Ok(Command::Guests),
        ["bench", rest @ ..] => Ok(Command::Bench(bench(rest))),
        ["test"] => Ok(Command::Test(None)),
        ["test", filter] if !filter.starts_with('-') => Ok(Command::Test(Some((*filter).to_owned()))),
        ["guests" | "test", ..] => Err("`guests` takes no argument, and `test` one".to_owned()),
        ["services", rest @ ..] => services(rest).map(Command::Services),
        [unknown, ..] => Err(format!("unknown command `{unknown}`")),
    }
}

/// The host knows these too; a person should hear of a wrong one before the build, not after it.
fn demo(words: &[&str]) -> Result<Vec<String>, String> {
    for word in words {
        match *word {
            "--serve" | "--json" => {}
            word => return Err(format!("demo knows no `{word}`")),
        }
    }
    Ok(words.iter().map(|word| (*word).to_owned()).collect())
}

/// What is not known here is the benchmark's own to understand.
fn bench(words: &[&str]) -> Bench {
    let mut bench = Bench::default();
    for word in words {
        match *word {
            "--quick" => bench.quick = true,
            "--profile" => bench.what = What::Profile,
            "vault" => bench.what = What::Vault,
            "scenarios" => bench.what = What::Scenarios,
            word => bench.arguments.push(word.to_owned()),
        }
    }
    bench
}

/// As with the demo: each option has a value, and what the value may be, the harness knows.
fn chaos(words: &[&str]) -> Result<Vec<String>, String> {
    const KNOWN: [&str; 9] = [
        "--seed",
        "--faults",
        "--from",
        "--set",
        "--only",
        "--seconds-max",
        "--session-ms",
        "--break",
        "--json",
    ];
    for pair in words.chunks(2) {
        match pair {
            [option, _] if KNOWN.contains(option) => {}
            [option] if KNOWN.contains(option) => return Err(format!("{option} needs a value")),
            other => return Err(format!("chaos knows no `{}`", other.join(" "))),
        }
    }
    Ok(words.iter().map(|word| (*word).to_owned()).collect())
}

fn fuzz(words: &[&str]) -> Result<Fuzz, String> {
    let mut fuzz = Fuzz { targets: Vec::new(), runs: None, seconds: 600 };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, String> {
            let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            value.parse().map_err(|_| format!("{word}: `{value}` is no number"))
        };
        match *word {
            "--runs" => fuzz.runs = Some(number()?),
            "--seconds" => fuzz.seconds = number()?,
            name => match TARGETS.into_iter().find(|target| *target == name) {
                Some(target) => fuzz.targets.push(target),
                None => return Err(format!("no fuzz target `{name}`; there are {}", TARGETS.join(", "))),
            },
        }
    }
    if fuzz.targets.is_empty() {
        fuzz.targets = TARGETS.to_vec();
    }
    Ok(fuzz)
}

fn services(words: &[&str]) -> Result<Order, String> {
    let mut dir = None;
    let mut purge = false;
    let mut plain = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--dir" => dir = Some(PathBuf::from(words.next().ok_or("--dir needs a folder")?)),
            "--purge" => purge = true,
            option if option.starts_with('-') => return Err(format!("unknown option `{option}`")),
            word => plain.push(word),
        }
    }
    let action = match plain.as_slice() {
        ["up"] => Action::Up,
        ["down"] => Action::Down { purge },
        ["restart", name] => Action::Restart(service(name)?),
        ["kill", name] => Action::Kill(service(name)?),
        _ => return Err("services needs one of: up, down, restart SERVICE, kill SERVICE".to_owned()),
    };
    if purge && !matches!(action, Action::Down { .. }) {
        return Err("--purge goes with `services down` only".to_owned());
    }
    Ok(Order { action, dir })
}

fn service(name: &str) -> Result<Service, String> {
    Service::ALL
        .into_iter()
        .find(|service| service.name() == name)
        .ok_or_else(|| format!("no service `{name}`; there are kafka, postgres, redis, mail"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn services_take_a_folder_anywhere() {
        let order = Order { action: Action::Down { purge: true }, dir: Some(PathBuf::from("/x")) };
        assert_eq!(parsed("services --dir /x down --purge"), Ok(Command::Services(order)));
        let order = Order { action: Action::Kill(Service::Kafka), dir: None };
        assert_eq!(parsed("services kill kafka"), Ok(Command::Services(order)));
    }

    #[test]
    fn the_demo_hands_its_arguments_on() {
        let arguments = ["--json", "--serve"].map(str::to_owned).to_vec();
        assert_eq!(parsed("demo --json --serve"), Ok(Command::Demo(arguments)));
        let arguments = ["--seed", "7"].map(str::to_owned).to_vec();
        assert_eq!(parsed("chaos --seed 7"), Ok(Command::Chaos(arguments)));
        assert_eq!(parsed("test a_name"), Ok(Command::Test(Some("a_name".to_owned()))));
    }

    #[test]
    fn the_benchmark_gets_what_is_its_own() {
        let arguments = ["--rounds", "3"].map(str::to_owned).to_vec();
        let bench = Bench { quick: true, arguments, ..Bench::default() };
        assert_eq!(parsed("bench --rounds 3 --quick"), Ok(Command::Bench(bench)));
    }

    #[test]
    fn fuzzing_is_of_all_targets_unless_some_are_named() {
        let one = Fuzz { targets: vec!["spec"], runs: Some(7), seconds: 60 };
        assert_eq!(parsed("fuzz spec --runs 7 --seconds 60"), Ok(Command::Fuzz(one)));
        let Ok(Command::Fuzz(all)) = parsed("fuzz") else { panic!("not understood") };
        assert_eq!(all.targets, TARGETS);
    }

    #[test]
    fn wrong_use_is_told() {
        for line in [
            "fuzz everything",
            "fuzz --runs",
            "fuzz --seconds soon",
            "",
            "bake",
            "demo --fast",
            "guests validate",
            "test --nocapture",
            "services",
            "services kill",
            "services kill oracle",
            "services up --purge",
            "services up --dir",
            "services up --fast",
            "services up now",
            "chaos --fast 1",
            "chaos --seed",
        ] {
            assert!(parsed(line).is_err(), "`{line}` was accepted");
        }
        assert_eq!(parsed("--help"), Ok(Command::Help));
    }
}
