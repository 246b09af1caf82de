//! An outbox value that a disk has spoilt: read, or called damaged.
#![no_main]

use gristmill::publish::outbox;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = outbox::decode(bytes);
});
