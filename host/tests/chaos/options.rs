//! The flags of the harness. `cargo test` passes some of its own; without any the short run is meant.

use super::schedule::Kind;
use std::path::PathBuf;

pub const USAGE: &str = "\
usage: chaos [--seed N] [--faults N] [--from K] [--set real|embedded|both] [--only KIND,…] [--seconds-max N]
             [--session-ms N] [--break no-fence|group-before-init|forget-outbox|publish-first|all] [--json FILE]

Without --faults and --break: the short run of CI.";

/// The rules that can be broken on purpose (`host/src/sabotage.rs`).
pub const BREAKS: [&str; 4] = ["no-fence", "group-before-init", "forget-outbox", "publish-first"];

#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    /// `None`: the short run.
    pub faults: Option<usize>,
    pub from: usize,
    pub real: bool,
    pub embedded: bool,
    pub only: Vec<Kind>,
    pub seconds_max: u64,
    pub session_ms: u32,
    pub breaks: Vec<&'static str>,
    pub json: Option<PathBuf>,
}

/// What to do.
pub enum Asked {
    Run(Options),
    /// A test filter that does not concern us, or a question that is answered.
    Nothing,
}

pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut options = Options {
        seed: 1,
        faults: None,
        from: 0,
        real: true,
        embedded: true,
        only: Vec::new(),
        seconds_max: 3_600,
        session_ms: 1_500,
        breaks: Vec::new(),
        json: None,
    };
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--seed" => options.seed = number(&value()?)?,
            "--faults" => options.faults = Some(number(&value()?)? as usize),
            "--from" => options.from = number(&value()?)? as usize,
            "--seconds-max" => options.seconds_max = number(&value()?)?,
            "--session-ms" => options.session_ms = u32::try_from(number(&value()?)?).unwrap_or(u32::MAX),
            "--json" => options.json = Some(PathBuf::from(value()?)),
            "--set" => {
                let set = value()?;
                options.real = set != "embedded";
                options.embedded = set != "real";
                if !["real", "embedded", "both"].contains(&set.as_str()) {
                    return Err(format!("no set `{set}`"));
                }
            }
            "--only" => options.only = value()?.split(',').map(kind).collect::<Result<_, _>>()?,
            "--break" => options.breaks = breaks(&value()?)?,
            "--list" | "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(Asked::Nothing);
            }
            // libtest's, as `cargo test -- …` hands them to every target.
            "--nocapture" | "--include-ignored" | "--ignored" | "-q" | "--quiet" | "--show-output"
            | "--exact" => {}
            "--test-threads" | "--skip" | "--format" | "--color" => drop(value()?),
            flag if flag.starts_with('-') => return Err(format!("unknown option `{flag}`")),
            filter if "chaos".contains(filter) => {}
            _ => return Ok(Asked::Nothing),
        }
    }
    Ok(Asked::Run(options))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn kind(name: &str) -> Result<Kind, String> {
    let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    known.ok_or_else(|| format!("no kind `{name}`; there are {}", Kind::ALL.map(Kind::name).join(", ")))
}

fn breaks(name: &str) -> Result<Vec<&'static str>, String> {
    if name == "all" {
        return Ok(BREAKS.to_vec());
    }
    let known = BREAKS.into_iter().find(|known| *known == name);
    known.map(|known| vec![known]).ok_or_else(|| format!("no way to break it called `{name}`"))
}
