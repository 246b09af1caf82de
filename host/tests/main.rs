//! All integration tests, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

// The pure parts of the fault harness, which has no tests of libtest's kind of its own.
mod cases;
#[allow(dead_code, reason = "what else is in them is used by tests/chaos")]
#[path = "chaos/pure.rs"]
mod chaos;
mod city;
mod control;
mod house;
mod log;
mod lookup;
mod mail;
mod modules;
#[allow(dead_code, reason = "what else it can is used by tests/chaos")]
#[path = "chaos/proxy.rs"]
mod proxy;
mod sandbox;
mod scenarios;
mod store;
mod tls;
mod vault;
