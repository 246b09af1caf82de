//! Rules: read once from the configuration, followed for every record.

use crate::condition::Condition;
use crate::config;
use crate::each;
use crate::messages::{MailRule, MessageRule};
use crate::place::{Facts, Places};
use crate::rows::{RowRule, declare};
use gristmill_sdk::{Failure, Faults, Out, Plan, Record};

/// All rules, in the order in which they are followed.
#[derive(Debug)]
pub struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    when: Option<Condition>,
    /// The array that the rule goes through.
    each: Option<usize>,
    rows: Vec<RowRule>,
    messages: Vec<MessageRule>,
    mails: Vec<MailRule>,
    forward: bool,
}

impl Rules {
    /// Reads the rules that stand in the configuration at `at`. Their tables are declared by [`crate::rows::declare`],
    /// together with those of others.
    pub fn compile(
        rules: Vec<config::Rule>,
        at: &str,
        places: &mut Places,
        plan: &mut Plan,
    ) -> Result<Self, String> {
        let rules = rules.into_iter().enumerate();
        let rules = rules.map(|(index, rule)| Rule::compile(rule, places, plan, &format!("{at}/{index}")));
        rules.collect::<Result<_, _>>().map(Self)
    }

    /// These rules, and others after them.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The rows of all rules, to be declared.
    pub fn rows(&mut self) -> impl Iterator<Item = &mut RowRule> {
        self.0.iter_mut().flat_map(|rule| &mut rule.rows)
    }

    /// Does what the rules say of a record, or adds its faults.
    pub fn follow(&self, facts: &Facts<'_>, out: &mut Out<'_, '_>, faults: &mut Faults) {
        for rule in &self.0 {
            rule.follow(facts, out, faults);
        }
    }
}

/// Rules with all that they read: what a guest is made of that does nothing besides.
#[derive(Debug)]
pub struct Rulebook {
    rules: Rules,
    places: Places,
}

impl Rulebook {
    /// Puts rules and their places together, and declares their tables.
    pub fn new(mut rules: Rules, places: Places, plan: &mut Plan) -> Result<Self, String> {
        declare(rules.rows(), plan)?;
        Ok(Self { rules, places })
    }

    /// Does what the rules say of a record with this JSON; `documents` are those that were declared, in their order.
    pub fn follow(
        &self,
        record: &Record<'_>,
        text: &str,
        documents: &[Option<&str>],
        out: &mut Out<'_, '_>,
    ) -> Result<(), Failure> {
        let reading = self.places.read(text, documents)?;
        let mut faults = Faults::default();
        self.rules.follow(&Facts::of(record, &reading), out, &mut faults);
        faults.check()
    }
}

impl Rule {
    fn compile(rule: config::Rule, places: &mut Places, plan: &mut Plan, at: &str) -> Result<Self, String> {
        let each = match rule.each {
            Some(each) => {
                let config =
                    config::Each { each, entries: rule.entries, find: rule.find, distinct: rule.distinct };
                Some(places.enter(&config).map_err(|what| format!("{at}/{what}"))?)
            }
            None if rule.find.is_some() || rule.distinct.is_some() || rule.entries => {
                return Err(format!("{at}: `find`, `distinct` and `entries` belong to an `each`"));
            }
            None => None,
        };
        let when =
            rule.when.map(|when| Condition::compile(when, places, &format!("{at}/when"))).transpose()?;
        let rows = numbered(rule.rows, &format!("{at}/rows"), |row, at| RowRule::compile(row, places, at))?;
        let messages = numbered(rule.messages, &format!("{at}/messages"), |message, at| {
            MessageRule::compile(message, places, plan, &at)
        })?;
        let mails =
            numbered(rule.mails, &format!("{at}/mails"), |mail, at| MailRule::compile(mail, places, &at))?;
        places.leave();
        if rule.forward {
            plan.forwards();
        }
        if !mails.is_empty() {
            plan.mails();
        }
        if rows.is_empty() && messages.is_empty() && mails.is_empty() && !rule.forward {
            return Err(format!("{at}: a rule that does nothing: give it rows, messages, mails or forward"));
        }
        Ok(Self { when, each, rows, messages, mails, forward: rule.forward })
    }

    fn follow(&self, facts: &Facts<'_>, out: &mut Out<'_, '_>, faults: &mut Faults) {
        let Some(array) = self.each else {
            return self.follow_one(facts, out, faults);
        };
        let walked = each::walk(facts, array, faults, |facts, faults| self.follow_one(facts, out, faults));
        // Without items only a condition on the record itself can say that this is as it should be.
        if let Err(absent) = walked
            && self.when.as_ref().is_none_or(|when| when.may_hold(facts))
        {
            faults.add(absent.failure());
        }
    }

    fn follow_one(&self, facts: &Facts<'_>, out: &mut Out<'_, '_>, faults: &mut Faults) {
        if self.when.as_ref().is_some_and(|when| !when.holds(facts)) {
            return;
        }
        self.rows.iter().for_each(|row| row.write(facts, out, faults));
        self.messages.iter().for_each(|message| message.send(facts, out, faults));
        self.mails.iter().for_each(|mail| mail.send(facts, out, faults));
        if self.forward {
            out.forward();
        }
    }
}

/// Compiles each with the pointer of its place in the configuration.
fn numbered<C, R>(
    configs: Vec<C>,
    at: &str,
    mut compile: impl FnMut(C, String) -> Result<R, String>,
) -> Result<Vec<R>, String> {
    configs.into_iter().enumerate().map(|(index, config)| compile(config, format!("{at}/{index}"))).collect()
}
