//! Records come in from outside, by HTTP, from files, from watched folders: what is the same for all of them. Which key a
//! record gets, how rows of a CSV become records, and how files are read.

pub mod csv;
mod file;
mod key;
mod watch;

pub use file::{FileFormat, RecordFile, append, append_file};
pub use key::{KeyFault, KeyRule};
pub use watch::Watcher;
