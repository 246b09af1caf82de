//! A record's JSON as the schema library looks at it: texts and names borrowed from the record, members in a list. Of
//! the time that `serde_json::Value` would take, most goes into copying names and hashing them, for objects of a dozen
//! members that are looked at once.

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use std::borrow::Cow;
use std::fmt;

/// Objects of up to so many members are looked through for double names pair by pair, larger ones sorted.
const PAIRWISE_MAX: usize = 16;

/// A JSON value.
#[derive(Debug)]
pub(crate) enum Tree<'t> {
    Null,
    Boolean(bool),
    Number(Number),
    Text(Cow<'t, str>),
    Array(Vec<Tree<'t>>),
    /// Names are unique; of double ones the last holds, as everywhere in JSON for Rust.
    Object(Vec<(Name<'t>, Tree<'t>)>),
}

type Name<'t> = Cow<'t, str>;

impl<'de: 't, 't> Deserialize<'de> for Tree<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Tree<'de>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree<'de>, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree<'de>, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Tree::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree<'de>, A::Error> {
        let mut object = Vec::with_capacity(8);
        while let Some((BorrowedName(name), value)) = members.next_entry()? {
            object.push((name, value));
        }
        drop_doubles(&mut object);
        Ok(Tree::Object(object))
    }
}

/// A name, borrowed unless it is written with escapes.
struct BorrowedName<'t>(Name<'t>);

impl<'de: 't, 't> Deserialize<'de> for BorrowedName<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = BorrowedName<'de>;
            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<BorrowedName<'de>, E> {
                Ok(BorrowedName(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<BorrowedName<'de>, E> {
                Ok(BorrowedName(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Reading)
    }
}

/// Keeps the last of the members of one name.
fn drop_doubles(members: &mut Vec<(Name<'_>, Tree<'_>)>) {
    let doubles: Vec<usize> = if members.len() <= PAIRWISE_MAX {
        let again = |(place, (name, _)): (usize, &(Name<'_>, Tree<'_>))| {
            members.iter().skip(place + 1).any(|(later, _)| later == name).then_some(place)
        };
        members.iter().enumerate().filter_map(again).collect()
    } else {
        let mut places: Vec<usize> = (0..members.len()).collect();
        let name = |place: usize| members.get(place).map(|(name, _)| &**name);
        // Stable: places of one name stay in order, and each but the last is a double.
        places.sort_by(|a, b| name(*a).cmp(&name(*b)));
        let mut doubles: Vec<usize> = places
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] if name(*a) == name(*b) => Some(*a),
                _ => None,
            })
            .collect();
        doubles.sort_unstable();
        doubles
    };
    if !doubles.is_empty() {
        let mut place = 0;
        members.retain(|_| {
            place += 1;
            doubles.binary_search(&(place - 1)).is_err()
        });
    }
}

impl Tree<'_> {
    fn value(&self) -> Value {
        match self {
            Tree::Null => Value::Null,
            Tree::Boolean(value) => Value::Bool(*value),
            Tree::Number(number) => Value::Number(number.clone()),
            Tree::Text(text) => Value::String(text.clone().into_owned()),
            Tree::Array(items) => Value::Array(items.iter().map(Tree::value).collect()),
            Tree::Object(members) => Value::Object(
                members.iter().map(|(name, value)| (name.clone().into_owned(), value.value())).collect(),
            ),
        }
    }
}

/// For the schema library: validators of [`Tree`]s.
pub(crate) struct Trees;

impl Json for Trees {
    type Node<'a> = &'a Tree<'a>;
    type PreparedKey = Box<str>;
    /// Looking a name up goes through the members: one pass for all names soon costs less.
    const KEYS_PER_LOOKUP: usize = 4;
    type StringBuffer = ();

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Self::Node<'_>) -> T) -> T {
        f(&Tree::Text(Cow::Borrowed(string)))
    }
}

/// The members of an object.
pub(crate) struct Members<'a>(&'a [(Name<'a>, Tree<'a>)]);

