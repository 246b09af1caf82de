//! The test of the test: hosts that break a rule of the commit on purpose must be caught. Each scenario provokes what
//! the rule is there for (the shortest ways are those that the commit's model prints), and must pass with hosts
//! that keep the rules.

use super::options::Options;
use super::report::Report;
use super::run::{Run, sleep};
use super::say;
use super::servers::Servers;
use super::site::{PARTITIONS, Site};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often a scenario is gone through before a broken host counts as not caught.
const ROUNDS_MAX: usize = 8;

/// Goes through the scenario of a rule, with hosts that break it or keep it.
pub fn scenario(
    runtime: &Handle,
    servers: &Servers,
    options: &Options,
    rule: &'static str,
    broken: bool,
) -> Report {
    let what = format!("{}-{rule}", if broken { "broken" } else { "right" });
    // With one lane it is known whose take-over it is that a host passes, and no other lane of a host that sleeps keeps the
    // others out by an open transaction.
    let partitions = if matches!(rule, "group-before-init" | "no-fence") { 1 } else { PARTITIONS };
    let site = Site::real(runtime, servers, options, &what, partitions, broken.then_some(rule));
    let mut run = Run::start(servers, site, options);
    let start = Instant::now();
    let mut outcome = Ok(());
    // Hosts that keep the rules need no more than a round or two to show that the scenario is fair.
    for round in 0..if broken { ROUNDS_MAX } else { 2 } {
        outcome = run.ready().and_then(|()| {
            match rule {
                "no-fence" => run.sleeper(),
                "group-before-init" => run.commit_between_reading_and_opening(),
                "forget-outbox" => run.dead_while("publish.produced", 400),
                _ => run.dead_while(["store.advanced", "store.rows-written"][round % 2], 0),
            }
            run.checkpoint()
        });
        if outcome.is_err() {
            break;
        }
    }
    let mut report = run.end(outcome, options, start);
    report.set = what;
    report
}

impl Run<'_> {
    /// Both hosts are up, and every lane is at work.
    fn ready(&mut self) -> Result<(), String> {
        let start = Instant::now();
        self.hosts.start(0);
        self.hosts.start(1);
        sleep(500);
        while !self.load.all_move(Duration::from_secs(3)) || self.load.view().is_empty() {
            if let Some(words) = self.hosts.supervise() {
                return Err(format!("a host has stopped for good: {words}"));
            }
            if start.elapsed() > Duration::from_secs(60) {
                return Err("the hosts do not get to work".to_owned());
            }
        }
        Ok(())
    }

    /// A host falls asleep with a batch in its hands that it is about to write, others take its lanes over and write it,
    /// it wakes up.
    fn sleeper(&mut self) {
        for place in [0, 1] {
            // Before the transaction: there is no lock that would keep the others out.
            self.hosts.arm(place, "stop store.beginning 1 0");
            if self.hosts.stopped(place, Duration::from_secs(4)) {
                // Past what the sleeper holds: one batch may be the very same, and then nearly all of it is a duplicate. But
                // not much longer: who sleeps for too long finds that its connections are gone.
                let before = self.load.view();
                if !self.load.followed(&before, 3, Duration::from_secs(8)) {
                    say("nobody took over");
                }
                self.hosts.signal(place, "-CONT");
                sleep(1_000);
            }
            self.hosts.disarm(place);
        }
    }

    /// One host dies at a point, the other takes over.
    fn dead_while(&mut self, point: &str, pause_ms: u64) {
        for place in [0, 1] {
            self.hosts.arm(place, &format!("kill {point} 3 {pause_ms}"));
            if !self.hosts.died(place, Duration::from_secs(4)) {
                self.hosts.kill(place);
            }
            self.load.all_move(Duration::from_secs(8));
            self.hosts.start(place);
        }
    }

    /// One host falls asleep with the group's offset in its transaction and the end not yet sent; the other takes over
    /// and is stopped just before it opens its producer; the first one wakes up, ends its transaction; the other goes on.
    fn commit_between_reading_and_opening(&mut self) {
        for place in [0, 1] {
            self.hosts.arm(place, "stop publish.offset-added 1 0");
        }
        // Whoever has the lane.
        let start = Instant::now();
        let sleeper = loop {
            let asleep =
                [0, 1].into_iter().find(|place| self.hosts.stopped(*place, Duration::from_millis(10)));
            if asleep.is_some() || start.elapsed() > Duration::from_secs(6) {
                break asleep;
            }
        };
        let Some(sleeper) = sleeper else { return say("no host fell asleep") };
        let heir = 1 - sleeper;
        self.hosts.arm(heir, "stop publish.opening 1 0");
        if self.hosts.stopped(heir, Duration::from_secs(8)) {
            self.hosts.signal(sleeper, "-CONT");
            sleep(700);
            self.hosts.signal(heir, "-CONT");
        } else {
            say("nobody took over");
            self.hosts.disarm(heir);
            self.hosts.signal(sleeper, "-CONT");
        }
        sleep(1_000);
    }
}
