#![doc = include_str!("../README.md")]
//!
//! The pieces, in the order in which a batch meets them: [`Record`] is read, [`Out`] takes effects, [`Failure`]
//! refuses a record. Behind them, columns and their ends; see `wit/` for the contract itself.
//!
//! # A transform with a configuration
//!
//! What is configured is a type of your own, read by serde: an error in it is told to the pipeline's author with a JSON
//! pointer. Here it names the table, so that the row is of no type but is written cell by cell. Of a bad record all
//! faults are gathered; a good one may become a mail, and goes on to the next stage.
//!
//! ```
//! use gristmill_sdk::{
//!     Column, Failure, Faults, Kind, Mail, Out, Plan, Record, Table, Timestamp, Transform,
//! };
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     table: String,
//!     /// Above this, in degrees, somebody is told.
//!     alarm_at: f64,
//!     tell: Option<String>,
//! }
//!
//! #[derive(Deserialize)]
//! struct Reading {
//!     sensor: String,
//!     degrees: f64,
//! }
//!
//! struct Readings {
//!     table: Table,
//!     alarm_at: f64,
//!     tell: Option<String>,
//! }
//!
//! impl Transform for Readings {
//!     const ABOUT: &'static str = "Stores readings, and tells of those that are too high.";
//!     type Config = Config;
//!
//!     fn config_schema() -> Option<&'static str> {
//!         Some(r#"{"type": "object", "required": ["table", "alarm_at"]}"#)
//!     }
//!
//!     fn configure(config: Config, plan: &mut Plan) -> Result<Self, String> {
//!         if !config.alarm_at.is_finite() {
//!             return Err("/alarm_at: a temperature".to_owned());
//!         }
//!         let table = plan.define_table(
//!             config.table,
//!             vec![
//!                 Column::fixed("sensor", Kind::Text, false),
//!                 Column::fixed("at", Kind::Timestamp, false),
//!                 Column::fixed("degrees", Kind::Float, false),
//!             ],
//!         );
//!         plan.forwards();
//!         if config.tell.is_some() {
//!             plan.mails();
//!         }
//!         Ok(Self { table, alarm_at: config.alarm_at, tell: config.tell })
//!     }
//!
//!     fn transform(&self, record: &Record<'_>, out: &mut Out<'_, '_>) -> Result<(), Failure> {
//!         let reading: Reading = record.json()?;
//!         let mut faults = Faults::default();
//!         if reading.sensor.is_empty() {
//!             faults.add(Failure::reject("no-sensor", "a sensor has a name").at("/sensor"));
//!         }
//!         if reading.degrees < -273.15 {
//!             faults.add(Failure::reject("too-cold", "below absolute zero").at("/degrees"));
//!         }
//!         faults.check()?;
//!         // There is no clock: times come from the record, so that a repetition gives the same.
//!         let at = Timestamp(record.timestamp_ms() * 1_000);
//!         if let Some(mut row) = out.begin_row(self.table) {
//!             row.cell(&reading.sensor);
//!             row.cell(&at);
//!             row.cell(&reading.degrees);
//!         }
//!         if let Some(address) = self.tell.as_ref().filter(|_| reading.degrees > self.alarm_at) {
//!             out.mail(Mail::new(address, format!("{} is hot", reading.sensor), "Look at it."));
//!         }
//!         out.forward();
//!         Ok(())
//!     }
//! }
//!
//! gristmill_sdk::export!(Readings);
//!
//! # fn main() -> Result<(), String> {
//! use gristmill_sdk::testing::{TestRecord, refused_config, run};
//! let config = r#"{"table": "readings", "alarm_at": 80, "tell": "ada@mail.example"}"#;
//! let records = [
//!     TestRecord::text(r#"{"sensor": "boiler", "degrees": 91.5}"#).timestamp_ms(1_000),
//!     TestRecord::text(r#"{"sensor": "", "degrees": -300}"#),
//! ];
//! let caused = run::<Readings>(config, &records)?;
//! assert_eq!(caused[0].rows[0].columns["at"], "1970-01-01T00:00:01Z");
//! assert_eq!(caused[0].mails[0].subject, "boiler is hot");
//! assert_eq!(caused[0].messages[0].output, "next");
//! assert_eq!(caused[1].failures.len(), 2);
//! assert!(refused_config::<Readings>("{}").is_some_and(|error| error.contains("missing field")));
//! # Ok(())
//! # }
//! ```

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
mod state;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time;

pub use cells::{Decimal, Json, Uuid};
pub use failure::{Failure, Fault, Faults};
pub use gristmill_sdk_macros::Row;
pub use lookups::Keys;
pub use messages::Message;
pub use out::{Mail, Out};
pub use plan::{Column, Kind, Lookup, Needs, Output, Plan, Table};
pub use record::Record;
pub use rows::{Cell, Place, Row, RowWriter};
pub use state::Keyed;
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
///
/// Once in a crate, at its top; natively it exports nothing.
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
