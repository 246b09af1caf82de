//! Why a record is refused.

use crate::bindings::gristmill::transform::types::{self, Verdict};
use std::borrow::Cow;

/// One fault of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    retry: bool,
    code: Cow<'static, str>,
    pointer: Option<String>,
    reason: String,
}

/// Why a record is refused: one fault, or several. None of the record's effects happens.
///
/// ```
/// use gristmill_sdk::Failure;
/// let failure = Failure::reject("bad-date", "2026-02-30 is not a day").at("/order_date");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    // Never empty: the constructors start with one fault, and `Faults` gives none for none.
    faults: Vec<Fault>,
}

impl Failure {
    /// The record can never succeed: it becomes a dead letter. The code is short and stable, for counting
    /// (letters, digits and hyphens, 64 at most); the reason is for a person.
    #[cold]
    pub fn reject(code: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self::one(false, code.into(), reason.into())
    }

    /// Not yet: the record is parked and comes back in a later batch.
    #[cold]
    pub fn retry(code: impl Into<Cow<'static, str>>, reason: impl Into<String>) -> Self {
        Self::one(true, code.into(), reason.into())
    }

    fn one(retry: bool, code: Cow<'static, str>, reason: String) -> Self {
        Self { faults: vec![Fault { retry, code, pointer: None, reason }] }
    }

    /// Names the faulty place in the record's value by a JSON pointer (RFC 6901).
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        if let Some(fault) = self.faults.last_mut() {
            fault.pointer = Some(pointer.into());
        }
        self
    }

    /// Begins the reason with what it is about: for a place that is not in the record's value.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        if let Some(fault) = self.faults.last_mut() {
            fault.reason = format!("{what}: {}", fault.reason);
        }
        self
    }

    /// This failure and the other's faults.
    #[must_use]
    pub fn and(mut self, other: Failure) -> Self {
        self.faults.extend(other.faults);
        self
    }

    pub(crate) fn into_contract(self, input: u32) -> impl Iterator<Item = types::Failure> {
        self.faults.into_iter().map(move |fault| types::Failure {
            input,
            verdict: if fault.retry { Verdict::Retry } else { Verdict::Reject },
            code: fault.code.into_owned(),
            pointer: fault.pointer,
            reason: fault.reason,
        })
    }
}

/// Collects the faults of one record, so that its author hears of all of them at once: each once, and no more
/// than [`Faults::MOST`], for a record could hold millions.
///
/// ```
/// use gristmill_sdk::{Failure, Faults};
/// fn check(quantity: i64, name: &str) -> Result<(), Failure> {
///     let mut faults = Faults::default();
///     if quantity < 1 {
///         faults.add(Failure::reject("too-few", "the least is 1").at("/quantity"));
///     }
///     if name.is_empty() {
///         faults.add(Failure::reject("no-name", "a name is needed").at("/name"));
///     }
///     faults.check()
/// }
/// assert!(check(0, "").is_err());
/// assert!(check(1, "Ada").is_ok());
/// ```
#[derive(Debug, Default)]
pub struct Faults {
    faults: Vec<Fault>,
}

impl Faults {
    /// More faults than these help nobody.
    pub const MOST: usize = 50;

    /// Adds a failure's faults.
    #[cold]
    pub fn add(&mut self, failure: Failure) {
        for fault in failure.faults {
            if !self.is_full() && !self.faults.contains(&fault) {
                self.faults.push(fault);
            }
        }
    }

    /// Whether no more faults are kept: the rest of the record need not be looked at.
    pub fn is_full(&self) -> bool {
        self.faults.len() >= Self::MOST
    }

    /// Keeps the value of a success, adds the faults of a failure.
    pub fn keep<T>(&mut self, result: Result<T, Failure>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(failure) => {
                self.add(failure);
                None
            }
        }
    }

    /// Whether there is no fault.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// An error if there is any fault.
    pub fn check(self) -> Result<(), Failure> {
        if self.faults.is_empty() { Ok(()) } else { Err(Failure { faults: self.faults }) }
    }
}
