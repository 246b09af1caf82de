//! Mail against servers that take it, refuse it, hang and die.

mod server;
mod smtp;
