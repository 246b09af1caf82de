//! One run on the embedded set: one host at a time, killed again and again, on a small disk that is full now and then.

use super::hosts::Hosts;
use super::judge::{Judge, Post};
use super::load::Load;
use super::options::Options;
use super::report::Report;
use super::rest::wait_until_drained;
use super::run::{JUDGED_EVERY, REST, sleep};
use super::say;
use super::schedule::{self, Fault, Kind};
use super::site::{Site, SmallDisk, again};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

const STUCK: Duration = Duration::from_secs(75);

struct Run<'a> {
    site: Site,
    load: Load,
    hosts: Hosts,
    judge: Judge,
    report: Report,
    disk: Option<&'a SmallDisk>,
    post: std::path::PathBuf,
}

pub fn embedded(runtime: &Handle, options: &Options, count: usize) -> Report {
    let disk = SmallDisk::mount();
    if disk.is_none() {
        say("this user must not mount a tmpfs: no full disk in this run");
    }
    let only = &options.only;
    let weights: Vec<(Kind, u64)> = schedule::EMBEDDED
        .into_iter()
        .filter(|(kind, _)| disk.is_some() || *kind != Kind::DiskFull)
        .filter(|(kind, _)| only.is_empty() || only.contains(kind))
        .collect();
    if weights.is_empty() {
        return Report::default();
    }
    let plain = tempfile::tempdir().unwrap();
    let data = disk.as_ref().map_or(plain.path(), SmallDisk::path);
    let mut site = Site::embedded(runtime, data);
    let hosts = site.hosts();
    let (load, judge) = (Load::start(&site), Judge::new(&site));
    let report = Report { set: "embedded".to_owned(), seed: options.seed, ..Report::default() };
    let mut run = Run { site, load, hosts, judge, report, disk: disk.as_ref(), post: data.join("mail") };
    let (start, mut last, mut outcome) = (Instant::now(), options.from, Ok(()));
    run.hosts.start(0);
    let faults = schedule::faults(options.seed, &weights, options.from, count);
    for (done, fault) in faults.iter().enumerate() {
        last = fault.number;
        outcome = run.one(fault);
        let late = start.elapsed() > Duration::from_secs(options.seconds_max);
        if outcome.is_ok() && ((done + 1) % JUDGED_EVERY == 0 || late || done + 1 == faults.len()) {
            outcome = run.checkpoint();
        }
        if late || outcome.is_err() {
            break;
        }
    }
    if let Err(why) = outcome {
        if !why.is_empty() {
            run.judge_now();
            run.judge.verdict.wrong.insert(0, why);
        }
        let from = (last + 1).saturating_sub(JUDGED_EVERY).max(options.from);
        run.report.wrong_after = Some(last);
        run.report.again = Some(again(options, "embedded", from, last + 1 - from));
        println!("the hosts' logs are kept in {}", run.site.folder.display());
    } else {
        let _ = std::fs::remove_dir_all(&run.site.folder);
    }
    run.finish(start)
}

impl Run<'_> {
    fn one(&mut self, fault: &Fault) -> Result<(), String> {
        sleep(fault.wait_ms / 2);
        let (start, batches) = (Instant::now(), self.load.batches());
        while self.load.batches() <= batches {
            if let Some(words) = self.hosts.supervise() {
                return Err(format!("the host has stopped for good: {words}"));
            }
            if start.elapsed() > STUCK {
                return Err(format!("nothing was committed for {} s", STUCK.as_secs()));
            }
            sleep(5);
        }
        self.load.drop_time();
        let kind = match fault.kind {
            Kind::DiskFull => {
                self.fill_the_disk(fault);
                Kind::DiskFull
            }
            Kind::Point => {
                // The journal's publisher has two points less.
                let point = match fault.point {
                    "publish.opening" => "store.committed",
                    "publish.offset-added" => "publish.produced",
                    point => point,
                };
                self.hosts.arm(0, &format!("kill {point} {} {}", fault.pass, fault.pause_ms));
                let kind = if self.hosts.died(0, Duration::from_secs(2)) { Kind::Point } else { Kind::Kill };
                self.again();
                kind
            }
            _ => {
                self.again();
                Kind::Kill
            }
        };
        self.report.count(kind);
        if fault.number % 10 == 9 {
            say(&format!("fault {}: {kind}; {} batches", fault.number, self.load.batches()));
        }
        if fault.settle {
            self.load.all_move(Duration::from_secs(20));
        }
        Ok(())
    }

    fn again(&mut self) {
        self.hosts.kill(0);
        self.load.take_time("killed and started again");
        self.hosts.start(0);
    }

    /// Full until nothing is committed any more, and a little longer; now and then the host dies meanwhile.
    fn fill_the_disk(&mut self, fault: &Fault) {
        let Some(disk) = self.disk else { return };
        let start = Instant::now();
        let mut still = (self.load.batches(), Instant::now());
        disk.fill();
        while still.1.elapsed() < Duration::from_secs(1) && start.elapsed() < Duration::from_secs(15) {
            sleep(50);
            let batches = self.load.batches();
            if batches > still.0 {
                still = (batches, Instant::now());
                disk.fill();
            }
        }
        sleep(fault.last_ms);
        if fault.pick & 1 == 0 {
            self.hosts.kill(0);
            self.hosts.start(0);
            sleep(700);
        }
        disk.free();
        self.load.take_time("room on the disk again");
    }

    fn checkpoint(&mut self) -> Result<(), String> {
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

    fn judge_now(&mut self) {
        let upto = self.load.shared.fed.load(Ordering::SeqCst);
        self.judge.judge(&self.site, &self.load, upto, &Post::Folder(self.post.clone()));
        self.report.checkpoints += 1;
    }

    fn finish(mut self, start: Instant) -> Report {
        self.report.took = start.elapsed();
        self.report.batches = self.load.batches();
        self.report.verdict = self.judge.verdict.clone();
        self.report.recoveries = self.load.shared.recoveries.lock().clone();
        self.report.ended_by_themselves = self.hosts.ended_by_themselves.clone();
        self.hosts.kill_all();
        self.report
    }
}
