//! The parts of the harness that decide, tested by themselves.

#[path = "model.rs"]
mod model;
#[path = "schedule.rs"]
mod schedule;
