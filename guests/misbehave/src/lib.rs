//! Does on demand what no transform may do, so that the host's tests can watch it being stopped (README.md).
//!
//! Written against the bare contract: the SDK would not let such effects happen.
#![cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "natively only the tests call it"))]

mod crimes;
mod effects;
mod mode;
mod request;
mod work;

#[cfg(target_family = "wasm")]
mod exported;
