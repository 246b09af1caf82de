//! Picks the wanted places out of a JSON text in one pass.
//!
//! No tree of values is built: what no pointer names is only skipped, and a wanted place is remembered as its
//! part of the text, so that numbers stay exact. Of two properties with one name the last counts, as in
//! every parser that builds maps.

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// What was found, by the index that `Wanted::place` gave out. Absent places are `None`.
pub(crate) type Found<'t> = Vec<Option<&'t str>>;

/// The places to look for, as a tree by the tokens of their pointers.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    root: Node,
    places: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// The index of this very place, if it is wanted.
    place: Option<usize>,
    /// The places below, by token; a number may be a property or an array's index.
    below: BTreeMap<String, Node>,
}

impl Wanted {
    /// Asks for a place by the tokens of its pointer; the same place has one index.
    pub fn place(&mut self, tokens: &[String]) -> usize {
        let mut node = &mut self.root;
        for token in tokens {
            node = node.below.entry(token.clone()).or_default();
        }
        *node.place.get_or_insert_with(|| {
            self.places += 1;
            self.places - 1
        })
    }

    /// Looks for all places in a text, which must be one JSON value.
    pub fn find<'t>(&self, text: &'t str) -> Result<Found<'t>, serde_json::Error> {
        let mut found = vec![None; self.places];
        let mut json = serde_json::Deserializer::from_str(text);
        Search { node: &self.root, found: &mut found }.deserialize(&mut json)?;
        json.end()?;
        Ok(found)
    }
}

impl Node {
    fn get(&self, token: &str) -> Option<&Node> {
        self.below.get(token)
    }

    fn at_index(&self, index: usize) -> Option<&Node> {
        self.below.iter().find(|(token, _)| is_index(token, index)).map(|(_, node)| node)
    }

    /// Forgets what an earlier property of the same name had below it.
    fn forget(&self, found: &mut [Option<&str>]) {
        if let Some(slot) = self.place.and_then(|place| found.get_mut(place)) {
            *slot = None;
        }
        for node in self.below.values() {
            node.forget(found);
        }
    }
}

/// RFC 6901: digits without leading zeros.
fn is_index(token: &str, index: usize) -> bool {
    let canonical = token == "0" || !token.starts_with('0');
    canonical && token.bytes().all(|byte| byte.is_ascii_digit()) && token.parse() == Ok(index)
}

struct Search<'n, 'f, 't> {
    node: &'n Node,
    found: &'f mut [Option<&'t str>],
}

impl<'t> DeserializeSeed<'t> for Search<'_, '_, 't> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'t>>(self, json: D) -> Result<(), D::Error> {
        let Some(place) = self.node.place else { return json.deserialize_any(self) };
        let raw = <&'t RawValue as serde::Deserialize>::deserialize(json)?.get();
        if let Some(slot) = self.found.get_mut(place) {
            *slot = Some(raw);
        }
        if self.node.below.is_empty() {
            return Ok(());
        }
        // A place and places below it are both wanted: this part is read twice.
        serde_json::Deserializer::from_str(raw).deserialize_any(self).map_err(D::Error::custom)
    }
}

impl<'t> Visitor<'t> for Search<'_, '_, 't> {
    type Value = ();

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Key(self.node))? {
            match child {
                Some(node) => {
                    node.forget(self.found);
                    map.next_value_seed(Search { node, found: &mut *self.found })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<(), A::Error> {
        for index in 0.. {
            let more = match self.node.at_index(index) {
                Some(node) => seq.next_element_seed(Search { node, found: &mut *self.found })?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    // Nothing can be below a scalar: the places there stay absent.
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Finds the node of a property's name without keeping the name.
struct Key<'n>(&'n Node);

impl<'de, 'n> DeserializeSeed<'de> for Key<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Key<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a property's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.get(name))
    }
}

impl Wanted {
    /// Looks for all places in each element of an array, in one pass; `None` if the text is no array.
    pub fn find_in_each<'t>(&self, text: &'t str) -> Option<Vec<Found<'t>>> {
        serde_json::Deserializer::from_str(text).deserialize_seq(Elements(self)).ok()
    }

    /// Looks for all places in each entry of an object, where `/0` is the name and `/1` the value, in one pass; `None` if the
    /// text is no object.
    pub fn find_in_entries<'t>(&self, text: &'t str) -> Option<Vec<Found<'t>>> {
        serde_json::Deserializer::from_str(text).deserialize_map(Elements(self)).ok()
    }
}

struct Elements<'w>(&'w Wanted);

