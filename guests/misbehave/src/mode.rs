//! What this very module does, whoever asks it for what: tests write other letters into the built bytes, and so have
//! many modules of one build.

/// `.` is nothing. `start`, `describe`, `configure`: `t`rap, `l`oop, `h`og memory. `plan`: `t` an unknown table, `c` a
/// column of another kind. `stamp`: any other letter stands before each note; `R` refuses every record, `T` traps.
#[used]
static MODE: [u8; 70] = *b"gristmill-mode: start=. describe=. configure=. plan=. stamp=. end-mode";

/// The letter after `name=`.
pub(crate) fn letter(name: &str) -> u8 {
    // Not what the compiler sees counts but what stands in the bytes.
    let mode: &[u8] = std::hint::black_box(&MODE);
    let at = mode
        .windows(name.len() + 1)
        .position(|window| window.strip_prefix(name.as_bytes()).is_some_and(|after| after == b"="));
    at.and_then(|at| mode.get(at + name.len() + 1)).copied().unwrap_or(b'.')
}

/// The deed that a letter stands for.
pub(crate) fn deed(name: &str) -> &'static str {
    match letter(name) {
        b't' => "trap",
        b'l' => "loop",
        b'h' => "hog",
        _ => "",
    }
}
