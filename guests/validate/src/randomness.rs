//! The "randomness" of a transform: always the same, for the same batch must give the same effects. The hash
//! maps that ask for it hold the words of a schema, which no record can choose.
#![allow(unsafe_code, reason = "the hook that getrandom prescribes: a symbol, and a pointer to fill")]

/// Fills `length` bytes at `destination`.
///
/// # Safety
/// `getrandom` passes memory that is valid for that many bytes.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    destination: *mut u8,
    length: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: as above.
    unsafe { destination.write_bytes(0x5a, length) };
    Ok(())
}
