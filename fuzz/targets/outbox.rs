//! An outbox value that a disk has spoilt: read, or called damaged.
#![no_main]

use gristmill::publish::outbox;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = outbox::unpack(bytes.to_vec()) {
        let _ = outbox::decode(&value);
    }
});
