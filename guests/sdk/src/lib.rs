#![doc = include_str!("../README.md")]
//!
//! The pieces, in the order in which a batch meets them: [`Record`] is read, [`Out`] takes effects, [`Failure`]
//! refuses a record. Behind them, columns and their ends; see `wit/` for the contract itself.

pub mod base64;
pub mod bindings;
mod cells;
mod failure;
pub mod hashing;
#[doc(hidden)]
pub mod instance;
pub mod json;
pub mod log;
mod lookups;
mod messages;
mod out;
mod packed;
mod plan;
mod record;
mod rows;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time;

pub use cells::{Decimal, Json, Uuid};
pub use failure::{Failure, Fault, Faults};
pub use gristmill_sdk_macros::Row;
pub use lookups::Keys;
pub use messages::Message;
pub use out::{Mail, Out};
pub use plan::{Column, Kind, Lookup, Output, Plan, Table};
pub use record::Record;
pub use rows::{Cell, Place, Row, RowWriter};
pub use time::{Date, Timestamp};

/// For transforms that take no configuration: anything but `{}` is refused.
#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// A transform, record by record.
///
/// The same records, configuration and answers must give the same effects: a batch is tried again, whole or
/// in parts, after a trap or an error.
pub trait Transform: Sized {
    /// What it is: one or two sentences for people.
    const ABOUT: &'static str;

    /// What it is configured with; `Config` if nothing.
    type Config: serde::de::DeserializeOwned;

    /// A JSON Schema of the configuration, if it takes one.
    fn config_schema() -> Option<&'static str> {
        None
    }

    /// Called once, before the first record. Declares in the plan whatever the transform may do under this
    /// configuration, and keeps the handles that it gets. An error says, with a JSON pointer, what in the
    /// configuration is wrong.
    fn configure(config: Self::Config, plan: &mut Plan) -> Result<Self, String>;

    /// Asks for the keys that the record will need; all records of a batch are asked before the first one is
    /// transformed, so that a lookup is one call per batch. An error refuses the record.
    fn lookups(&self, record: &Record<'_>, keys: &mut Keys<'_>) -> Result<(), Failure> {
        let _ = (record, keys);
        Ok(())
    }

    /// Turns one record into effects. After an error none of them happens.
    fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure>;
}

/// Makes a transform what the component exports: `export!(Type)`, or `export!(Type, lookups)` for one
/// whose plan declares lookups. (Without them the component does not import `lookup` at all.)
#[macro_export]
macro_rules! export {
    ($transform:ty) => {
        $crate::export!(@export $transform, $crate::instance::no_lookups);
    };
    ($transform:ty, lookups) => {
        $crate::export!(@export $transform, $crate::instance::ask_host);
    };
    (@export $transform:ty, $ask:path) => {
        // Natively nothing is exported; the compiler should not call the transform dead code for that.
        #[cfg(not(target_family = "wasm"))]
        const _: fn(&str) -> Result<$crate::instance::Instance<$transform>, String> =
            $crate::instance::Instance::<$transform>::configure;

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::instance::{Instance, contract};

            ::std::thread_local! {
                static INSTANCE: ::std::cell::RefCell<Option<Instance<$transform>>> =
                    const { ::std::cell::RefCell::new(None) };
            }

            struct Exported;

            impl contract::Guest for Exported {
                fn describe() -> contract::Description {
                    $crate::instance::describe::<$transform>()
                }

                fn configure(config: String) -> Result<contract::Plan, String> {
                    $crate::log::install_panic_hook();
                    let instance = Instance::configure(&config)?;
                    let plan = instance.plan();
                    INSTANCE.set(Some(instance));
                    Ok(plan)
                }

                fn apply(batch: contract::Batch) -> Result<contract::Effects, String> {
                    INSTANCE.with_borrow_mut(|instance| match instance {
                        Some(instance) => instance.apply(&batch, &mut $ask),
                        None => Err("`apply` was called before `configure`".to_owned()),
                    })
                }
            }

            $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}
