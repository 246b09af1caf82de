//! Gristmill.
