//! Lines for the operator; the host bounds their number and length.

#[cfg(target_family = "wasm")]
use crate::bindings::gristmill::transform::log::{Level, log};

#[cfg(not(target_family = "wasm"))]
#[derive(Debug)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Natively, in tests, lines go to standard error.
#[cfg(not(target_family = "wasm"))]
fn log(level: Level, text: &str) {
    eprintln!("{level:?} {text}");
}

/// For whoever looks for a fault.
pub fn debug(text: &str) {
    log(Level::Debug, text);
}

/// Worth knowing.
pub fn info(text: &str) {
    log(Level::Info, text);
}

/// Something is odd, and went on.
pub fn warn(text: &str) {
    log(Level::Warn, text);
}

/// Something went wrong.
pub fn error(text: &str) {
    log(Level::Error, text);
}

/// Makes a panic say what and where before it ends the instance as a bare `unreachable`.
#[doc(hidden)]
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| error(&info.to_string())));
}
