//! The judge: compares what is there with the model, record by record. It reads the source back first, so that what
//! must be there follows from what was really written, whatever the producer was told.

use super::facts::{Found, Topics};
use super::load::Load;
use super::model::{Asked, record};
use super::site::Site;
use super::smtp::Taken;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;

/// Examples that are kept of what is wrong.
const SHOWN_MAX: usize = 12;

/// What the judge found, added up over a run.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub records: i64,
    /// Records without any of their effects.
    pub lost: u64,
    /// Records with an effect too many.
    pub doubled: u64,
    /// Records with some of their effects without the others.
    pub torn: u64,
    /// Whatever else is wrong, and examples of the above.
    pub wrong: Vec<String>,
    pub mails_sent: usize,
    pub mails_again: u64,
    pub mails_refused: usize,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.torn == 0 && self.wrong.is_empty()
    }

    fn say(&mut self, what: String) {
        if self.wrong.len() < SHOWN_MAX {
            self.wrong.push(what);
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lost, {} doubled, {} torn", self.lost, self.doubled, self.torn)?;
        match self.wrong.first() {
            Some(first) => write!(f, "; first of all: {}", first.chars().take(400).collect::<String>()),
            None => Ok(()),
        }
    }
}

/// Where mails arrive.
pub enum Post<'a> {
    Server(&'a super::smtp::SmtpServer),
    Folder(PathBuf),
}

pub struct Judge {
    topics: Topics,
    /// Records before this one are judged.
    judged: i64,
    /// Where each record stands in the source.
    places: HashMap<(i32, i64), i64>,
    totals: BTreeMap<i64, i64>,
    /// Rows of the tables with a row for each record that works: judged before, and this time.
    rows_before: i64,
    rows_now: i64,
    last_letter: i64,
    last_mail: i64,
    /// The mails that must be, by Message-ID: the record, and whether the store calls it sent.
    mails: HashMap<String, i64>,
    /// Gated records that became dead letters, since the gate was late.
    given_up: HashSet<i64>,
    pub verdict: Verdict,
}

/// The effects found, by record.
type Effects = HashMap<i64, Vec<String>>;

fn add(effects: &mut Effects, n: &str, effect: String) {
    // What names no record at all is filed under one that never is.
    effects.entry(n.parse().unwrap_or(-1)).or_default().push(effect);
}

impl Judge {
    pub fn new(site: &Site) -> Self {
        Judge {
            topics: site.topics(),
            judged: 0,
            places: HashMap::new(),
            totals: BTreeMap::new(),
            rows_before: 0,
            rows_now: 0,
            last_letter: 0,
            last_mail: 0,
            mails: HashMap::new(),
            given_up: HashSet::new(),
            verdict: Verdict::default(),
        }
    }

    /// Judges the records up to `upto`, all of which must be through.
    pub fn judge(&mut self, site: &Site, load: &Load, upto: i64, post: &Post<'_>) {
        let from = self.judged;
        let mut found = Effects::new();
        let mut news = self.topics.news(&site.name);
        let source = news.remove(&site.topic()).unwrap_or_default();
        self.read_source(&source, from, upto);
        self.read_topics(site, news, &mut found);
        self.read_tables(site, from, &mut found);
        self.read_letters(site, &mut found);
        self.read_mails(site, &mut found);
        let late = load.shared.late.lock().clone();
        for n in from..upto {
            let of_record = found.remove(&n).unwrap_or_default();
            let is_late = late.iter().any(|(from, upto)| (*from..=*upto).contains(&n));
            self.compare(&record(n), of_record, is_late);
        }
        for (n, effects) in found {
            self.verdict.doubled += 1;
            self.verdict
                .say(format!("record {n} was judged before, or never was, and has more: {effects:?}"));
        }
        self.judged = upto;
        self.verdict.records = upto;
        self.judge_totals(site, from, upto);
        self.judge_older(site, from);
        self.rows_before += std::mem::take(&mut self.rows_now);
        self.judge_ledgers(site);
        self.judge_post(site, post);
    }

    fn read_source(&mut self, source: &[Found], from: i64, upto: i64) {
        let mut seen = HashSet::new();
        for found in source {
            let n = found.value.strip_prefix("{\"n\":").and_then(|rest| rest.split(',').next());
            let n: i64 = n.and_then(|n| n.parse().ok()).unwrap_or(-1);
            self.places.insert((found.partition, found.offset), n);
            if !seen.insert(n) || !(from..upto).contains(&n) || record(n).value() != found.value {
                self.verdict
                    .say(format!("the harness itself: record {n} is in the source twice, or is another"));
            }
        }
        if seen.len() as i64 != upto - from {
            self.verdict
                .say(format!("the harness itself: {} records of {from}..{upto} in the source", seen.len()));
        }
    }

