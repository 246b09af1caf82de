//! The bytes that are hashed, of values as texts (NULL: `None`).

use super::{Name, Recipe, Use};
use crate::text::upper;
use std::borrow::Cow;

/// The bytes to be hashed, or what stands there without hashing.
#[derive(Debug, PartialEq, Eq)]
pub enum Preimage {
    /// These.
    Bytes(Vec<u8>),
    /// The digest is all zeros.
    Zeros,
    /// NULL: there is no such key.
    Null,
}

/// RFC 4122's namespace for X.500 names, 6ba7b814-9dad-11d1-80b4-00c04fd430c8.
const X500: [u8; 16] =
    [0x6b, 0xa7, 0xb8, 0x14, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8];
/// What datavault4dbt puts in the place of its own marks where they stand in a value.
const REPLACED: [(&str, &str); 3] = [
    ("\"", "dv4dbt-quote-replacement"),
    ("^^", "dv4dbt-null-replacement"),
    ("||", "dv4dbt-concat-replacement"),
];

impl Recipe {
    /// The bytes for values in their order. `list`: whether the values were given as a list, where one value alone may be
    /// given without.
    pub fn preimage(&self, values: &[Option<Cow<'_, str>>], of: Use, list: bool) -> Preimage {
        match self.name {
            Name::Framed | Name::Keyed => Preimage::Bytes(framed(values)),
            Name::AutomateDv => self.automate_dv(values, of, list),
            Name::Datavault4dbt => self.datavault4dbt(values, of),
            Name::DbtUtils => Preimage::Bytes(self.joined(values).into_bytes()),
            // Attributes are framed: joined, two different lists of them could be one text.
            Name::Uuid3X500 if of == Use::Hashdiff => Preimage::Bytes([&X500, &*framed(values)].concat()),
            Name::Uuid3X500 => Preimage::Bytes([&X500, self.joined(values).as_bytes()].concat()),
        }
    }

    fn joined(&self, values: &[Option<Cow<'_, str>>]) -> String {
        let texts: Vec<&str> = values.iter().map(|value| value.as_deref().unwrap_or(&self.null)).collect();
        texts.join(&self.delimiter)
    }

    fn trimmed<'v>(&self, text: &'v str, of: Use) -> &'v str {
        if self.trim.of(of) { text.trim_matches(' ') } else { text }
    }

    fn cased<'v>(&self, text: &'v str, of: Use) -> Cow<'v, str> {
        if self.upper.of(of) { Cow::Owned(upper(text)) } else { Cow::Borrowed(text) }
    }

    /// Trimmed of spaces only (unless that is off), in upper case, and NULL where nothing is left.
    fn automate_dv(&self, values: &[Option<Cow<'_, str>>], of: Use, list: bool) -> Preimage {
        let standard = |value: &Option<Cow<'_, str>>| {
            let text = self.trimmed(value.as_deref()?, of);
            (!text.is_empty()).then(|| self.cased(text, of).into_owned())
        };
        let values: Vec<Option<String>> = values.iter().map(standard).collect();
        if let ([one], false) = (values.as_slice(), list) {
            return one.as_ref().map_or(Preimage::Null, |text| Preimage::Bytes(text.clone().into_bytes()));
        }
        let texts: Vec<&str> = values.iter().map(|value| value.as_deref().unwrap_or(&self.null)).collect();
        if of == Use::Key && texts.iter().all(|text| *text == self.null) {
            return Preimage::Null;
        }
        Preimage::Bytes(texts.join(&self.delimiter).into_bytes())
    }

    /// Each value quoted, what would be taken for a mark replaced; zeros where there is no value at all.
    fn datavault4dbt(&self, values: &[Option<Cow<'_, str>>], of: Use) -> Preimage {
        if values.iter().all(Option::is_none) {
            return Preimage::Zeros;
        }
        let quoted = |value: &Option<Cow<'_, str>>| {
            let Some(text) = value else { return self.null.clone() };
            let mut text = self.trimmed(text, of).replacen('\\', "\\\\", 1);
            for (mark, replacement) in REPLACED {
                text = text.replace(mark, replacement);
            }
            format!("\"{}\"", self.cased(&text, of))
        };
        let mut whole = values.iter().map(quoted).collect::<Vec<_>>().join(&self.delimiter);
        for control in ['\n', '\t', '\u{b}', '\r'] {
            whole = whole.replacen(control, "", 1);
        }
        Preimage::Bytes(whole.into_bytes())
    }
}

/// Each value behind its length in bytes (32 bits, big-endian); NULL is the length of no value that fits a record.
pub(super) fn framed(values: &[Option<Cow<'_, str>>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for value in values {
        let length =
            value.as_ref().map_or(u32::MAX, |text| u32::try_from(text.len()).unwrap_or(u32::MAX - 1));
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(json: &str) -> Recipe {
        Recipe::compile(serde_json::from_str(json).unwrap()).unwrap()
    }

    #[test]
    fn spaces_stay_where_they_are_not_trimmed() {
        let bytes = |recipe: &Recipe, text: &str, of: Use| match recipe.preimage(
            &[Some(Cow::Borrowed(text))],
            of,
            false,
        ) {
            Preimage::Bytes(bytes) => Some(String::from_utf8(bytes).unwrap()),
            _ => None,
        };
        let (trims, keeps) =
            (compile(r#""automate-dv""#), compile(r#"{"name": "automate-dv", "trim": false}"#));
        for of in [Use::Key, Use::Hashdiff] {
            assert_eq!(bytes(&trims, " a b ", of).as_deref(), Some("A B"));
            assert_eq!(bytes(&keeps, " a b ", of).as_deref(), Some(" A B "));
            // Nothing but spaces is no value where they are left out.
            assert_eq!((bytes(&trims, "  ", of), bytes(&keeps, "", of)), (None, None));
            assert_eq!(bytes(&keeps, "  ", of).as_deref(), Some("  "));
        }
        let keys_only =
            compile(r#"{"name": "datavault4dbt", "trim_hashdiffs": false, "upper_hashdiffs": false}"#);
        assert_eq!(bytes(&keys_only, " a ", Use::Key).as_deref(), Some("\"A\""));
        assert_eq!(bytes(&keys_only, " a ", Use::Hashdiff).as_deref(), Some("\" a \""));
        // Each is a recipe of its own; what trims is called as it was when there was no choice.
        assert_eq!(trims.id(), "automate-dv md5 upper || ^^");
        assert_eq!(keeps.id(), "automate-dv md5 upper spaces || ^^");
        assert_eq!(keys_only.id(), "datavault4dbt md5 upper-keys spaces-in-hashdiffs");
    }

    #[test]
    fn framed_lists_stay_apart() {
        let of = |values: &[Option<&str>]| {
            framed(&values.iter().map(|v| v.map(Cow::Borrowed)).collect::<Vec<_>>())
        };
        let lists: [&[Option<&str>]; 8] = [
            &[],
            &[None],
            &[Some("")],
            &[Some(""), None],
            &[None, Some("")],
            &[Some("ab"), Some("c")],
            &[Some("a"), Some("bc")],
            &[Some("^^")],
        ];
        let mut all: Vec<_> = lists.iter().map(|list| of(list)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), lists.len());
    }
}
