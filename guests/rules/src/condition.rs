//! When a rule applies.

use crate::config;
use crate::leaf::{Leaf, Shape};
use crate::place::{Facts, Field, Places};
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A condition, its places resolved.
#[derive(Debug)]
#[allow(missing_docs, private_interfaces, reason = "made by `compile` and asked by `holds` only")]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Test(Field, Test),
}

#[derive(Debug)]
pub(crate) enum Test {
    Exists,
    OneOf(Vec<Literal>),
    Prefix(String),
    /// The orderings that satisfy it.
    Compare(Literal, &'static [Ordering]),
}

/// A scalar of the configuration.
#[derive(Debug)]
pub(crate) enum Literal {
    Text(String),
    Number(String),
    Boolean(bool),
}

impl Condition {
    /// Reads a condition.
    pub fn compile(config: config::Condition, places: &mut Places, at: &str) -> Result<Self, String> {
        let mut all = Vec::new();
        if let Some(conditions) = config.all {
            all.extend(several(conditions, places, &format!("{at}/all"))?);
        }
        if let Some(conditions) = config.any {
            all.push(Self::Any(several(conditions, places, &format!("{at}/any"))?));
        }
        if let Some(condition) = config.not {
            all.push(Self::Not(Box::new(Self::compile(*condition, places, &format!("{at}/not"))?)));
        }
        let tests = Tests {
            equals: config.equals,
            not_equals: config.not_equals,
            one_of: config.one_of,
            exists: config.exists,
            prefix: config.prefix,
            compared: [
                ("greater", config.greater, &[Ordering::Greater]),
                ("less", config.less, &[Ordering::Less]),
                ("at_least", config.at_least, &[Ordering::Greater, Ordering::Equal]),
                ("at_most", config.at_most, &[Ordering::Less, Ordering::Equal]),
            ],
        };
        match config.pointer {
            Some(pointer) => {
                let field = places.field(&pointer).map_err(|what| format!("{at}/pointer: {what}"))?;
                tests.compile(&field, &mut all, at)?;
            }
            None if tests.any() => return Err(format!("{at}: what should be tested? `pointer` is missing")),
            None => {}
        }
        if all.is_empty() {
            return Err(format!("{at}: a condition needs `all`, `any`, `not`, or a `pointer` and a test"));
        }
        Ok(Self::All(all))
    }

    /// Whether it holds.
    pub fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(facts)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(facts)),
            Self::Not(condition) => !condition.holds(facts),
            Self::Test(field, test) => facts.some(field).is_some_and(|leaf| test.holds(leaf)),
        }
    }

    /// Whether it may hold for items, as far as that can be told without them: where it cannot, the record need not have any.
    pub fn may_hold(&self, facts: &Facts<'_>) -> bool {
        self.without_items(facts) != Some(false)
    }

    /// Whether it holds whatever items there are; `None`: that depends on them.
    fn without_items(&self, facts: &Facts<'_>) -> Option<bool> {
        let of_several = |conditions: &[Condition], decides: bool| {
            let all: Vec<Option<bool>> =
                conditions.iter().map(|condition| condition.without_items(facts)).collect();
            match all.contains(&Some(decides)) {
                true => Some(decides),
                false if all.contains(&None) => None,
                false => Some(!decides),
            }
        };
        match self {
            Self::All(conditions) => of_several(conditions, false),
            Self::Any(conditions) => of_several(conditions, true),
            Self::Not(condition) => condition.without_items(facts).map(|holds| !holds),
            Self::Test(field, _) if field.is_of_item() => None,
            Self::Test(..) => Some(self.holds(facts)),
        }
    }

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

fn several(
    conditions: Vec<config::Condition>,
    places: &mut Places,
    at: &str,
) -> Result<Vec<Condition>, String> {
    let compile = |(index, condition)| Condition::compile(condition, places, &format!("{at}/{index}"));
    conditions.into_iter().enumerate().map(compile).collect()
}

type Compared = (&'static str, Option<Value>, &'static [Ordering]);

struct Tests {
    equals: Option<Value>,
    not_equals: Option<Value>,
    one_of: Option<Vec<Value>>,
    exists: Option<bool>,
    prefix: Option<String>,
    compared: [Compared; 4],
}

impl Tests {
    fn any(&self) -> bool {
        self.equals.is_some()
            || self.not_equals.is_some()
            || self.one_of.is_some()
            || self.exists.is_some()
            || self.prefix.is_some()
            || self.compared.iter().any(|(_, value, _)| value.is_some())
    }

    fn compile(self, field: &Field, all: &mut Vec<Condition>, at: &str) -> Result<(), String> {
        let before = all.len();
        let test = |test| Condition::Test(field.clone(), test);
        if let Some(value) = self.equals {
            all.push(test(Test::OneOf(vec![Literal::of(value, &format!("{at}/equals"))?])));
        }
        if let Some(value) = self.not_equals {
            all.push(test(Test::OneOf(vec![Literal::of(value, &format!("{at}/not_equals"))?])).not());
        }
        if let Some(values) = self.one_of {
            let one = |(index, value)| Literal::of(value, &format!("{at}/one_of/{index}"));
            all.push(test(Test::OneOf(values.into_iter().enumerate().map(one).collect::<Result<_, _>>()?)));
        }
        if let Some(exists) = self.exists {
            let test = test(Test::Exists);
            all.push(if exists { test } else { test.not() });
        }
        if let Some(prefix) = self.prefix {
            all.push(test(Test::Prefix(prefix)));
        }
        for (name, value, orderings) in self.compared {
            if let Some(value) = value {
                all.push(test(Test::Compare(Literal::of(value, &format!("{at}/{name}"))?, orderings)));
            }
        }
        if all.len() == before {
            return Err(format!(
                "{at}: `pointer` without a test: equals, one_of, exists, prefix, greater, …"
            ));
        }
        Ok(())
    }
}

impl Literal {
    pub(crate) fn of(value: Value, at: &str) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Number(number) => Ok(Self::Number(number.to_string())),
            Value::Bool(boolean) => Ok(Self::Boolean(boolean)),
            _ => Err(format!("{at}: only a text, a number or a boolean can be compared")),
        }
    }

    /// How a place compares to this; `None` if they are not of one kind.
    pub(crate) fn compare(&self, leaf: Leaf<'_>) -> Option<Ordering> {
        match (self, leaf.shape()) {
            (Self::Text(text), Shape::Text) => Some(leaf.text()?.as_ref().cmp(text)),
            (Self::Number(number), Shape::Number) => compare_numbers(leaf.0, number),
            (Self::Boolean(boolean), Shape::Boolean) => Some((leaf.0 == "true").cmp(boolean)),
            _ => None,
        }
    }
}

/// Integers exactly, everything else as floating point.
fn compare_numbers(left: &str, right: &str) -> Option<Ordering> {
    match (left.parse::<i128>(), right.parse::<i128>()) {
        (Ok(left), Ok(right)) => Some(left.cmp(&right)),
        _ => left.parse::<f64>().ok()?.partial_cmp(&right.parse::<f64>().ok()?),
    }
}

impl Test {
    fn holds(&self, leaf: Leaf<'_>) -> bool {
        match self {
            Self::Exists => true,
            Self::OneOf(literals) => {
                literals.iter().any(|literal| literal.compare(leaf) == Some(Ordering::Equal))
            }
            Self::Prefix(prefix) => leaf.text().is_some_and(|text: Cow<'_, str>| text.starts_with(prefix)),
            Self::Compare(literal, orderings) => {
                literal.compare(leaf).is_some_and(|ordering| orderings.contains(&ordering))
            }
        }
    }
}