    fn read_topics(&self, site: &Site, news: BTreeMap<String, Vec<Found>>, effects: &mut Effects) {
        for (topic, messages) in news {
            let part = topic.strip_prefix(&format!("{}.", site.name)).unwrap_or(&topic).to_owned();
            for found in messages {
                let whole = |n: &str| n.parse().is_ok_and(|n| record(n).value() == found.value);
                let right = |yes: bool, what: String| if yes { what } else { format!("{what} changed") };
                match part.split_once('.').unwrap_or((&part, "")) {
                    ("dlq", _) => {
                        let header = |name: &str| found.header(&format!("__connect.errors.{name}"));
                        let place = (
                            header("partition").parse().unwrap_or(-1),
                            header("offset").parse().unwrap_or(-1),
                        );
                        let n = self.places.get(&place).copied().unwrap_or(-1).to_string();
                        let code = header("exception.class.name");
                        add(effects, &n, right(whole(&n), format!("dlq {code}")));
                    }
                    ("out", _) => {
                        let same = found.header("n") == found.key && whole(&found.key);
                        add(effects, &found.key, right(same, "out".to_owned()));
                    }
                    ("kind", kind) => {
                        add(effects, &found.key, right(whole(&found.key), format!("by-kind {kind}")));
                    }
                    _ => add(effects, "-1", format!("a message in {topic}")),
                }
            }
        }
    }

    fn read_tables(&self, site: &Site, from: i64, effects: &mut Effects) {
        for (table, key, other) in
            [("items", "n", "note"), ("firsts", "n", "note"), ("claims", "claim", "amount")]
        {
            let sql = format!("SELECT {key} || ' ' || {other} FROM {table} WHERE {key} >= {from}");
            for line in site.database.must(&site.runtime, &sql) {
                let (n, other) = line.split_once(' ').unwrap_or((&line, ""));
                add(effects, n, format!("{table} {other}"));
            }
        }
    }

    fn read_letters(&mut self, site: &Site, effects: &mut Effects) {
        let sql = format!(
            "SELECT id || ' ' || partition || ' ' || record_offset || ' ' || code || ' ' || attempts \
             FROM gristmill.dead_letters WHERE id > {} ORDER BY id",
            self.last_letter
        );
        for line in site.database.must(&site.runtime, &sql) {
            let words: Vec<&str> = line.split(' ').collect();
            let place = (words[1].parse().unwrap_or(-1), words[2].parse().unwrap_or(-1));
            let n = self.places.get(&place).copied().unwrap_or(-1).to_string();
            add(effects, &n, format!("letter {} {}", words[3], words[4]));
            self.last_letter = words[0].parse().unwrap_or(i64::MAX);
        }
    }

    fn read_mails(&mut self, site: &Site, effects: &mut Effects) {
        let sql = format!(
            "SELECT id || ' ' || message_id FROM gristmill.mails WHERE id > {} ORDER BY id",
            self.last_mail
        );
        for line in site.database.must(&site.runtime, &sql) {
            let (row, id) = line.split_once(' ').unwrap_or((&line, ""));
            self.last_mail = row.parse().unwrap_or(i64::MAX);
            let n = self.record_of_mail(site, id);
            add(effects, &n.to_string(), "mail".to_owned());
            self.mails.insert(id.to_owned(), n);
        }
    }

    /// `PIPELINE.TOPIC.PARTITION.OFFSET.NUMBER@DOMAIN`
    fn record_of_mail(&self, site: &Site, id: &str) -> i64 {
        let place = id.strip_prefix(&format!("{}.{}.", site.name, site.topic())).unwrap_or_default();
        let mut words = place.split(['.', '@']);
        let mut next = || words.next().and_then(|word| word.parse::<i64>().ok()).unwrap_or(-1);
        let (partition, offset) = (next(), next());
        let partition = i32::try_from(partition).unwrap_or(-1);
        self.places.get(&(partition, offset)).copied().unwrap_or(-1)
    }

    fn compare(&mut self, asked: &Asked, mut found: Vec<String>, late: bool) {
        found.sort();
        let mut expected = asked.effects();
        if asked.mails() {
            expected.push("mail".to_owned());
            expected.sort();
        }
        if found == expected {
            return;
        }
        if late && asked.effects_if_late().is_some_and(|other| other == found) {
            self.given_up.insert(asked.n);
            return;
        }
        let mut extra = found.clone();
        let mut missing = Vec::new();
        for effect in &expected {
            match extra.iter().position(|other| other == effect) {
                Some(place) => drop(extra.remove(place)),
                None => missing.push(effect.clone()),
            }
        }
        let verdict = &mut self.verdict;
        let word = match (missing.is_empty(), found.is_empty()) {
            (true, _) => {
                verdict.doubled += 1;
                "doubled"
            }
            (false, true) => {
                verdict.lost += 1;
                "lost"
            }
            (false, false) => {
                verdict.torn += 1;
                "torn"
            }
        };
        verdict.say(format!(
            "record {} ({:?}) is {word}: missing {missing:?}, too many {extra:?}",
            asked.n, asked.deed
        ));
    }

