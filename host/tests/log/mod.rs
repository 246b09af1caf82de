//! The same list of checks over every log.

mod bench;
mod checks;
mod journal;
mod kafka;
