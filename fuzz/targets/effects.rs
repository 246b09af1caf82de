//! Effects that a hostile guest returns: refused whole, or right in all that later steps take for granted.
#![no_main]

use gristmill::transform::fuzzing::hostile_effects;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = hostile_effects(bytes);
});
