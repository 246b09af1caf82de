//! A configured transform: what stands between the contract's three functions and per-record code.

#[doc(hidden)]
pub use crate::bindings::exports::gristmill::transform::transformer as contract;
use crate::bindings::gristmill::transform::types::{Batch, Effects};
use crate::failure::Failure;
use crate::lookups::{Answers, Ask, Asked, Keys};
use crate::out::{Gathered, Out};
use crate::plan::Plan;
use crate::record::records;
use crate::rows::TableSize;
use crate::state::Written;
use crate::{Transform, json};

/// A transform with its configuration.
#[doc(hidden)]
pub struct Instance<T> {
    transform: T,
    plan: Plan,
    sizes: Vec<TableSize>,
}

/// What `describe` answers.
#[doc(hidden)]
pub fn describe<T: Transform>() -> contract::Description {
    contract::Description { about: T::ABOUT.to_owned(), config_schema: T::config_schema().map(str::to_owned) }
}

impl<T: Transform> Instance<T> {
    /// Reads the configuration and asks the transform for its plan.
    pub fn configure(config: &str) -> Result<Self, String> {
        let config = json::from_str_with_path::<T::Config>(config)
            .map_err(|(pointer, reason)| format!("{pointer}: {reason}"))?;
        let mut plan = Plan::default();
        let transform = T::configure(config, &mut plan)?;
        match plan.contradiction {
            Some(what) => Err(what),
            None => Ok(Self { transform, plan, sizes: Vec::new() }),
        }
    }

    /// The plan as the contract has it.
    pub fn plan(&self) -> contract::Plan {
        self.plan.to_contract()
    }

    /// Works through a batch, record by record.
    pub fn apply(&mut self, batch: &Batch, ask: Ask<'_>) -> Result<Effects, String> {
        let (answers, mut refused) = self.look_up(batch, ask)?;
        let mut gathered = Gathered::new(&self.plan, &self.sizes);
        let mut written = Written::default();
        for record in records(batch, answers.as_ref()) {
            let record = record?;
            let input = record.index;
            let result = match refused.next_if(|(index, _)| *index == input) {
                Some((_, failure)) => Err(failure),
                None => {
                    let (gathered, written, answers) = (&mut gathered, &mut written, answers.as_ref());
                    self.transform.transform(&record, &mut Out { gathered, batch, input, written, answers })
                }
            };
            written.end(result.is_err());
            if let Err(failure) = result {
                gathered.refuse(input, failure);
            }
        }
        let mistake = gathered.mistake().or_else(|| answers.as_ref().and_then(Answers::mistake));
        if let Some(mistake) = mistake {
            return Err(mistake);
        }
        gathered.make_digests();
        self.sizes = gathered.sizes();
        Ok(gathered.into_effects())
    }

    fn look_up(&self, batch: &Batch, ask: Ask<'_>) -> Result<(Option<Answers>, Refused), String> {
        let names = &self.plan.lookups;
        if names.is_empty() {
            return Ok((None, Vec::new().into_iter().peekable()));
        }
        let mut asked: Vec<Asked> = names.iter().map(|_| Asked::default()).collect();
        let mut refused = Vec::new();
        let mut undeclared = false;
        for record in records(batch, None) {
            let record = record?;
            let mut keys = Keys { asked: &mut asked, undeclared: &mut undeclared };
            if let Err(failure) = self.transform.lookups(&record, &mut keys) {
                refused.push((record.index, failure));
            }
        }
        if undeclared {
            return Err("the transform's plan does not declare a lookup that it asks".to_owned());
        }
        Ok((Some(Answers::fetch(asked, names, ask)?), refused.into_iter().peekable()))
    }
}

/// The records that `lookups` refused, in order.
type Refused = std::iter::Peekable<std::vec::IntoIter<(u32, Failure)>>;

/// The host's answers.
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub fn ask_host(lookup: &str, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, String> {
    Ok(crate::bindings::gristmill::transform::lookup::get_many(lookup, keys))
}

/// Stands in for the host where the component was made without lookups.
#[doc(hidden)]
pub fn no_lookups(lookup: &str, _: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, String> {
    Err(format!("lookup `{lookup}`: export the transform with `export!(Type, lookups)`"))
}
