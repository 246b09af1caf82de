//! Processes that outlive this program: started apart from it, found again, and ended without ever ending
//! another one.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::folder::{read_if_there, remove_if_there};
use super::{Folder, Service};
use crate::{progress, workspace};

/// How long an orderly end may take before it is made a hard one.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);
const LOG_LINES_SHOWN_MAX: usize = 20;

/// A process, told apart from a later one with the same pid by when it started and in which boot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pid: u32,
    started_ticks: u64,
    boot: String,
}

impl Identity {
    /// The process that has this pid now, unless it is gone or only waits for its parent to notice.
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, started_ticks) = state_and_start(&stat)?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        (state != "Z" && state != "X").then_some(Self { pid, started_ticks, boot })
    }

    fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    fn read(path: &Path) -> Result<Option<Self>> {
        Ok(read_if_there(path)?.and_then(|text| Self::parse(&text)))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let pid = words.next()?.parse().ok()?;
        let started_ticks = words.next()?.parse().ok()?;
        Some(Self { pid, started_ticks, boot: words.next()?.to_owned() })
    }

    fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, format!("{} {} {}\n", self.pid, self.started_ticks, self.boot))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// std cannot signal a process that is not its child; the shell's own `kill` can.
    fn signal(&self, signal: &str) -> Result<()> {
        if self.is_alive() {
            let kill = format!("kill -{signal} {}", self.pid);
            workspace::run_quietly(Command::new("sh").args(["-c", &kill])).or_else(|error| {
                if self.is_alive() { Err(error) } else { Ok(()) } // it went by itself in between
            })?;
        }
        Ok(())
    }

    fn wait_gone(&self, time_max: Duration) -> bool {
        let start = Instant::now();
        while self.is_alive() {
            if start.elapsed() > time_max {
                return false;
            }
            sleep(Duration::from_millis(20));
        }
        true
    }
}

/// Fields 3 and 22 of /proc/PID/stat; the name before them may hold blanks and brackets.
fn state_and_start(stat: &str) -> Option<(&str, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// The server of this folder, if it runs.
pub(crate) fn running(folder: &Folder, service: Service) -> Result<Option<Identity>> {
    Ok(Identity::read(&folder.pid_file(service.name()))?.filter(Identity::is_alive))
}

/// Whether a living process has `folder` as its working folder.
pub(crate) fn any_works_in(folder: &Path) -> Result<bool> {
    let works_in = |process: fs::DirEntry| fs::read_link(process.path().join("cwd")).ok();
    let processes = fs::read_dir("/proc").context("cannot read /proc")?;
    Ok(processes.filter_map(Result::ok).filter_map(works_in).any(|cwd| cwd == folder))
}

/// A command in a session of its own, so that neither Ctrl-C nor the end of a terminal reaches it. `setsid`
/// becomes the program: the pid stays.
pub(crate) fn detached(program: &str) -> Command {
    let mut command = Command::new("setsid");
    command.arg(program).current_dir("/").stdin(Stdio::null());
    command
}

/// Starts the server and waits until it answers.
pub(crate) fn start(folder: &Folder, service: Service, port: u16) -> Result<()> {
    let log_path = folder.log_file(service.name());
    let log = File::options().create(true).append(true).open(&log_path)?;
    let log_start = log.metadata()?.len();
    let mut command = service.command(folder, port)?;
    command.stderr(log.try_clone()?).stdout(log);
    let mut child =
        command.spawn().with_context(|| format!("cannot start `{}`", workspace::words(&command)))?;
    if let Some(identity) = Identity::of(child.id()) {
        identity.write(&folder.pid_file(service.name()))?;
    }
    let begun = Instant::now();
    let outcome = wait_until_up(folder, service, port, log_start, &mut child);
    if outcome.is_err() {
        let _ = child.kill();
        let _ = child.wait();
        remove_if_there(fs::remove_file(folder.pid_file(service.name())))?;
    }
    outcome?;
    let seconds = begun.elapsed().as_secs_f64();
    progress::say(&format!("{}: up on 127.0.0.1:{port} after {seconds:.1} s", service.name()));
    Ok(())
}

fn wait_until_up(
    folder: &Folder,
    service: Service,
    port: u16,
    log_start: u64,
    child: &mut Child,
) -> Result<()> {
    let name = service.name();
    let begun = Instant::now();
    loop {
        let log = folder.log_since(name, log_start)?;
        if let Some(status) = child.try_wait()? {
            bail!("{name} ended while starting ({status}); {}", last_lines(folder, name, &log));
        }
        if service.answers(port, &log) {
            return Ok(());
        }
        if begun.elapsed() > service.start_time_max() {
            let seconds = service.start_time_max().as_secs();
            bail!("{name} was not up after {seconds} s; {}", last_lines(folder, name, &log));
        }
        sleep(Duration::from_millis(50));
    }
}

fn last_lines(folder: &Folder, name: &str, log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let shown = lines.get(lines.len().saturating_sub(LOG_LINES_SHOWN_MAX)..).unwrap_or_default();
    format!("the end of {}:\n    {}", folder.log_file(name).display(), shown.join("\n    "))
}

/// Ends the server in an orderly way, or after half a minute in another.
pub(crate) fn stop(folder: &Folder, service: Service) -> Result<()> {
    let name = service.name();
    if let Some(identity) = running(folder, service)? {
        let begun = Instant::now();
        identity.signal(service.stop_signal())?;
        if !identity.wait_gone(STOP_TIME_MAX) {
            progress::say(&format!("{name}: does not stop, killing it"));
            identity.signal("KILL")?;
            identity.wait_gone(STOP_TIME_MAX);
        }
        progress::say(&format!("{name}: down after {:.1} s", begun.elapsed().as_secs_f64()));
    }
    remove_if_there(fs::remove_file(folder.pid_file(name)))
}

/// `kill -9`, as a machine that loses power would do it.
pub(crate) fn kill(folder: &Folder, service: Service) -> Result<()> {
    let name = service.name();
    let Some(identity) = running(folder, service)? else {
        bail!("{name} does not run in {}", folder.path().display());
    };
    identity.signal("KILL")?;
    if !identity.wait_gone(STOP_TIME_MAX) {
        bail!("{name} survived SIGKILL");
    }
    remove_if_there(fs::remove_file(folder.pid_file(name)))?;
    progress::say(&format!("{name}: killed"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) Z (b) S 1 7 7 0 -1 4194560 9 0 0 0 1 2 3 4 20 0 1 0 4242 99 1";
        assert_eq!(state_and_start(stat), Some(("S", 4242)));
        assert_eq!(state_and_start("7 (a) S 1"), None);
    }

    #[test]
    fn a_pid_used_again_is_another_process() {
        let me = Identity::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        let earlier = Identity { started_ticks: me.started_ticks - 1, ..Identity::of(me.pid).unwrap() };
        assert!(!earlier.is_alive());
        earlier.signal("KILL").unwrap(); // would end this test
        let other_boot = Identity { boot: "another".to_owned(), ..Identity::of(me.pid).unwrap() };
        assert!(!other_boot.is_alive());
    }

    #[test]
    fn an_ended_child_is_not_alive_before_it_is_waited_for() {
        let mut child = Command::new("true").spawn().unwrap();
        let identity = Identity::of(child.id());
        assert!(identity.is_none_or(|identity| identity.wait_gone(Duration::from_secs(5))));
        child.wait().unwrap();
    }
}
