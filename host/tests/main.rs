//! All integration tests, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod city;
mod control;
mod house;
mod log;
mod lookup;
mod mail;
mod sandbox;
mod store;
