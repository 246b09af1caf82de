//! The embedded store: one SQLite file.

pub mod database;
