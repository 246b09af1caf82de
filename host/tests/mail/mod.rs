//! Mail against servers that take it, refuse it, hang and die.

mod relay;
mod server;
mod smtp;

pub use smtp::mail;