    /// The sums, over all records ever.
    fn judge_totals(&mut self, site: &Site, from: i64, upto: i64) {
        for asked in (from..upto).map(record).filter(|asked| asked.added() > 0) {
            if !self.given_up.contains(&asked.n) {
                self.rows_now += 1;
                *self.totals.entry(asked.bucket()).or_default() += asked.added();
            }
        }
        let mut found = BTreeMap::new();
        for line in site.database.must(&site.runtime, "SELECT bucket || ' ' || amount FROM totals") {
            let (bucket, amount) = line.split_once(' ').unwrap_or((&line, ""));
            found.insert(bucket.parse().unwrap_or(-1), amount.parse().unwrap_or(-1_i64));
        }
        let buckets: HashSet<i64> = self.totals.keys().chain(found.keys()).copied().collect();
        for bucket in buckets {
            let (is, must) =
                (found.get(&bucket).copied().unwrap_or(0), self.totals.get(&bucket).copied().unwrap_or(0));
            if is > must {
                self.verdict.doubled += 1;
            } else if is < must {
                self.verdict.torn += 1;
            }
            if is != must {
                self.verdict.say(format!("the sum of bucket {bucket} is {is}, not {must}"));
            }
        }
    }

    /// Rows that were right before must be as many as they were.
    fn judge_older(&mut self, site: &Site, from: i64) {
        let must = self.rows_before.to_string();
        for (table, key) in [("items", "n"), ("firsts", "n"), ("claims", "claim")] {
            let sql = format!("SELECT count(*) || '' FROM {table} WHERE {key} < {from}");
            let is = site.database.must(&site.runtime, &sql);
            if is.first() != Some(&must) {
                self.verdict.doubled += 1;
                self.verdict.say(format!("{table} has {is:?} rows before {from}, not {must}"));
            }
        }
    }

    /// Batches without gaps, offsets that only grow, and no batch of an owner who had been followed by another.
    fn judge_ledgers(&mut self, site: &Site) {
        let sql = "SELECT partition || ' ' || batch || ' ' || epoch || ' ' || next_offset FROM \
                   (SELECT *, lag(epoch, 1, 0) OVER w AS epoch_before, lag(batch, 1, 0) OVER w AS batch_before, \
                   lag(next_offset, 1, 0) OVER w AS offset_before FROM gristmill.batches \
                   WINDOW w AS (PARTITION BY topic, partition ORDER BY batch)) AS b \
                   WHERE epoch < epoch_before OR batch <> batch_before + 1 OR next_offset < offset_before";
        for line in site.database.must(&site.runtime, sql) {
            self.verdict.say(format!("the batch ledger breaks at (partition batch epoch offset) {line}"));
        }
    }

    /// Every mail was taken at least once or refused for good, and nothing came that must not.
    fn judge_post(&mut self, site: &Site, post: &Post<'_>) {
        let mut taken = Taken::default();
        let wrong = match post {
            Post::Server(server) => {
                let state = server.state.lock();
                taken.taken = state.taken.clone();
                taken.refused = state.refused.clone();
                state.changed.clone()
            }
            Post::Folder(folder) => {
                for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    if let Some(id) = name.strip_suffix(".eml").filter(|id| !id.starts_with('.')) {
                        taken.taken.insert(id.to_owned(), (1, String::new()));
                    }
                }
                Vec::new()
            }
        };
        for id in wrong {
            self.verdict.say(format!("mail {id} came again with another content"));
        }
        taken.taken.retain(|id, _| id.starts_with(&format!("{}.", site.name)));
        for id in taken.taken.keys().filter(|id| !self.mails.contains_key(*id)) {
            self.verdict.torn += 1;
            self.verdict.wrong.push(format!("mail {id} was sent, and is not in the store"));
        }
        for (id, n) in &self.mails {
            if !taken.taken.contains_key(id) && !taken.refused.contains(id) {
                self.verdict.lost += 1;
                self.verdict.wrong.push(format!("mail {id} of record {n} never arrived"));
            }
        }
        self.verdict.mails_sent = taken.taken.len();
        self.verdict.mails_again = taken.taken.values().map(|(times, _)| times - 1).sum();
        self.verdict.mails_refused = taken.refused.len();
    }
}
