//! The first of several places that has something.

use crate::condition::Literal;
use crate::leaf::Leaf;
use crate::place::{Facts, Field, Places};
use gristmill_sdk::Failure;
use serde_json::Value;
use std::cmp::Ordering;

/// Places in the order in which they are asked; mostly it is one.
#[derive(Debug)]
pub(crate) struct Choice {
    first: Field,
    others: Vec<Field>,
    /// What counts as nothing, besides null.
    except: Vec<Literal>,
}

impl Choice {
    pub fn one(pointer: &str, places: &mut Places) -> Result<Self, String> {
        Ok(Self { first: places.field(pointer)?, others: Vec::new(), except: Vec::new() })
    }

    pub fn of(pointers: &[String], except: Option<Vec<Value>>, places: &mut Places) -> Result<Self, String> {
        let mut fields =
            pointers.iter().map(|pointer| places.field(pointer)).collect::<Result<Vec<_>, _>>()?;
        if fields.is_empty() {
            return Err("first: name at least one place".to_owned());
        }
        let first = fields.remove(0);
        let literal = |(n, value)| Literal::of(value, &format!("except/{n}"));
        let except =
            except.unwrap_or_default().into_iter().enumerate().map(literal).collect::<Result<_, _>>()?;
        Ok(Self { first, others: fields, except })
    }

    /// The first that has something, and where it is.
    pub fn some<'r>(&self, facts: &Facts<'r>) -> Option<(Leaf<'r>, &Field)> {
        let nothing =
            |leaf: Leaf<'_>| self.except.iter().any(|literal| literal.compare(leaf) == Some(Ordering::Equal));
        let fields = std::iter::once(&self.first).chain(&self.others);
        fields
            .filter_map(|field| Some((facts.some(field)?, field)))
            .find(|(leaf, _)| self.except.is_empty() || !nothing(*leaf))
    }

    /// What must be there.
    pub fn needed<'r>(&self, facts: &Facts<'r>) -> Result<(Leaf<'r>, &Field), Failure> {
        self.some(facts).ok_or_else(|| self.missing(facts))
    }

    #[cold]
    fn missing(&self, facts: &Facts<'_>) -> Failure {
        match facts.needed(&self.first) {
            Err(failure) => failure,
            // It is there, and excepted.
            Ok(_) => {
                facts.fault(&self.first, Failure::reject("missing-field", "nothing that counts is here"))
            }
        }
    }
}
