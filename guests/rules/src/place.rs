//! Places that rules read, and what a record has there.
//!
//! A pointer starts at the record (`/a`), at the item that a rule is at (`@/a`), or at something with a name: a
//! lookup's answer, the entry that was found for an item, a value that was made (`name:/a`).

use crate::config::{self, Missing};
use crate::each::{self, Array, Find, Items};
use crate::leaf::{Leaf, Shape};
use crate::made::Made;
use crate::scan::{Found, Wanted};
use gristmill_sdk::{Failure, Faults, Record};

/// Where a pointer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// At the record's value.
    Root,
    /// At the item of the rule's `each`.
    Item,
    /// At the entry that `find` has found for the item.
    Entry,
    /// At a document that came from elsewhere.
    Named(usize),
    /// A value that was made, for the record or for the item.
    Made(usize),
}

/// A place that is wanted, resolved when the configuration was read.
#[derive(Debug, Clone)]
pub struct Field {
    scope: Scope,
    place: usize,
    /// Below the scope.
    pointer: String,
    /// As the configuration has it.
    text: String,
}

/// What a configuration wants of a record, of the items of its arrays, and of documents that come with it.
#[derive(Debug, Default)]
pub struct Places {
    root: Wanted,
    named: Vec<(String, Wanted)>,
    arrays: Vec<Array>,
    /// The array whose items `@` means now.
    at: Option<usize>,
    /// Values that are made: their names, and the array whose items have one each.
    made: Vec<(String, Option<usize>)>,
}

impl Places {
    /// Declares a document that comes with each record, by the name that pointers into it begin with; answers its
    /// place in what [`Self::read`] is given.
    pub fn document(&mut self, name: &str) -> Result<usize, String> {
        self.declare(name)?;
        self.named.push((name.to_owned(), Wanted::default()));
        Ok(self.named.len() - 1)
    }

    /// Declares a value that is made for each record, or for each item of the array that [`Self::enter`] has entered;
    /// answers its place in a [`Made`].
    pub fn value(&mut self, name: &str) -> Result<usize, String> {
        self.declare(name)?;
        self.made.push((name.to_owned(), self.at));
        Ok(self.made.len() - 1)
    }

