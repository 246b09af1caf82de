//! Compiling in a process of its own. A module may be made to make a compiler use all the time and memory there is, or
//! to run it out of its stack (tools that make components do, on types that contradict each other); what dies of it is
//! a child process, and the host's own lanes do not notice.
//!
//! The child gets the module on its standard input and writes the compiled code to its standard output. It is this
//! very program, so what it writes is as good as what the host itself would have made.

use super::engine::{self, Stopping};
use super::interrupt;
use super::module::{Refusal, componentized};
use super::stoppable;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::borrow::Cow;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wasmtime::Engine;
use wasmtime::component::Component;

/// What compiling one module may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Processor time of all its threads, seconds.
    pub cpu_s_max: u64,
    /// Memory that it writes to, bytes.
    pub memory_bytes_max: u64,
}

impl Default for CompileLimits {
    /// Python's guests (18 MB) take some 30 s and 1.3 GB in a debug build of the host.
    fn default() -> Self {
        CompileLimits { cpu_s_max: 240, memory_bytes_max: 4 << 30 }
    }
}

/// How much longer than its processor time a compiler may take by the clock: the machine may be busy.
const CLOCK_FACTOR: u64 = 3;
/// Bytes of what a child says about an error that are kept.
const WORDS_BYTES_MAX: u64 = 4_000;
/// The exit code of a child that refuses the module, rather than failing by itself.
const REFUSED: i32 = 3;

/// A module's bytes as they are compiled: a component, made ready for being interrupted if that is possible, for an engine
/// that stops it so.
pub(super) fn prepared(bytes: &[u8], metered: bool) -> Result<(Stopping, Cow<'_, [u8]>), Refusal> {
    let component = componentized(bytes)?;
    if metered {
        return Ok((Stopping::Fuel, component));
    }
    let rewritten = if interrupt::POSSIBLE { stoppable::rewrite(&component) } else { Err("another system") };
    Ok(match rewritten {
        Ok(rewritten) => (Stopping::Interrupts, Cow::Owned(rewritten)),
        Err(unusual) => {
            tracing::debug!(unusual, "a module is stopped by epochs");
            (Stopping::Epochs, component)
        }
    })
}

/// Compiles what is prepared in this process: where nobody else's modules are compiled.
pub(super) fn compile_here(engine: &Engine, component: &[u8]) -> Result<Component, Refusal> {
    Component::new(engine, component).map_err(|error| does_not_compile(&error))
}

/// There is no engine for what is compiled.
pub(super) fn unavailable(error: anyhow::Error) -> Refusal {
    ("compiler-unavailable", format!("no engine can be made for it: {error:#}"))
}

fn does_not_compile(error: &wasmtime::Error) -> Refusal {
    ("compile-failed", format!("it does not compile: {error:#}"))
}

/// Compiles a module in a child process; answers with compiled code for an engine that stops it so.
pub(super) fn compile(
    metered: bool,
    program: &Path,
    limits: &CompileLimits,
    bytes: &[u8],
) -> Result<(Stopping, Vec<u8>), Refusal> {
    let here =
        |error: std::io::Error| ("compiler-unavailable", format!("the compiler cannot be started: {error}"));
    let mut child = Command::new(program)
        .args(["compile-module", "--cpu-s-max", &limits.cpu_s_max.to_string()])
        .args(["--memory-bytes-max", &limits.memory_bytes_max.to_string()])
        .args(metered.then_some("--metered"))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(here)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        // Each pipe has a thread: a full one would make the child wait for ever.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(bytes)));
        let compiled = scope.spawn(move || {
            let mut bytes = Vec::new();
            stdout.map(|mut stdout| stdout.read_to_end(&mut bytes));
            bytes
        });
        let words = scope.spawn(move || {
            let mut words = String::new();
            stderr.map(|stderr| stderr.take(WORDS_BYTES_MAX).read_to_string(&mut words));
            words
        });
        let code = wait(&mut child, Duration::from_secs(limits.cpu_s_max.saturating_mul(CLOCK_FACTOR)));
        let mut compiled = compiled.join().unwrap_or_default();
        let words = words.join().unwrap_or_default();
        match code {
            Ok(Some(0)) => {
                let stopping = compiled.pop().and_then(|mark| WAYS.into_iter().find(|way| way.1 == mark));
                let incomplete = || ("compiler-unavailable", "the compiler's code is incomplete".to_owned());
                stopping.map(|(stopping, _)| (stopping, compiled)).ok_or_else(incomplete)
            }
            Ok(Some(REFUSED)) => Err(said(&words)),
            Ok(None) if words.contains("overflowed its stack") => {
                Err(("compile-failed", "it does not compile: the compiler ran out of its stack".to_owned()))
            }
            Ok(_) => Err((
                "compile-limit",
                format!(
                    "compiling it takes more than {} s of processor time or {} MiB of memory",
                    limits.cpu_s_max,
                    limits.memory_bytes_max >> 20
                ),
            )),
            Err(error) => Err(here(error)),
        }
    })
}

