//! Arrays whose items rules go through: which items, and the entry elsewhere that belongs to each.

use crate::config::{self, Missing};
use crate::leaf::{Leaf, Shape};
use crate::place::{Facts, Field, Item, Reading, missing};
use crate::scan::{Found, Wanted};
use gristmill_sdk::{Failure, Faults};
use std::borrow::Cow;
use std::collections::HashSet;

/// An array, and what is wanted of its items.
#[derive(Debug)]
pub(crate) struct Array {
    /// As the configuration has it: rules with the same words go through the same items.
    pub config: config::Each,
    pub of: Field,
    pub wanted: Wanted,
    pub find: Option<Find>,
    /// Of several items with the same value here only the first counts.
    pub distinct: Option<Field>,
}

/// The entry of another array that belongs to an item.
#[derive(Debug)]
pub(crate) struct Find {
    /// What pointers into the entry begin with.
    pub name: String,
    pub array: Field,
    pub wanted: Wanted,
    /// Where an entry has what the item's `equals` has.
    pub by: usize,
    pub equals: Field,
    pub missing: Missing,
}

/// The items of an array in one record; or that there is none, a fault for those that go through it.
pub(crate) type Items<'t> = Result<Vec<Item<'t>>, Absent<'t>>;

/// An array that is not there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Absent<'t> {
    of: &'t Field,
    instead: Instead,
}

/// What is there instead of an array.
#[derive(Debug, Clone, Copy)]
enum Instead {
    Nothing,
    Null,
    /// Something that is not what is needed.
    Other(&'static str),
}

impl Absent<'_> {
    #[cold]
    pub fn failure(self) -> Failure {
        let failure = match self.instead {
            Instead::Nothing => missing(false),
            Instead::Null => missing(true),
            Instead::Other(needed) => Failure::reject("wrong-type", needed),
        };
        self.of.fault(None, failure)
    }
}

impl Array {
    pub fn read<'t>(&'t self, reading: &Reading<'t>) -> Items<'t> {
        let elements = match leaf(reading, &self.of) {
            None => {
                let instead = if reading.has(&self.of) { Instead::Null } else { Instead::Nothing };
                return Err(Absent { of: &self.of, instead });
            }
            Some(leaf) if self.config.entries => match leaf.shape() {
                Shape::Object => self.wanted.find_in_entries(leaf.0),
                _ => None,
            },
            Some(leaf) => (leaf.shape() == Shape::Array).then(|| self.wanted.find_in_each(leaf.0)).flatten(),
        };
        let Some(elements) = elements else {
            let needed =
                if self.config.entries { "an object is needed here" } else { "an array is needed here" };
            return Err(Absent { of: &self.of, instead: Instead::Other(needed) });
        };
        let entries = self.find.as_ref().map(|find| find.entries(reading));
        let mut seen: HashSet<Cow<'t, str>> = HashSet::new();
        let mut items = Vec::with_capacity(elements.len());
        for (index, found) in elements.into_iter().enumerate() {
            let mut item = Item { index, array: &self.of, found, entry: None, fault: None };
            let same = self.distinct.as_ref().and_then(|field| scalar(reading, &item, field));
            if same.is_some_and(|value| !seen.insert(value)) {
                continue;
            }
            if let (Some(find), Some(entries)) = (&self.find, &entries) {
                find.choose(reading, &mut item, entries);
            }
            items.push(item);
        }
        Ok(items)
    }
}

impl Find {
    /// The entries with their values, read once for all items.
    fn entries<'t>(&self, reading: &Reading<'t>) -> Vec<(Cow<'t, str>, Found<'t>)> {
        let entries = leaf(reading, &self.array).and_then(|leaf| self.wanted.find_in_each(leaf.0));
        let entry = |found: Found<'t>| {
            let value = found.get(self.by).copied().flatten().map(Leaf)?.scalar().ok()?;
            Some((value, found))
        };
        entries.unwrap_or_default().into_iter().filter_map(entry).collect()
    }

    fn choose<'t>(&self, reading: &Reading<'t>, item: &mut Item<'t>, entries: &[(Cow<'t, str>, Found<'t>)]) {
        let value = scalar(reading, item, &self.equals);
        let entry = value.as_ref().and_then(|value| entries.iter().find(|(known, _)| known == value));
        item.entry = entry.map(|(_, found)| found.clone());
        if item.entry.is_none() {
            let reason = || format!("there is no `{}` for it", self.name);
            item.fault = self.missing.failure(reason).map(|failure| self.equals.fault(Some(item), failure));
        }
    }
}

fn leaf<'t>(reading: &Reading<'t>, field: &Field) -> Option<Leaf<'t>> {
    reading.some(field, None)
}

fn scalar<'t>(reading: &Reading<'t>, item: &Item<'t>, field: &Field) -> Option<Cow<'t, str>> {
    reading.some(field, Some(item))?.scalar().ok()
}

/// What all that goes through an array does with its items. That there is no array may be as it should be.
pub(crate) fn walk<'r>(
    facts: &Facts<'r>,
    array: usize,
    faults: &mut Faults,
    mut visit: impl FnMut(&Facts<'r>, &mut Faults),
) -> Result<(), Absent<'r>> {
    let items = match facts.reading.items(array) {
        None => return Ok(()),
        Some(Err(absent)) => return Err(*absent),
        Some(Ok(items)) => items,
    };
    for (nth, item) in items.iter().enumerate() {
        if faults.is_full() {
            break;
        }
        match &item.fault {
            Some(failure) => faults.add(failure.clone()),
            None => visit(&Facts { item: Some((nth, item)), ..*facts }, faults),
        }
    }
    Ok(())
}
