//! Gristmill's host: consumes records, runs sandboxed transforms on every batch, and writes their effects exactly
//! once.
//!
//! Modules in the order in which data meets them: [`spec`] (what a pipeline's author writes), [`record`] (the
//! nouns), [`log`] (where records come from), [`effect`] (what they cause), [`store`] (where effects become facts),
//! [`publish`] (what goes out). Beside them, [`cases`]: a module's own tests.

pub mod access;
pub mod cases;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod control;
pub mod crash;
pub mod deploy;
pub mod effect;
pub mod generate;
pub mod guarantee;
pub mod host;
pub mod intake;
pub mod lane;
pub mod live;
pub mod log;
pub mod lookup;
pub mod mail;
pub mod pipeline;
pub mod publish;
pub mod record;
pub mod sabotage;
pub mod secrets;
pub mod sites;
pub mod spec;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod topic_name;
pub mod transform;
