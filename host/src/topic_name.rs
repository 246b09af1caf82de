//! Legal topic names out of any text, such as a city's name.
//!
//! Kafka's rule: 1 to 249 of `[A-Za-z0-9._-]`, not `.` or `..`; and it refuses to create a topic whose name differs
//! from another's only in `.` for `_`. Two different texts must never share a topic, so:
//!
//! - a text of `[A-Za-z0-9-]` and single inner spaces keeps its letters, spaces become `_` (`New York` →
//!   `New_York`): different texts give different names, and none holds `__`;
//! - any other text (empty, too long, with `_`, `.`, `ö`, two spaces, or equal to a reserved name) gets every
//!   character outside `[A-Za-z0-9-]` replaced by `_`, is cut, and ends in `__` and 16 hex digits of its SHA-256.

use sha2::{Digest, Sha256};

/// Kafka's limit on a topic's name.
pub const LENGTH_MAX: usize = 249;

/// The legal topic name for `text` between `prefix` and `suffix` (both legal themselves, as the spec's validation
/// has it), never one of the `reserved` names, nor one that Kafka takes for the same.
pub fn legal_topic(prefix: &str, text: &str, suffix: &str, reserved: &[&str]) -> String {
    let room = LENGTH_MAX.saturating_sub(prefix.len() + suffix.len());
    if plain(text) && text.len() <= room {
        let name = format!("{prefix}{}{suffix}", text.replace(' ', "_"));
        if !reserved.iter().any(|reserved| alike(reserved, &name)) {
            return name;
        }
    }
    let digest = Sha256::digest(text.as_bytes());
    let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let room = room.saturating_sub(2 + hash.len());
    let legal: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .take(room)
        .collect();
    format!("{prefix}{legal}__{hash}{suffix}")
}

/// Whether Kafka takes two names for the same: it refuses to create the second one.
fn alike(a: &str, b: &str) -> bool {
    a.replace('.', "_") == b.replace('.', "_")
}

/// Whether a text can keep its letters.
fn plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains("  ")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == ' ')
}

/// Whether a name is legal for a topic as it is.
pub fn is_legal(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=LENGTH_MAX).contains(&name.len()) && name != "." && name != ".." && name.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stay_readable_where_they_can() {
        assert_eq!(legal_topic("", "Chennai", "", &[]), "Chennai");
        assert_eq!(legal_topic("", "New York", "", &[]), "New_York");
        for city in [".", "..", ""] {
            assert!(is_legal(&legal_topic("", city, "", &[])), "{city:?}");
        }
        assert!(legal_topic("", "Köln", "", &[]).starts_with("K_ln__"));
        assert_eq!(legal_topic("", &"x".repeat(300), "", &[]).len(), LENGTH_MAX);
    }

    #[test]
    fn texts_that_would_collide_stay_apart() {
        let cities =
            ["New York", "New_York", "New.York", "New  York", "New York ", "new york", "Köln", "Kæln"];
        let names: std::collections::HashSet<String> =
            // Kafka takes `.` and `_` for the same.
            cities.iter().map(|city| legal_topic("", city, "", &[]).replace('.', "_")).collect();
        assert_eq!(names.len(), cities.len());
    }

    #[test]
    fn a_reserved_name_is_never_given() {
        assert_ne!(legal_topic("", "product orders", "", &["product_orders"]), "product_orders");
        let dead_letters = ["product_orders.dlq"];
        assert_ne!(legal_topic("", "product orders dlq", "", &dead_letters), "product_orders_dlq");
        assert_ne!(legal_topic("shop.", "orders dlq", "", &["shop.orders.dlq"]), "shop.orders_dlq");
    }

    proptest! {
        #[test]
        fn any_two_texts_give_two_legal_names(a in "\\PC{0,300}", b in "[a-c._ -]{0,6}", c in "[a-c._ -]{0,6}") {
            for text in [&a, &b, &c] {
                prop_assert!(is_legal(&legal_topic("city.", text, ".v1", &[])));
            }
            prop_assert_eq!(b == c, legal_topic("", &b, "", &[]) == legal_topic("", &c, "", &[]));
            prop_assert_eq!(a == b, legal_topic("", &a, "", &[]) == legal_topic("", &b, "", &[]));
        }
    }
}
