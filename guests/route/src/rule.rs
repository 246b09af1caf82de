//! Rules: read once from the configuration, followed for every record.

use crate::condition::Condition;
use crate::config;
use crate::leaf::Shape;
use crate::messages::{MailRule, MessageRule};
use crate::place::{Facts, Field, Item, Places};
use crate::rows::{self, RowRule};
use crate::scan::{self, Wanted};
use gristmill_sdk::{Failure, Faults, Out, Plan, Record};

/// All rules, and the places that they read.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    wanted: Wanted,
}

#[derive(Debug)]
struct Rule {
    when: Option<Condition>,
    each: Option<Each>,
    rows: Vec<RowRule>,
    messages: Vec<MessageRule>,
    mails: Vec<MailRule>,
    forward: bool,
}

/// The array that a rule goes through, and the places wanted of its items.
#[derive(Debug)]
struct Each {
    array: Field,
    wanted: Wanted,
}

impl Rules {
    pub fn compile(config: config::Config, plan: &mut Plan) -> Result<Self, String> {
        let mut places = Places::default();
        let mut rules = Vec::with_capacity(config.rule.len());
        for (index, rule) in config.rule.into_iter().enumerate() {
            rules.push(Rule::compile(rule, &mut places, plan, &format!("/rule/{index}"))?);
        }
        let mut rows: Vec<&mut RowRule> = rules.iter_mut().flat_map(|rule| &mut rule.rows).collect();
        rows::declare(&mut rows, plan)?;
        Ok(Self { rules, wanted: places.root })
    }

    pub fn follow(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
        let text = record.text()?;
        let root = self.wanted.find(text).map_err(|error| gristmill_sdk::json::invalid(&error))?;
        let facts = Facts { record: *record, root: &root, item: None };
        let mut faults = Faults::default();
        for rule in &self.rules {
            rule.follow(&facts, out, &mut faults);
        }
        faults.check()
    }
}

impl Rule {
    fn compile(rule: config::Rule, places: &mut Places, plan: &mut Plan, at: &str) -> Result<Self, String> {
        let array = rule.each.map(|each| places.field(&each).map_err(|what| format!("{at}/each: {what}")));
        let array = array.transpose()?;
        places.item = array.is_some().then(Wanted::default);
        let when =
            rule.when.map(|when| Condition::compile(when, places, &format!("{at}/when"))).transpose()?;
        let rows = numbered(rule.rows, &format!("{at}/rows"), |row, at| RowRule::compile(row, places, at))?;
        let messages = numbered(rule.messages, &format!("{at}/messages"), |message, at| {
            MessageRule::compile(message, places, plan, &at)
        })?;
        let mails =
            numbered(rule.mails, &format!("{at}/mails"), |mail, at| MailRule::compile(mail, places, &at))?;
        if rule.forward {
            plan.forwards();
        }
        if !mails.is_empty() {
            plan.mails();
        }
        if rows.is_empty() && messages.is_empty() && mails.is_empty() && !rule.forward {
            return Err(format!("{at}: a rule that does nothing: give it rows, messages, mails or forward"));
        }
        let each = array.zip(places.item.take()).map(|(array, wanted)| Each { array, wanted });
        Ok(Self { when, each, rows, messages, mails, forward: rule.forward })
    }

    fn follow(&self, facts: &Facts<'_>, out: &mut Out<'_, '_>, faults: &mut Faults) {
        match &self.each {
            None => self.follow_one(facts, out, faults),
            Some(each) => self.follow_each(each, facts, out, faults),
        }
    }

    fn follow_each(&self, each: &Each, facts: &Facts<'_>, out: &mut Out<'_, '_>, faults: &mut Faults) {
        let Some(leaf) = facts.some(&each.array) else {
            // Without items only a condition on the record itself can say that this is as it should be.
            if self.when.as_ref().is_none_or(|when| when.holds(facts)) {
                faults.keep(facts.needed(&each.array));
            }
            return;
        };
        let elements = match leaf.shape() {
            Shape::Array => scan::elements(leaf.0),
            _ => None,
        };
        let Some(elements) = elements else {
            faults
                .add(Failure::reject("wrong-type", "an array is needed here").at(facts.pointer(&each.array)));
            return;
        };
        for (index, element) in elements.into_iter().enumerate() {
            if faults.is_full() {
                return;
            }
            // The element is a part of a text that was read without an error.
            let Ok(found) = each.wanted.find(element) else { continue };
            let item = Item { index, array: &each.array, found };
            self.follow_one(
                &Facts { item: Some(&item), record: facts.record, root: facts.root },
                out,
                faults,
            );
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