impl<'t> Visitor<'t> for Elements<'_> {
    type Value = Vec<Found<'t>>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an array or an object")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        loop {
            let mut found = vec![None; self.0.places];
            match seq.next_element_seed(Search { node: &self.0.root, found: &mut found })? {
                Some(()) => all.push(found),
                None => return Ok(all),
            }
        }
    }

    /// Of two entries with one name the last counts, in the place of the first.
    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (name_node, value_node) = (self.0.root.get("0"), self.0.root.get("1"));
        let mut all: Vec<Found<'t>> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        while let Some(raw) = map.next_key::<&'t RawValue>()? {
            let name: String = serde_json::from_str(raw.get()).map_err(A::Error::custom)?;
            let mut found = vec![None; self.0.places];
            if let Some(slot) = name_node.and_then(|node| node.place).and_then(|place| found.get_mut(place)) {
                *slot = Some(raw.get());
            }
            match value_node {
                Some(node) => map.next_value_seed(Search { node, found: &mut found })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
            match seen.entry(name) {
                Entry::Occupied(entry) => {
                    if let Some(before) = all.get_mut(*entry.get()) {
                        *before = found;
                    }
                }
                Entry::Vacant(entry) => {
                    entry.insert(all.len());
                    all.push(found);
                }
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'t>(pointers: &[&[&str]], text: &'t str) -> Vec<Option<&'t str>> {
        let mut wanted = Wanted::default();
        for tokens in pointers {
            wanted.place(&tokens.iter().map(|token| (*token).to_owned()).collect::<Vec<_>>());
        }
        wanted.find(text).unwrap()
    }

    #[test]
    fn finds_places_as_they_are_written() {
        let text = r#"{"a": {"b": 1.50, "c": [10, {"d": "x\n"}]}, "e/f": null, "n": 1}"#;
        assert_eq!(
            find(
                &[
                    &["a", "b"],
                    &["a", "c", "1", "d"],
                    &["e/f"],
                    &["none"],
                    &["n", "below"],
                    &["a", "c", "01"]
                ],
                text
            ),
            [Some("1.50"), Some(r#""x\n""#), Some("null"), None, None, None]
        );
    }

    #[test]
    fn a_place_and_places_below_it() {
        let text = r#"{"a": {"b": 1}}"#;
        assert_eq!(find(&[&["a"], &["a", "b"], &[]], text), [Some(r#"{"b": 1}"#), Some("1"), Some(text)]);
    }

    #[test]
    fn the_last_of_two_properties_counts() {
        let pointers: [&[&str]; 2] = [&["a", "b"], &["a", "c"]];
        assert_eq!(find(&pointers, r#"{"a": {"b": 1}, "a": {"c": 2}}"#), [None, Some("2")]);
        assert_eq!(find(&pointers, r#"{"a": {"b": 1}, "a": 7}"#), [None, None]);
        assert_eq!(find(&pointers, r#"{"\u0061": {"b": 1, "b": 2}}"#), [Some("2"), None]);
    }

    #[test]
    fn refuses_what_is_not_one_value() {
        for text in ["", "{", "{} {}", "{\"a\": tru}", "[1,]"] {
            assert!(Wanted::default().find(text).is_err(), "{text}");
        }
    }

    #[test]
    fn looks_into_each_element() {
        let mut wanted = Wanted::default();
        wanted.place(&["a".to_owned()]);
        wanted.place(&[]);
        let found = wanted.find_in_each("[1, {\"a\": [2]}, {\"a\":1, \"a\":null}]").unwrap();
        assert_eq!(found[0], [None, Some("1")]);
        assert_eq!(found[1], [Some("[2]"), Some("{\"a\": [2]}")]);
        assert_eq!(found[2][0], Some("null"));
        assert_eq!(wanted.find_in_each("{}"), None);
        assert_eq!(wanted.find_in_each("[]"), Some(Vec::new()));
    }

    #[test]
    fn looks_into_each_entry_of_an_object() {
        let mut wanted = Wanted::default();
        let mut place =
            |tokens: &[&str]| wanted.place(&tokens.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!([place(&["0"]), place(&["1"]), place(&["1", "x"]), place(&[])], [0, 1, 2, 3]);
        let found = wanted.find_in_entries(r#"{"4": 268, "a\"b": {"x": 1}, "\u0034": 7}"#).unwrap();
        assert_eq!(
            found,
            [
                [Some(r#""\u0034""#), Some("7"), None, None],
                [Some(r#""a\"b""#), Some(r#"{"x": 1}"#), Some("1"), None],
            ]
        );
        assert_eq!((wanted.find_in_entries("{}"), wanted.find_in_each("{}")), (Some(Vec::new()), None));
    }
}
