//! State by key: rows of one of the pipeline's own tables, read through a lookup and written back.
//!
//! The host answers with what stands in the table when the batch begins; what records of the batch have written since is
//! remembered here, so that each record sees what those before it did. A record that is refused has written nothing.

use crate::lookups::{Answers, Keys};
use crate::plan::{Lookup, Plan};
use crate::rows::Row;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::collections::HashMap;
use std::fmt::Display;
use std::marker::PhantomData;

/// A table whose rows are read and written by their keys: made by [`Plan::keyed`].
///
/// The row's type is what is written and, by serde, what the host's answer (the row as JSON) is read into. The table's mode
/// is `last-wins`, or `once` where a row is written once and for all.
///
/// ```
/// use gristmill_sdk::{Config, Failure, Keyed, Keys, Out, Plan, Record, Row, Transform};
///
/// #[derive(Clone, Row, serde::Deserialize)]
/// #[row(table = "tills")]
/// struct Till {
///     shop: String,
///     cents: i64,
/// }
///
/// /// Adds up what is paid in each shop, and lets nobody take out more than there is.
/// struct Tills(Keyed<Till>);
///
/// fn read<'r>(record: &Record<'r>) -> Result<(&'r str, i64), Failure> {
///     let read = record.text()?.split_once(' ').and_then(|(shop, cents)| Some((shop, cents.parse().ok()?)));
///     read.ok_or_else(|| Failure::reject("not-paid", "a shop and cents"))
/// }
///
/// impl Transform for Tills {
///     const ABOUT: &'static str = "Adds up what is paid in each shop.";
///     type Config = Config;
///
///     fn configure(_: Config, plan: &mut Plan) -> Result<Self, String> {
///         Ok(Self(plan.keyed("tills")))
///     }
///
///     fn lookups(&self, record: &Record<'_>, keys: &mut Keys<'_>) -> Result<(), Failure> {
///         let (shop, _) = read(record)?;
///         keys.ask_row(&self.0, &[&shop]);
///         Ok(())
///     }
///
///     fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
///         let (shop, paid) = read(record)?;
///         let before = out.get(&self.0, &[&shop]).map_or(0, |till| till.cents);
///         if before + paid < 0 {
///             return Err(Failure::retry("not-enough", format!("there are {before} cents")));
///         }
///         out.put(&self.0, &[&shop], Till { shop: shop.to_owned(), cents: before + paid });
///         Ok(())
///     }
/// }
///
/// gristmill_sdk::export!(Tills, lookups);
///
/// # fn main() -> Result<(), String> {
/// use gristmill_sdk::testing::{Answers, TestRecord, run_with};
/// let there = Answers::default().with("tills", "rome", r#"{"shop": "rome", "cents": 10}"#);
/// let records = ["rome -15", "rome 5", "rome -15"].map(TestRecord::text);
/// let caused = run_with::<Tills>("{}", &records, &there)?;
/// assert_eq!(caused[0].failures[0].code, "not-enough");
/// assert_eq!(caused[1].rows[0].columns["cents"], 15);
/// assert_eq!(caused[2].rows[0].columns["cents"], 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Keyed<R> {
    pub(crate) lookup: Lookup,
    row: PhantomData<fn() -> R>,
}

impl<R> Clone for Keyed<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Keyed<R> {}

impl Plan {
    /// Declares a row type's table as state, read through a lookup of this name (`[[lookup]] table = …` in the spec).
    /// Export the transform with `export!(Type, lookups)` then.
    pub fn keyed<R: Row>(&mut self, lookup: impl Into<String>) -> Keyed<R> {
        self.table::<R>();
        Keyed { lookup: self.lookup(lookup), row: PhantomData }
    }
}

impl Keys<'_> {
    /// Asks for the row with this key, a value for each of the key's columns; [`crate::Out::get`] gives it.
    pub fn ask_row<R>(&mut self, state: &Keyed<R>, key: &[&dyn Display]) {
        self.ask(state.lookup, key_of(key));
    }
}

/// A key as the host reads it: one value's text, or several as a JSON array of texts.
pub(crate) fn key_of(key: &[&dyn Display]) -> String {
    match key {
        [one] => one.to_string(),
        several => {
            let texts: Vec<String> = several.iter().map(ToString::to_string).collect();
            serde_json::to_string(&texts).unwrap_or_default()
        }
    }
}

/// A lookup and a key.
type Place = (usize, String);

/// What the batch's records have written so far.
#[derive(Debug, Default)]
pub(crate) struct Written {
    rows: HashMap<Place, Box<dyn Any>>,
    /// By the record that is at work: it is not known yet whether it will be refused.
    now: Vec<(Place, Box<dyn Any>)>,
}

impl Written {
    /// The row with this key as it stands now: written by this record, by one before it, or before the batch. The error is
    /// a mistake of the transform's author.
    pub fn get<R: Row + Clone + DeserializeOwned + 'static>(
        &self,
        state: &Keyed<R>,
        key: &[&dyn Display],
        answers: Option<&Answers>,
    ) -> Result<Option<R>, String> {
        let place = (state.lookup.0, key_of(key));
        let now = self.now.iter().rev().find(|(written, _)| *written == place).map(|(_, row)| row);
        if let Some(row) = now.or_else(|| self.rows.get(&place)) {
            return Ok(row.downcast_ref::<R>().cloned());
        }
        let answer = answers.and_then(|answers| answers.get(state.lookup, place.1.as_bytes()));
        let read = |row| serde_json::from_slice(row).map_err(|e| format!("a row of `{}`: {e}", R::TABLE));
        answer.map(read).transpose()
    }

    pub fn put<R: Row + 'static>(&mut self, state: &Keyed<R>, key: &[&dyn Display], row: R) {
        self.now.push(((state.lookup.0, key_of(key)), Box::new(row)));
    }

    /// Ends a record: what it has written stays, unless it is refused.
    pub fn end(&mut self, refused: bool) {
        if refused {
            self.now.clear();
        }
        self.rows.extend(self.now.drain(..));
    }
}