/// What a child writes behind the code: which engine it is for.
const WAYS: [(Stopping, u8); 3] =
    [(Stopping::Interrupts, b'i'), (Stopping::Epochs, b'e'), (Stopping::Fuel, b'f')];

/// Codes that a child may answer with.
const CODES: [&str; 4] = ["not-wasm", "precompiled", "core-unfit", "compile-failed"];

/// What a child says about a module that it refuses: a code, and a sentence behind it.
fn said(words: &str) -> Refusal {
    let (code, message) = words.split_once('\n').unwrap_or(("", words));
    let code = CODES.into_iter().find(|known| *known == code).unwrap_or("compile-failed");
    (code, message.trim().to_owned())
}

/// Waits for a child, but not for ever. Answers its exit code; `None` if a signal ended it.
fn wait(child: &mut Child, within: Duration) -> std::io::Result<Option<i32>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if start.elapsed() > within {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Takes up what a child has compiled.
pub(super) fn load(engine: &Engine, compiled: &[u8]) -> Result<Component, Refusal> {
    #[allow(
        unsafe_code,
        reason = "bytes that this very program made in a child process of its own, read from a pipe to it"
    )]
    // SAFETY: `deserialize` asks for bytes that `precompile_component` gave. The child is this program, its output was
    // read to its end and it ended well, and no one else can write to the pipe.
    let component = unsafe { Component::deserialize(engine, compiled) };
    component
        .map_err(|error| ("compiler-unavailable", format!("the compiler's code cannot be used: {error:#}")))
}

/// The child's side: bounds itself, reads a module, writes compiled code. Answers the exit code.
pub fn compile_as_child(limits: &CompileLimits, metered: bool) -> i32 {
    let bounded = |resource, max: u64| setrlimit(resource, Rlimit { current: Some(max), maximum: Some(max) });
    let bound = bounded(Resource::Cpu, limits.cpu_s_max)
        .and_then(|()| bounded(Resource::Data, limits.memory_bytes_max))
        .and_then(|()| bounded(Resource::Core, 0));
    if let Err(error) = bound {
        eprintln!("the compiler cannot bound itself: {error}");
        return 1;
    }
    let compile = || -> Result<(), (i32, String)> {
        let own = |error: std::io::Error| (1, error.to_string());
        let refused = |(code, message): Refusal| (REFUSED, format!("{code}\n{message}"));
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(own)?;
        let (stopping, component) = prepared(&bytes, metered).map_err(refused)?;
        let engine = Engine::new(&engine::config(stopping)).map_err(|error| (1, format!("{error:#}")))?;
        let compiled = engine.precompile_component(&component);
        let mut compiled = compiled.map_err(|error| refused(does_not_compile(&error)))?;
        compiled.extend(WAYS.iter().filter(|(way, _)| *way == stopping).map(|(_, mark)| mark));
        std::io::stdout().lock().write_all(&compiled).map_err(own)
    };
    match compile() {
        Ok(()) => 0,
        Err((code, words)) => {
            eprintln!("{words}");
            code
        }
    }
}
