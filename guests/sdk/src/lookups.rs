//! Keys asked for a whole batch, and their answers.

use crate::plan::Lookup;
use std::cell::Cell;
use std::collections::HashMap;

/// The keys that a batch's records ask for.
///
/// Each key is asked once per batch, in one call per lookup.
pub struct Keys<'k> {
    pub(crate) asked: &'k mut [Asked],
    pub(crate) undeclared: &'k mut bool,
}

impl Keys<'_> {
    /// Asks for a key; `Record::looked_up` gives the answer.
    pub fn ask(&mut self, lookup: Lookup, key: impl AsRef<[u8]>) {
        match self.asked.get_mut(lookup.0) {
            Some(asked) => asked.add(key.as_ref()),
            None => *self.undeclared = true,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Asked {
    places: HashMap<Vec<u8>, usize>,
    keys: Vec<Vec<u8>>,
}

impl Asked {
    fn add(&mut self, key: &[u8]) {
        if !self.places.contains_key(key) {
            self.places.insert(key.to_vec(), self.keys.len());
            self.keys.push(key.to_vec());
        }
    }
}

/// How the answers are got: from the host, or from a test.
pub(crate) type Ask<'a> = &'a mut dyn FnMut(&str, &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, String>;

#[derive(Debug, Default)]
struct Answered {
    places: HashMap<Vec<u8>, usize>,
    values: Vec<Option<Vec<u8>>>,
}

/// The answers to all keys of a batch.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    lookups: Vec<Answered>,
    unasked: Cell<bool>,
}

impl Answers {
    pub fn fetch(asked: Vec<Asked>, names: &[String], ask: Ask<'_>) -> Result<Self, String> {
        let mut lookups = Vec::with_capacity(asked.len());
        for (asked, name) in asked.into_iter().zip(names) {
            let values = if asked.keys.is_empty() { Vec::new() } else { ask(name, &asked.keys)? };
            if values.len() != asked.keys.len() {
                return Err(format!(
                    "lookup `{name}` gave {} answers to {} keys",
                    values.len(),
                    asked.keys.len()
                ));
            }
            lookups.push(Answered { places: asked.places, values });
        }
        Ok(Self { lookups, unasked: Cell::new(false) })
    }

    pub fn get(&self, lookup: Lookup, key: &[u8]) -> Option<&[u8]> {
        let answered = self.lookups.get(lookup.0);
        let Some((answered, place)) = answered.and_then(|one| Some((one, *one.places.get(key)?))) else {
            // Taking this for "not there" would hide a mistake behind plausible effects.
            self.unasked.set(true);
            return None;
        };
        answered.values.get(place)?.as_deref()
    }

    pub fn mistake(&self) -> Option<String> {
        let text = "a key was used in `transform` that `lookups` had not asked for";
        self.unasked.get().then(|| text.to_owned())
    }
}