    fn declare(&self, name: &str) -> Result<(), String> {
        let plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("`{name}` is no name: letters, digits, `_` and `-`"));
        }
        if self.is_name(name) {
            return Err(format!("`{name}` is the name of something else already"));
        }
        Ok(())
    }

    fn is_name(&self, name: &str) -> bool {
        let entry = |array: &Array| array.find.as_ref().is_some_and(|find| find.name == name);
        self.named.iter().any(|(known, _)| known == name)
            || self.made.iter().any(|(known, _)| known == name)
            || self.arrays.iter().any(entry)
    }

    /// Whether a text of the configuration is meant as a pointer.
    pub fn is_pointer(&self, text: &str) -> bool {
        let named =
            |(name, below): (&str, &str)| (below.is_empty() || below.starts_with('/')) && self.is_name(name);
        text.starts_with('/')
            || text == "@"
            || text.starts_with("@/")
            || text.split_once(':').is_some_and(named)
    }

    /// Whether pointers may begin with `@` now.
    pub fn has_item(&self) -> bool {
        self.at.is_some()
    }

    /// Asks for a place.
    pub fn field(&mut self, text: &str) -> Result<Field, String> {
        let field = |scope, place, pointer: &str| Field {
            scope,
            place,
            pointer: pointer.to_owned(),
            text: text.to_owned(),
        };
        let tokens = |pointer: &str| tokens(pointer).ok_or_else(|| format!("`{text}` is not a JSON pointer"));
        if let Some(below) = text.strip_prefix('@') {
            let Some(array) = self.at.and_then(|at| self.arrays.get_mut(at)) else {
                return Err(format!("`{text}` needs an item: there is no `each` around it"));
            };
            return Ok(field(Scope::Item, array.wanted.place(&tokens(below)?), below));
        }
        let Some((name, below)) = text.split_once(':').filter(|(name, _)| self.is_name(name)) else {
            return Ok(field(Scope::Root, self.root.place(&tokens(text)?), text));
        };
        if let Some((n, (_, wanted))) =
            self.named.iter_mut().enumerate().find(|(_, (known, _))| known == name)
        {
            return Ok(field(Scope::Named(n), wanted.place(&tokens(below)?), below));
        }
        if let Some(n) = self.made.iter().position(|(known, _)| known == name) {
            let of = self.made.get(n).and_then(|(_, of)| *of);
            if !below.is_empty() {
                return Err(format!("`{name}:` is one value: nothing is below it"));
            }
            if of.is_some() && of != self.at {
                return Err(format!("`{text}` belongs to each item: there is no such `each` around it"));
            }
            return Ok(field(Scope::Made(n), 0, below));
        }
        let here = self.at.and_then(|at| self.arrays.get_mut(at)).and_then(|array| array.find.as_mut());
        match here.filter(|find| find.name == name) {
            Some(find) => Ok(field(Scope::Entry, find.wanted.place(&tokens(below)?), below)),
            None => Err(format!("`{text}` is found for an item: there is no such `each` around it")),
        }
    }

    /// Enters an array: until [`Self::leave`], `@` means its items. What is wanted of one array is read once, however
    /// many rules go through it.
    pub fn enter(&mut self, each: &config::Each) -> Result<usize, String> {
        if self.at.is_some() {
            return Err("an `each` within an `each`".to_owned());
        }
        if let Some(known) = self.arrays.iter().position(|array| array.config == *each) {
            self.at = Some(known);
            return Ok(known);
        }
        let of = self.field(&each.each).map_err(|what| format!("each: {what}"))?;
        let number = self.arrays.len();
        self.arrays.push(Array {
            config: each.clone(),
            of,
            wanted: Wanted::default(),
            find: None,
            distinct: None,
        });
        self.at = Some(number);
        let distinct = each.distinct.as_ref().map(|text| self.field(text)).transpose();
        let distinct = distinct.map_err(|what| format!("distinct: {what}"))?;
        let find = each.find.as_ref().map(|find| self.find(find)).transpose();
        let find = find.map_err(|what| format!("find: {what}"))?;
        if let Some(array) = self.arrays.get_mut(number) {
            array.find = find;
            array.distinct = distinct;
        }
        Ok(number)
    }

    fn find(&mut self, find: &config::Find) -> Result<Find, String> {
        self.declare(&find.name).map_err(|what| format!("name: {what}"))?;
        let equals = self.field(&find.equals).map_err(|what| format!("equals: {what}"))?;
        let array = self.field(&find.within).map_err(|what| format!("in: {what}"))?;
        if array.scope == Scope::Item {
            return Err("in: an array of the record or of a document, not of the item".to_owned());
        }
        let mut wanted = Wanted::default();
        let by = tokens(&find.by).ok_or_else(|| format!("by: `{}` is not a JSON pointer", find.by))?;
        let by = wanted.place(&by);
        Ok(Find { name: find.name.clone(), array, wanted, by, equals, missing: find.missing })
    }

    /// Enters an array again, or none.
    pub fn reenter(&mut self, array: Option<usize>) {
        self.at = array;
    }

    /// Leaves the array that was entered.
    pub fn leave(&mut self) {
        self.reenter(None);
    }

    /// Reads all that is wanted: of the record's text, and of the documents that come with it, in the order in which
    /// they were declared.
    pub fn read<'t>(&'t self, text: &'t str, documents: &[Option<&'t str>]) -> Result<Reading<'t>, Failure> {
        let root = self.root.find(text).map_err(|error| gristmill_sdk::json::invalid(&error))?;
        let mut named = Vec::with_capacity(self.named.len());
        for ((name, wanted), text) in self.named.iter().zip(documents) {
            let found = text.map(|text| wanted.find(text)).transpose();
            named.push(found.map_err(|error| {
                Failure::reject("bad-answer", format!("what was looked up as `{name}` is not JSON: {error}"))
            })?);
        }
        let mut reading = Reading { root, named, arrays: Vec::with_capacity(self.arrays.len()) };
        for array in &self.arrays {
            let items = array.read(&reading);
            reading.arrays.push(items);
        }
        Ok(reading)
    }

    /// How many values are made for each record, and for each item of each array.
    pub fn made(&self) -> Made {
        Made::for_names(self.made.len())
    }
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

/// All that is wanted of one record.
#[derive(Debug)]
pub struct Reading<'t> {
    root: Found<'t>,
    /// `None`: the document is not there.
    named: Vec<Option<Found<'t>>>,
    arrays: Vec<Items<'t>>,
}

