//! The routes over fakes: what is asked right, what is asked wrong, what goes wrong behind them.

mod auth;
mod embedded;
mod fake_catalog;
mod fakes;
mod ingest;
mod openapi;
mod program;
mod reading;
mod serving;
mod site;
mod tls;
