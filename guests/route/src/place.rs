//! Places that a rule reads, and what a record has there.

use crate::leaf::{Leaf, Shape};
use crate::scan::{Found, Wanted};
use gristmill_sdk::{Failure, Record};

/// Where a pointer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// `/…`: at the record's value.
    Root,
    /// `@…`: at the item of the rule's `each`.
    Item,
}

/// A place that is wanted, resolved when the rule was read.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    scope: Scope,
    place: usize,
    /// Below the scope.
    pointer: String,
}

/// What a configuration wants of the record and, in a rule with `each`, of its items.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub root: Wanted,
    /// `None` outside of a rule with `each`.
    pub item: Option<Wanted>,
}

impl Places {
    pub fn field(&mut self, text: &str) -> Result<Field, String> {
        let (scope, pointer, wanted) = match text.strip_prefix('@') {
            None => (Scope::Root, text, &mut self.root),
            Some(below) => match &mut self.item {
                Some(item) => (Scope::Item, below, item),
                None => return Err(format!("`{text}` needs an item: the rule has no `each`")),
            },
        };
        let place = wanted.place(&tokens(pointer).ok_or_else(|| format!("`{text}` is not a JSON pointer"))?);
        Ok(Field { scope, place, pointer: pointer.to_owned() })
    }
}

/// Whether a text of the configuration is meant as a pointer.
pub(crate) fn is_pointer(text: &str) -> bool {
    text.starts_with('/') || text == "@" || text.starts_with("@/")
}

fn tokens(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    pointer.strip_prefix('/')?.split('/').map(unescape).collect()
}

fn unescape(token: &str) -> Option<String> {
    let bad = token.replace("~0", "").replace("~1", "").contains('~');
    (!bad).then(|| token.replace("~1", "/").replace("~0", "~"))
}

/// The item that a rule with `each` is at.
#[derive(Debug)]
pub(crate) struct Item<'t> {
    pub index: usize,
    pub array: &'t Field,
    pub found: Found<'t>,
}

/// What is known while a rule is followed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'t> {
    pub record: Record<'t>,
    pub root: &'t Found<'t>,
    pub item: Option<&'t Item<'t>>,
}

impl<'t> Facts<'t> {
    /// What the record has at a place, `null` included.
    pub fn leaf(&self, field: &Field) -> Option<Leaf<'t>> {
        let found = match field.scope {
            Scope::Root => self.root,
            Scope::Item => &self.item?.found,
        };
        found.get(field.place).copied().flatten().map(Leaf)
    }

    /// What the record has at a place, if it is not `null`.
    pub fn some(&self, field: &Field) -> Option<Leaf<'t>> {
        self.leaf(field).filter(|leaf| leaf.shape() != Shape::Null)
    }

    /// What the record must have at a place.
    pub fn needed(&self, field: &Field) -> Result<Leaf<'t>, Failure> {
        self.some(field).ok_or_else(|| self.missing(field))
    }

    #[cold]
    fn missing(&self, field: &Field) -> Failure {
        let null = self.leaf(field).is_some();
        let reason = if null { "this field is null" } else { "this field is missing" };
        Failure::reject("missing-field", reason).at(self.pointer(field))
    }

    /// Where a field is in the record's value.
    pub fn pointer(&self, field: &Field) -> String {
        match (field.scope, self.item) {
            (Scope::Item, Some(item)) => format!("{}/{}{}", item.array.pointer, item.index, field.pointer),
            _ => field.pointer.clone(),
        }
    }
}
