//! One run on the real set: the load goes on, fault after fault happens, and every now and then everything is judged.

use super::hosts::{Hosts, PLACES};
use super::judge::{Judge, Post};
use super::load::Load;
use super::options::Options;
use super::proxy::{Proxy, Stall};
use super::report::Report;
use super::rest::wait_until_drained;
use super::say;
use super::schedule::{self, Fault, Kind};
use super::servers::Servers;
use super::site::{PARTITIONS, Site, again};
use super::smtp::Mood;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Faults between two judgements.
pub const JUDGED_EVERY: usize = 40;
/// How long hosts that are up, with servers that are up, may commit nothing at all.
const STUCK: Duration = Duration::from_secs(75);
/// How long the load may take to write what it has begun.
pub const REST: Duration = Duration::from_secs(60);

pub struct Run<'a> {
    pub servers: &'a Servers,
    pub site: Site,
    pub load: Load,
    pub hosts: Hosts,
    pub judge: Judge,
    pub report: Report,
    pub session: Duration,
    short: bool,
    /// The last fault that was begun.
    fault: usize,
}

/// The whole run of a seed.
pub fn real(runtime: &Handle, servers: &Servers, options: &Options, count: usize) -> Report {
    let only = &options.only;
    let weights: Vec<(Kind, u64)> =
        schedule::REAL.into_iter().filter(|(kind, _)| only.is_empty() || only.contains(kind)).collect();
    if weights.is_empty() {
        return Report::default();
    }
    let site = Site::real(runtime, servers, options, "real", PARTITIONS, None);
    let mut run = Run::start(servers, site, options);
    let faults = schedule::faults(options.seed, &weights, options.from, count);
    let start = Instant::now();
    let mut outcome = Ok(());
    for (done, fault) in faults.iter().enumerate() {
        outcome = run.one(fault);
        let late = start.elapsed() > Duration::from_secs(options.seconds_max);
        if outcome.is_ok() && ((done + 1) % JUDGED_EVERY == 0 || late || done + 1 == faults.len()) {
            outcome = run.checkpoint();
        }
        if late || outcome.is_err() {
            break;
        }
    }
    run.end(outcome, options, start)
}

impl<'a> Run<'a> {
    pub fn start(servers: &'a Servers, mut site: Site, options: &Options) -> Self {
        let hosts = site.hosts();
        let (load, judge) = (Load::start(&site), Judge::new(&site));
        let report = Report { set: "real".to_owned(), seed: options.seed, ..Report::default() };
        let short = options.faults.is_none();
        let session = Duration::from_millis(options.session_ms.into());
        let mut run = Run { servers, site, load, hosts, judge, report, session, short, fault: options.from };
        run.hosts.start(0);
        run.hosts.start(1);
        run
    }

    /// One fault, and what has to hold around it. `Err`: the run cannot go on.
    fn one(&mut self, fault: &Fault) -> Result<(), String> {
        self.fault = fault.number;
        sleep(fault.wait_ms);
        self.at_work()?;
        self.load.drop_time();
        let kind = self.happen(fault);
        self.report.count(kind);
        if fault.number % 10 == 9 {
            let batches = self.load.batches();
            say(&format!(
                "fault {}: {kind}; {batches} batches, {} hosts",
                fault.number,
                self.hosts.alive().len()
            ));
        }
        if self.hosts.alive().is_empty() {
            self.hosts.start(0);
        }
        // The short run hurries on, but takes the time now and then.
        let settle = fault.settle && (!self.short || fault.number.is_multiple_of(4));
        if settle && !self.load.all_move(Duration::from_secs(30)) {
            say(&format!("fault {}: {kind}: not every lane is at work again after 30 s", fault.number));
        }
        Ok(())
    }

    /// Waits until something is committed, so that a fault meets a system at work.
    fn at_work(&mut self) -> Result<(), String> {
        let (start, batches) = (Instant::now(), self.load.batches());
        while self.load.batches() <= batches {
            if let Some(words) = self.hosts.supervise() {
                return Err(format!("a host has stopped for good: {words}"));
            }
            if let Some(trouble) = self.load.shared.trouble.lock().clone() {
                return Err(trouble);
            }
            if start.elapsed() > STUCK {
                return Err(format!("nothing was committed for {} s", STUCK.as_secs()));
            }
            sleep(10);
        }
        Ok(())
    }

    /// Does what the fault says; answers what it came to.
    fn happen(&mut self, fault: &Fault) -> Kind {
        let alive = self.hosts.alive();
        let place = alive.get(fault.pick as usize % alive.len().max(1)).copied().unwrap_or(0);
        match fault.kind {
            Kind::Kill => self.kill(place, fault),
            Kind::Point => return self.kill_at_point(place, fault),
            Kind::Zombie | Kind::ZombiePoint => return self.zombie(place, fault),
            Kind::Rebalance => self.rebalance(fault),
            Kind::Cut => {
                self.proxy(fault).cut(fault.pick & 2 == 0);
            }
            Kind::Stall => self.stall(fault),
            Kind::Smtp => {
                let moods = [Mood::Later, Mood::Never, Mood::Hangs, Mood::TakesAndHangs];
                self.servers.smtp.set(moods[fault.pick as usize % moods.len()]);
                sleep(fault.last_ms);
                self.servers.smtp.set(Mood::Takes);
            }
            Kind::Kafka => self.restart_server("kafka", place, fault),
            Kind::Postgres => self.restart_server("postgres", place, fault),
            Kind::DiskFull => {}
        }
        fault.kind
    }

    fn kill(&mut self, place: usize, fault: &Fault) {
        self.hosts.kill(place);
        self.dead(place, fault);
    }

