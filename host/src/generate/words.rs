//! Made-up names and goods.

use fastrand::Rng;

/// What names are made of.
pub const SYLLABLES: [&str; 12] =
    ["ba", "de", "fi", "go", "lu", "ma", "ne", "ri", "so", "tav", "quin", "wes"];
/// What is ordered.
pub const GOODS: [&str; 8] =
    ["Lamp", "Kettle", "Oak table", "Wool blanket", "Millstone", "Bicycle bell", "Notebook A5", "Tea, loose"];

/// One of a list; nothing of an empty one.
pub fn one_of(rng: &mut Rng, list: &[&'static str]) -> &'static str {
    rng.choice(list.iter().copied()).unwrap_or_default()
}

/// A name of three syllables.
pub fn name(rng: &mut Rng) -> String {
    let text: String = (0..3).map(|_| one_of(rng, &SYLLABLES)).collect();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
