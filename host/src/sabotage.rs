//! Rules of the commit that can be broken on purpose, one at a time, to see whether the fault harness notices
//! (`cargo xtask chaos --break`): a harness that never complains proves nothing. Compiled in only with the feature
//! `crash-points`; without it every question is answered with a constant `false`.

/// No fence at all: a commit takes whatever epoch and batch number it finds in the lane's row.
pub fn no_fence() -> bool {
    broken("no-fence")
}

/// The group's offset is read before `init_transactions`, as it stands, with the predecessor's transaction still open.
pub fn group_before_init() -> bool {
    broken("group-before-init")
}

/// A batch's outbox value is forgotten by the next commit, published or not.
pub fn forget_outbox() -> bool {
    broken("forget-outbox")
}

/// A batch is published first and committed afterwards.
pub fn publish_first() -> bool {
    broken("publish-first")
}

#[cfg(feature = "crash-points")]
fn broken(rule: &str) -> bool {
    static BROKEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    BROKEN.get_or_init(|| std::env::var("GRISTMILL_BREAK").ok()).as_deref() == Some(rule)
}

#[cfg(not(feature = "crash-points"))]
const fn broken(_rule: &str) -> bool {
    false
}