    /// A host has died: the time runs, and after a while it is there again.
    fn dead(&mut self, place: usize, fault: &Fault) {
        let alone = self.hosts.alive().is_empty();
        self.load.take_time(if alone { "killed and started again" } else { "killed, another stood by" });
        // Alone: a supervisor starts it at once. Else the others are to take over first, more often than not.
        sleep(if alone { fault.last_ms / 5 } else { fault.last_ms });
        self.hosts.start(place);
    }

    fn kill_at_point(&mut self, place: usize, fault: &Fault) -> Kind {
        let opening = fault.point == "publish.opening";
        let pass = if opening { 1 } else { fault.pass };
        if opening {
            self.hosts.kill(place);
        }
        self.hosts.arm(place, &format!("kill {} {pass} {}", fault.point, fault.pause_ms));
        if opening {
            self.hosts.start(place);
        }
        let within = if opening { self.session + Duration::from_secs(6) } else { Duration::from_secs(4) };
        if self.hosts.died(place, within) {
            self.dead(place, fault);
            return Kind::Point;
        }
        // It did not come there (it had no lane, no mail): then it dies here.
        self.kill(place, fault);
        Kind::Kill
    }

    /// Makes a host sleep until others have its lanes, then wakes it up.
    fn zombie(&mut self, place: usize, fault: &Fault) -> Kind {
        if self.hosts.alive().len() < 2 {
            let empty = self.hosts.empty();
            self.hosts.start(empty[0]);
            self.load.all_move(Duration::from_secs(10));
        }
        let mut kind = fault.kind;
        if kind == Kind::ZombiePoint {
            self.hosts.arm(place, &format!("stop {} {} 0", fault.point, fault.pass));
            if !self.hosts.stopped(place, Duration::from_secs(4)) && self.hosts.disarm(place) {
                kind = Kind::Zombie;
            }
        }
        if kind == Kind::Zombie {
            self.hosts.signal(place, "-STOP");
        }
        let before = self.load.view();
        std::thread::sleep(self.session + Duration::from_millis(fault.last_ms));
        if self.load.followed(&before, 0, Duration::ZERO) {
            self.report.zombies_followed += 1;
        }
        self.hosts.signal(place, "-CONT");
        kind
    }

    /// 1 → 3 → 1: from one host or two to three, from three to one.
    fn rebalance(&mut self, fault: &Fault) {
        let alive = self.hosts.alive();
        if alive.len() < PLACES {
            for place in self.hosts.empty() {
                self.hosts.start(place);
                sleep(fault.last_ms / 4);
            }
            return;
        }
        let stays = fault.pick as usize % alive.len();
        for place in alive.into_iter().filter(|place| *place != stays) {
            if !self.hosts.leave(place) {
                say(&format!("fault {}: host {place} did not leave in good order", fault.number));
            }
        }
    }

    fn proxy(&self, fault: &Fault) -> &Proxy {
        if fault.pick & 1 == 0 { &self.servers.kafka } else { &self.servers.postgres }
    }

    /// After a stall the connections go on, or are cut: of what was under way nobody knows then whether it was done.
    fn stall(&mut self, fault: &Fault) {
        let proxy = self.proxy(fault);
        proxy.stall(if fault.pick & 2 == 0 { Stall::All } else { Stall::Answers });
        sleep(fault.last_ms);
        if fault.pick & 4 == 0 {
            proxy.cut(false);
        }
        proxy.stall(Stall::Nothing);
    }

    fn restart_server(&mut self, name: &str, place: usize, fault: &Fault) {
        self.servers.kill(name);
        sleep(fault.last_ms);
        // Now and then a host dies while its server is away.
        if fault.pick & 6 == 0 {
            self.hosts.kill(place);
        }
        self.servers.restart(name);
        self.hosts.start(place);
    }

    /// Lets everything come to rest and judges it.
    pub fn checkpoint(&mut self) -> Result<(), String> {
        self.load.drop_time();
        if !self.load.rest(REST) {
            return Err(format!("the load's own records were not written for {} s", REST.as_secs()));
        }
        let hosts = &mut self.hosts;
        wait_until_drained(&self.site, &self.load, &mut || hosts.supervise())?;
        self.judge_now();
        self.load.pause(false);
        if self.judge.verdict.is_clean() { Ok(()) } else { Err(String::new()) }
    }

    /// Judges what is there, drained or not.
    pub fn judge_now(&mut self) {
        let upto = self.load.shared.fed.load(Ordering::SeqCst);
        self.judge.judge(&self.site, &self.load, upto, &Post::Server(&self.servers.smtp));
        self.report.checkpoints += 1;
    }

    /// The report. A run that could not go on is judged as it stands.
    pub fn end(mut self, outcome: Result<(), String>, options: &Options, start: Instant) -> Report {
        if let Err(why) = outcome {
            if !why.is_empty() {
                if self.load.rest(REST) {
                    self.judge_now();
                }
                self.judge.verdict.wrong.insert(0, why);
            }
            let from = (self.fault + 1).saturating_sub(JUDGED_EVERY).max(options.from);
            self.report.wrong_after = Some(self.fault);
            self.report.again = Some(again(options, &self.report.set, from, self.fault + 1 - from));
            println!("everything that was written is kept in {}", self.site.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.site.folder);
        }
        self.report.took = start.elapsed();
        self.report.batches = self.load.batches();
        self.report.verdict = self.judge.verdict.clone();
        self.report.recoveries = self.load.shared.recoveries.lock().clone();
        self.report.ended_by_themselves = self.hosts.ended_by_themselves.clone();
        self.report
    }
}

pub fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