impl<'t> Reading<'t> {
    /// The items of an array.
    pub(crate) fn items(&self, array: usize) -> Option<&Items<'t>> {
        self.arrays.get(array)
    }

    /// What there is at a place, `null` included. What is made stands elsewhere.
    fn leaf(&self, field: &Field, item: Option<&Item<'t>>) -> Option<Leaf<'t>> {
        let found = match field.scope {
            Scope::Root => &self.root,
            Scope::Item => &item?.found,
            Scope::Entry => item?.entry.as_ref()?,
            Scope::Named(n) => self.named.get(n)?.as_ref()?,
            Scope::Made(_) => return None,
        };
        found.get(field.place).copied().flatten().map(Leaf)
    }

    /// Whether there is anything at a place of the record or a document, if only `null`.
    pub(crate) fn has(&self, field: &Field) -> bool {
        self.leaf(field, None).is_some()
    }

    /// What there is at a place, if it is not `null`.
    pub(crate) fn some(&self, field: &Field, item: Option<&Item<'t>>) -> Option<Leaf<'t>> {
        self.leaf(field, item).filter(|leaf| leaf.shape() != Shape::Null)
    }
}

impl Field {
    /// Whether it is a place of an item, or of what belongs to one.
    pub(crate) fn is_of_item(&self) -> bool {
        matches!(self.scope, Scope::Item | Scope::Entry)
    }

    /// Where it is in the record's value, if it is there.
    pub(crate) fn pointer(&self, item: Option<&Item<'_>>) -> Option<String> {
        match (self.scope, item) {
            (Scope::Root, _) => Some(self.pointer.clone()),
            (Scope::Item, Some(item)) => {
                let array = item.array.pointer(None).unwrap_or_default();
                Some(format!("{array}/{}{}", item.index, self.pointer))
            }
            _ => None,
        }
    }

    /// A failure, with this place: as a pointer if it is in the record's value, else in the reason.
    #[cold]
    pub(crate) fn fault(&self, item: Option<&Item<'_>>, failure: Failure) -> Failure {
        match self.pointer(item) {
            Some(pointer) => failure.at(pointer),
            None => failure.about(&self.text),
        }
    }
}

/// An item of an array.
#[derive(Debug)]
pub struct Item<'t> {
    /// Its place in the array, from 0.
    pub index: usize,
    /// Where its array is.
    pub(crate) array: &'t Field,
    pub(crate) found: Found<'t>,
    pub(crate) entry: Option<Found<'t>>,
    /// Why nothing can be made of it.
    pub(crate) fault: Option<Failure>,
}

/// The failure of what is missing, or null.
#[cold]
pub(crate) fn missing(null: bool) -> Failure {
    Failure::reject("missing-field", if null { "this field is null" } else { "this field is missing" })
}

/// What is known while a rule is followed.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'r> {
    /// The record.
    pub record: Record<'r>,
    /// What it has at the wanted places.
    pub reading: &'r Reading<'r>,
    /// The item that the rule is at, and which of its array's it is.
    pub item: Option<(usize, &'r Item<'r>)>,
    /// What was made of it.
    pub made: Option<&'r Made>,
}

impl<'r> Facts<'r> {
    /// What is known of a record before anything was made of it.
    pub fn of(record: &Record<'r>, reading: &'r Reading<'r>) -> Self {
        Facts { record: *record, reading, item: None, made: None }
    }

    /// What there is at a place, `null` included.
    pub fn leaf(&self, field: &Field) -> Option<Leaf<'r>> {
        match field.scope {
            Scope::Made(n) => self.made?.get(n, self.item.map(|(nth, _)| nth)).map(Leaf),
            _ => self.reading.leaf(field, self.item.map(|(_, item)| item)),
        }
    }

    /// What there is at a place, if it is not `null`.
    pub fn some(&self, field: &Field) -> Option<Leaf<'r>> {
        self.leaf(field).filter(|leaf| leaf.shape() != Shape::Null)
    }

    /// What must be there at a place.
    pub fn needed(&self, field: &Field) -> Result<Leaf<'r>, Failure> {
        self.some(field).ok_or_else(|| self.missing(field))
    }

    #[cold]
    fn missing(&self, field: &Field) -> Failure {
        self.fault(field, missing(self.leaf(field).is_some()))
    }

    /// Visits the record, or each item of an array; gives the fault that there is no array, which may be as it should be.
    pub fn each(
        &self,
        array: Option<usize>,
        faults: &mut Faults,
        mut visit: impl FnMut(&Facts<'r>, &mut Faults),
    ) -> Option<Failure> {
        let Some(array) = array else {
            visit(self, faults);
            return None;
        };
        each::walk(self, array, faults, visit).err().map(each::Absent::failure)
    }

    /// A failure, with the field's place: as a pointer if it is in the record's value, else in the reason.
    #[cold]
    pub fn fault(&self, field: &Field, failure: Failure) -> Failure {
        field.fault(self.item.map(|(_, item)| item), failure)
    }

    /// Where a field is in the record's value, if it is there.
    pub fn pointer(&self, field: &Field) -> Option<String> {
        field.pointer(self.item.map(|(_, item)| item))
    }
}

impl Missing {
    /// The failure of what was not found, unless the record goes on without it.
    pub fn failure(self, reason: impl FnOnce() -> String) -> Option<Failure> {
        match self {
            Self::Park => Some(Failure::retry("not-found", reason())),
            Self::Reject => Some(Failure::reject("not-found", reason())),
            Self::Keep => None,
        }
    }
}