/// The items of an array.
pub(crate) struct Items<'a>(&'a [Tree<'a>]);

impl<'a> Node<'a, Trees> for &'a Tree<'a> {
    type Object = Members<'a>;
    type Array = Items<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Members<'a>> {
        if let Tree::Object(members) = self { Some(Members(members)) } else { None }
    }

    fn as_array(&self) -> Option<Items<'a>> {
        if let Tree::Array(items) = self { Some(Items(items)) } else { None }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        if let Tree::Text(text) = self { Some(Cow::Borrowed(text)) } else { None }
    }

    fn as_number(&self) -> Option<&'a Number> {
        if let Tree::Number(number) = self { Some(number) } else { None }
    }

    fn as_boolean(&self) -> Option<bool> {
        if let Tree::Boolean(value) = self { Some(*value) } else { None }
    }

    fn is_null(&self) -> bool {
        matches!(self, Tree::Null)
    }

    fn json_type(&self) -> JsonType {
        match self {
            Tree::Null => JsonType::Null,
            Tree::Boolean(_) => JsonType::Boolean,
            Tree::Number(_) => JsonType::Number,
            Tree::Text(_) => JsonType::String,
            Tree::Array(_) => JsonType::Array,
            Tree::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match (self, expected) {
            (Tree::Text(text), Value::String(expected)) => text == expected,
            (Tree::Text(_), _) | (_, Value::String(_)) => false,
            _ => cmp::equal(&self.value(), expected),
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(self.value())
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref::<Tree<'_>>(self) as usize))
    }
}

impl<'a> Object<'a, Trees> for Members<'a> {
    type Node = &'a Tree<'a>;
    type MemberName = &'a str;
    type MembersIter = std::iter::Map<
        std::slice::Iter<'a, (Name<'a>, Tree<'a>)>,
        fn(&'a (Name<'a>, Tree<'a>)) -> (&'a str, &'a Tree<'a>),
    >;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: &Box<str>) -> Option<&'a Tree<'a>> {
        self.0.iter().find(|(name, _)| **name == **key).map(|(_, value)| value)
    }

    fn members(&self) -> Self::MembersIter {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

impl<'a> Array<'a, Trees> for Items<'a> {
    type Node = &'a Tree<'a>;
    type ElementsIter = std::slice::Iter<'a, Tree<'a>>;

    fn len(&self) -> usize {
        self.0.len()
    }

    fn elements(&self) -> Self::ElementsIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Tree<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_tree_is_the_value() {
        for text in [
            "null",
            "-1.5e3",
            "18446744073709551615",
            r#""a\n\u00e9""#,
            r#"{"a": [1, {"b\t": true}, []], "c": {}, "": ""}"#,
        ] {
            assert_eq!(read(text).value(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn of_members_of_one_name_the_last_holds() {
        let few = r#"{"a": 1, "b": 2, "\u0061": 3}"#;
        let members: Vec<String> = (0..100).map(|n| format!(r#""n{}": {n}"#, n % 40)).collect();
        let many = format!("{{{}}}", members.join(","));
        for text in [few, &many] {
            assert_eq!(read(text).value(), serde_json::from_str::<Value>(text).unwrap());
        }
        let Tree::Object(members) = read(&many) else { panic!("an object") };
        assert_eq!(members.len(), 40);
    }

    #[test]
    fn texts_are_borrowed_unless_they_are_escaped() {
        let Tree::Array(items) = read(r#"["plain", "\u0041"]"#) else { panic!("an array") };
        let borrowed = |tree: &Tree<'_>| matches!(tree, Tree::Text(Cow::Borrowed(_)));
        assert_eq!(items.iter().map(borrowed).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn the_library_sees_what_it_would_see_in_a_value() {
        let schema = serde_json::json!({
            "type": "object", "required": ["id"], "minProperties": 1, "additionalProperties": false,
            "propertyNames": {"maxLength": 6},
            "properties": {
                "id": {"type": "integer", "enum": [1, 2.0, "x"]}, "tags": {"uniqueItems": true, "contains": {"const": "a"}},
                "of": {"$ref": "#"}, "length": {"minLength": 2}
            }
        });
        let trees = jsonschema::options_for::<Trees>().build(&schema).unwrap();
        let values = jsonschema::options().build(&schema).unwrap();
        for text in [
            r#"{"id": 1}"#,
            r#"{"id": 2}"#,
            r#"{"id": 3}"#,
            r#"{"id": 1.0}"#,
            r#"{"id": "x"}"#,
            "{}",
            "[]",
            "null",
            r#"{"id": 1, "tags": ["a", "b"]}"#,
            r#"{"id": 1, "tags": ["b"]}"#,
            r#"{"id": 1, "tags": ["a", "a"]}"#,
            r#"{"id": 1, "of": {"id": 2, "of": {"id": 9}}}"#,
            r#"{"id": 1, "length": "é"}"#,
            r#"{"id": 1, "length": "éé"}"#,
            r#"{"id": 1, "other": 1}"#,
            r#"{"id": 1, "far too long": 1}"#,
            r#"{"id": 3, "id": 1}"#,
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            let tree = read(text);
            assert_eq!(trees.is_valid(&tree), values.is_valid(&value), "{text}");
            let said = |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
            let of_tree: Vec<String> = trees.iter_errors(&tree).map(said).collect();
            assert_eq!(of_tree, values.iter_errors(&value).map(said).collect::<Vec<_>>(), "{text}");
        }
    }
}
