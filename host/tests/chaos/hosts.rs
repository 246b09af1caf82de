//! Host processes in places of which some are empty: started, killed, stopped, told to die at a point.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Places for hosts.
pub const PLACES: usize = 3;

/// How one host is started.
pub struct Recipe {
    pub variables: Vec<(&'static str, String)>,
    pub spec: PathBuf,
    pub folder: PathBuf,
}

pub struct Hosts {
    recipe: Recipe,
    places: [Option<Child>; PLACES],
    /// Hosts that ended by themselves and were started again, as a supervisor would.
    pub ended_by_themselves: Vec<String>,
}

impl Hosts {
    pub fn new(recipe: Recipe) -> Self {
        Hosts { recipe, places: [const { None }; PLACES], ended_by_themselves: Vec::new() }
    }

    pub fn start(&mut self, place: usize) {
        if self.places[place].is_some() {
            return;
        }
        let log = std::fs::File::options().create(true).append(true).open(self.log_path(place)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
        command
            .arg("run")
            .arg(&self.recipe.spec)
            .envs(self.recipe.variables.iter().map(|(name, value)| (*name, value)))
            .env("GRISTMILL_CRASH_FILE", self.order_path(place))
            .env("GRISTMILL_LISTEN", "127.0.0.1:0")
            .current_dir(&self.recipe.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.places[place] = Some(command.spawn().unwrap());
    }

    fn log_path(&self, place: usize) -> PathBuf {
        self.recipe.folder.join(format!("host-{place}.log"))
    }

    fn order_path(&self, place: usize) -> PathBuf {
        self.recipe.folder.join(format!("order-{place}"))
    }

    pub fn alive(&self) -> Vec<usize> {
        (0..PLACES).filter(|place| self.places[*place].is_some()).collect()
    }

    pub fn empty(&self) -> Vec<usize> {
        (0..PLACES).filter(|place| self.places[*place].is_none()).collect()
    }

    pub fn kill(&mut self, place: usize) {
        if let Some(mut child) = self.places[place].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.disarm(place);
    }

    pub fn kill_all(&mut self) {
        (0..PLACES).for_each(|place| self.kill(place));
    }

    /// Tells a host, present or to come, what to do at a point. The file appears whole.
    pub fn arm(&self, place: usize, order: &str) {
        let new = self.recipe.folder.join(format!("new-order-{place}"));
        std::fs::write(&new, order).unwrap();
        std::fs::rename(new, self.order_path(place)).unwrap();
    }

    /// Takes the order back; answers whether it was still there.
    pub fn disarm(&self, place: usize) -> bool {
        std::fs::remove_file(self.order_path(place)).is_ok()
    }

    /// Waits for a host to die as it was told.
    pub fn died(&mut self, place: usize, within: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < within {
            let Some(child) = &mut self.places[place] else { return false };
            if let Ok(Some(status)) = child.try_wait() {
                self.places[place] = None;
                if status.code().is_some() {
                    self.note_end(place, status.code());
                    return false;
                }
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Waits for a host to stand still as it was told.
    pub fn stopped(&self, place: usize, within: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < within {
            let Some(child) = &self.places[place] else { return false };
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
            if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    pub fn signal(&self, place: usize, signal: &str) {
        if let Some(child) = &self.places[place] {
            let _ = Command::new("kill").args([signal, &child.id().to_string()]).status();
        }
    }

    /// Asks a host to leave; answers whether it did in good order.
    pub fn leave(&mut self, place: usize) -> bool {
        self.signal(place, "-TERM");
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(45) {
            let Some(child) = &mut self.places[place] else { return false };
            if let Ok(Some(status)) = child.try_wait() {
                self.places[place] = None;
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill(place);
        false
    }

    /// Starts again what ended by itself. Answers the last words of a host that has stopped for good: an operator
    /// would have to decide.
    pub fn supervise(&mut self) -> Option<String> {
        for place in 0..PLACES {
            let ended = self.places[place].as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                self.places[place] = None;
                self.note_end(place, status.code());
                let log = last_lines(&self.log_path(place), 30);
                if log.contains("Decide with:") || log.contains("panicked") {
                    return Some(log);
                }
                self.start(place);
            }
        }
        None
    }

    fn note_end(&mut self, place: usize, code: Option<i32>) {
        let words = last_lines(&self.log_path(place), 3);
        self.ended_by_themselves.push(format!("host {place}, exit code {code:?}: {words}"));
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.kill_all();
    }
}

fn last_lines(path: &Path, count: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(20_000)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
