//! City orders, end to end: real hosts as processes of their own, over the real set (Kafka, PostgreSQL, SMTP) and the
//! embedded one, undisturbed and killed in the middle. What comes out is compared with the example's `expected/`,
//! whatever happened on the way.

mod adversaries;
mod contradictions;
mod crashes;
mod ingest;
pub mod outcome;
mod refused_rows;
mod runs;
mod site;
mod taken;
mod told;

pub use site::{Host, Set, Site, repository, server, sql};
