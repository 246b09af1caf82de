//! What is looked up for each record, and what a miss does.

use gristmill_rules::config::{self, Missing};
use gristmill_rules::{Condition, Facts, Places, Template};
use gristmill_sdk::{Failure, Faults, Keys, Lookup, Plan, Record};
use serde::Deserialize;

/// One lookup as its author writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What pointers into the answer begin with: `user:/name`.
    name: String,
    /// The pipeline's lookup, if it is called otherwise.
    lookup: Option<String>,
    /// The key: a pointer or a template.
    key: String,
    #[serde(default = "park")]
    missing: Missing,
    /// For which records it is asked.
    when: Option<config::Condition>,
}

fn park() -> Missing {
    Missing::Park
}

/// All lookups, and the places that their keys are made of.
#[derive(Debug)]
pub struct Lookups {
    all: Vec<One>,
    places: Places,
}

#[derive(Debug)]
struct One {
    name: String,
    lookup: Lookup,
    key: Template,
    missing: Missing,
    when: Option<Condition>,
}

/// What a record asks of a lookup.
enum Asked<'k> {
    /// For this key, or for one that cannot be made and may be missing.
    For(Option<&'k str>),
    /// Nothing: the lookup is not for such records.
    Not,
}

impl Lookups {
    /// Reads the lookups; `documents` learns the names of their answers, in this order.
    pub fn compile(configs: Vec<Config>, documents: &mut Places, plan: &mut Plan) -> Result<Self, String> {
        let mut places = Places::default();
        let mut all = Vec::with_capacity(configs.len());
        for (index, config) in configs.into_iter().enumerate() {
            let at = |what: String| format!("/lookup/{index}/{what}");
            documents.document(&config.name).map_err(|what| at(format!("name: {what}")))?;
            let key = Template::expression(&config.key, &mut places);
            let key = key.map_err(|what| at(format!("key: {what}")))?;
            let when = config.when.map(|when| Condition::compile(when, &mut places, &at("when".to_owned())));
            let lookup = plan.lookup(config.lookup.as_ref().unwrap_or(&config.name));
            all.push(One {
                name: config.name,
                lookup,
                key,
                missing: config.missing,
                when: when.transpose()?,
            });
        }
        if all.is_empty() {
            return Err("/lookup: nothing to look up: `route` does without".to_owned());
        }
        Ok(Self { all, places })
    }

    /// Asks for all keys of a record.
    pub fn ask(&self, record: &Record<'_>, text: &str, keys: &mut Keys<'_>) -> Result<(), Failure> {
        self.each_key(record, text, |one, asked, _| {
            if let Asked::For(Some(key)) = asked {
                keys.ask(one.lookup, key);
            }
        })
    }

    /// The answers to a record's keys, in the order of the lookups; a failure if one is missing that must not.
    pub fn answers<'b>(&self, record: &Record<'b>, text: &str) -> Result<Vec<Option<&'b str>>, Failure> {
        let mut answers = Vec::with_capacity(self.all.len());
        self.each_key(record, text, |one, asked, faults| {
            let Asked::For(key) = asked else { return answers.push(None) };
            let answer = key.and_then(|key| record.looked_up(one.lookup, key));
            if answer.is_none() {
                let reason = || format!("there is no {} `{}`", one.name, shown(key.unwrap_or_default()));
                if let Some(failure) = one.missing.failure(reason) {
                    faults.add(failure);
                }
            }
            let text = answer.map(std::str::from_utf8).transpose();
            let text = text.map_err(|_| {
                Failure::reject("bad-answer", format!("what was looked up as `{}` is not UTF-8", one.name))
            });
            answers.push(faults.keep(text).flatten());
        })?;
        Ok(answers)
    }

    /// Makes the keys of a record one after the other. What a key needs must be there, unless its answer may be missing.
    fn each_key(
        &self,
        record: &Record<'_>,
        text: &str,
        mut visit: impl FnMut(&One, Asked<'_>, &mut Faults),
    ) -> Result<(), Failure> {
        let reading = self.places.read(text, &[])?;
        let facts = Facts::of(record, &reading);
        let mut faults = Faults::default();
        for one in &self.all {
            if one.when.as_ref().is_some_and(|when| !when.holds(&facts)) {
                visit(one, Asked::Not, &mut faults);
                continue;
            }
            let mut of_key = Faults::default();
            let key = one.key.fill(&facts, &mut of_key);
            match of_key.check() {
                Err(failure) if one.missing != Missing::Keep => faults.add(failure),
                _ => visit(one, Asked::For(key.as_deref()), &mut faults),
            }
        }
        faults.check()
    }
}

/// A key, for a reason.
fn shown(key: &str) -> String {
    const CHARS_MAX: usize = 100;
    match key.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => key.get(..end).unwrap_or_default().to_owned() + "…",
        None => key.to_owned(),
    }
}
