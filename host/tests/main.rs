//! The host's integration tests, as one binary.

mod store;
