//! How values become keys and hashdiffs, byte for byte as the tools that people use really do it.
//!
//! A recipe makes of values as texts (NULL: `None`) the bytes that are hashed, the preimage; where it makes none, the key is
//! NULL, or all zeros.

use crate::text::upper;
use gristmill_sdk::Kind;
use gristmill_sdk::hashing::{Algorithm, Digests, Values, digest_many, keyed_digest_many, push_hex};
use serde::Deserialize;
use std::borrow::Cow;

/// A recipe as its author writes it: a name, or a name with options.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Config {
    /// With the defaults of what it is named after.
    Named(Name),
    /// With options.
    With(Options),
}

/// The recipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// Length-prefixed values: no two lists of values have one preimage.
    Framed,
    /// The same, and keyed digests of them: who does not have the secret cannot try values.
    Keyed,
    /// AutomateDV's.
    AutomateDv,
    /// datavault4dbt's.
    Datavault4dbt,
    /// A uuid, version 3, of the namespace X.500.
    #[serde(rename = "uuid3-x500")]
    Uuid3X500,
    /// dbt_utils' surrogate keys.
    DbtUtils,
}

/// What can be chosen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    name: Name,
    algorithm: Option<AlgorithmName>,
    output: Option<Output>,
    /// Whether keys and hashdiffs are put in upper case.
    upper: Option<bool>,
    /// Whether hashdiffs are, if other than keys.
    upper_hashdiffs: Option<bool>,
    /// Between two values.
    delimiter: Option<String>,
    /// Stands for NULL.
    null: Option<String>,
    /// Whether points in time have a zone, `+00`.
    #[serde(default)]
    zoned: bool,
    /// The name of the secret of keyed digests.
    secret: Option<String>,
}

/// The hash functions by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AlgorithmName {
    Md5,
    Sha1,
    Sha256,
}

/// What a digest is in its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Output {
    /// Its bytes: for columns `uuid` (16 bytes) and `bytes`.
    Binary,
    /// Text of lower-case digits.
    Hex,
}

/// How keys and hashdiffs are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    name: Name,
    algorithm: Algorithm,
    output: Output,
    upper_keys: bool,
    upper_hashdiffs: bool,
    delimiter: String,
    null: String,
    zoned: bool,
    secret: Option<Secret>,
}

/// A secret that the host has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Secret {
    name: String,
    /// What tells it from other secrets and does not give it away: the beginning of the keyed digest of [`MARKED`].
    mark: String,
}

const MARKED: &str = "gristmill data-vault recipe";
/// Bytes of a mark.
const MARK_BYTES: usize = 4;

/// What is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A hub's or link's key.
    Key,
    /// A satellite's hashdiff.
    Hashdiff,
}

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
const DBT_UTILS_NULL: &str = "_dbt_utils_surrogate_key_null_";

impl Recipe {
    /// The recipe of a configuration.
    pub fn compile(config: Config) -> Result<Self, String> {
        let options = match config {
            Config::With(options) => options,
            Config::Named(name) => Options {
                name,
                algorithm: None,
                output: None,
                upper: None,
                upper_hashdiffs: None,
                delimiter: None,
                null: None,
                zoned: false,
                secret: None,
            },
        };
        let name = options.name;
        let (algorithm, output, upper, delimiter, null) = match name {
            Name::Framed | Name::Keyed => (Algorithm::Sha256, Output::Binary, false, "", ""),
            Name::AutomateDv => (Algorithm::Md5, Output::Binary, true, "||", "^^"),
            Name::Datavault4dbt => (Algorithm::Md5, Output::Hex, true, "||", "^^"),
            Name::Uuid3X500 => (Algorithm::Md5, Output::Binary, false, "_", "None"),
            Name::DbtUtils => (Algorithm::Md5, Output::Hex, false, "-", DBT_UTILS_NULL),
        };
        let fixed = |given: bool, what: &str| {
            if given { Err(format!("{what}: the recipe leaves no choice here")) } else { Ok(()) }
        };
        if name == Name::Uuid3X500 {
            fixed(options.algorithm.is_some_and(|algorithm| algorithm != AlgorithmName::Md5), "algorithm")?;
        }
        if name != Name::AutomateDv {
            fixed(options.delimiter.is_some(), "delimiter")?;
            fixed(options.null.is_some(), "null")?;
        }
        if matches!(name, Name::Framed | Name::Keyed | Name::Uuid3X500 | Name::DbtUtils) {
            fixed(options.upper.is_some(), "upper")?;
            fixed(options.upper_hashdiffs.is_some(), "upper_hashdiffs")?;
        }
        let upper_keys = options.upper.unwrap_or(upper);
        let algorithm = options.algorithm.map_or(algorithm, AlgorithmName::algorithm);
        let secret = match (name, options.secret) {
            (Name::Keyed, Some(secret)) => Some(Secret::known(secret, algorithm)?),
            (Name::Keyed, None) => return Err("secret: the recipe `keyed` needs the name of one".to_owned()),
            (_, Some(_)) => return Err("secret: goes with the recipe `keyed` only".to_owned()),
            (_, None) => None,
        };
        Ok(Self {
            name,
            algorithm,
            output: options.output.unwrap_or(output),
            upper_keys,
            upper_hashdiffs: options.upper_hashdiffs.unwrap_or(upper_keys),
            delimiter: options.delimiter.unwrap_or_else(|| delimiter.to_owned()),
            null: options.null.unwrap_or_else(|| null.to_owned()),
            zoned: options.zoned,
            secret,
        })
    }

    /// All that decides which bytes a key has: keys of two recipes with one id are the same.
    pub fn id(&self) -> String {
        let name = match self.name {
            Name::Framed => "framed",
            Name::Keyed => "keyed",
            Name::AutomateDv => "automate-dv",
            Name::Datavault4dbt => "datavault4dbt",
            Name::Uuid3X500 => "uuid3-x500",
            Name::DbtUtils => "dbt-utils",
        };
        let algorithm = match self.algorithm {
            Algorithm::Md5 => "md5",
            Algorithm::Sha1 => "sha1",
            Algorithm::Sha256 => "sha256",
        };
        let case = match (self.upper_keys, self.upper_hashdiffs) {
            (true, true) => " upper",
            (true, false) => " upper-keys",
            (false, true) => " upper-hashdiffs",
            (false, false) => "",
        };
        let marks = match self.name {
            Name::AutomateDv => format!(" {} {}", self.delimiter, self.null),
            _ => String::new(),
        };
        let zoned = if self.zoned { " zoned" } else { "" };
        let secret = self.secret.as_ref().map_or_else(String::new, |secret| format!(" {}", secret.mark));
        format!("{name} {algorithm}{case}{marks}{zoned}{secret}")
    }

    /// The digests of preimages.
    pub fn digests(&self, preimages: &Values) -> Result<Digests, String> {
        match &self.secret {
            None => Ok(digest_many(self.algorithm, preimages)),
            Some(secret) => keyed_digest_many(&secret.name, self.algorithm, preimages),
        }
    }

    /// Whether points in time have a zone in their texts.
    pub fn zoned(&self) -> bool {
        self.zoned
    }

    /// What its digests are in their columns.
    pub fn kind(&self) -> Kind {
        match self.output {
            Output::Binary => Kind::Fixed(u32::try_from(self.algorithm.width()).unwrap_or(0)),
            Output::Hex => Kind::Text,
        }
    }

    /// Whether its digests are texts in their columns.
    pub fn is_text(&self) -> bool {
        self.output == Output::Hex
    }

    /// Whether links are made of their hubs' keys, not of the business keys.
    pub fn links_of_keys(&self) -> bool {
        self.name == Name::Uuid3X500
    }

    /// Whether the columns of a hashdiff are taken in the order of their names, whatever order they are given in.
    pub fn sorts_hashdiffs(&self) -> bool {
        self.name == Name::AutomateDv
    }

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

    fn cased<'v>(&self, text: &'v str, of: Use) -> Cow<'v, str> {
        let upper_case = if of == Use::Key { self.upper_keys } else { self.upper_hashdiffs };
        if upper_case { Cow::Owned(upper(text)) } else { Cow::Borrowed(text) }
    }

    /// Trimmed of spaces only, in upper case, and NULL where nothing is left.
    fn automate_dv(&self, values: &[Option<Cow<'_, str>>], of: Use, list: bool) -> Preimage {
        let standard = |value: &Option<Cow<'_, str>>| {
            let text = value.as_deref()?.trim_matches(' ');
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
            let mut text = text.trim_matches(' ').replacen('\\', "\\\\", 1);
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

    /// The key or hashdiff that a digest becomes.
    pub fn finish(&self, digest: &[u8]) -> Digest {
        let mut bytes = [0; WIDTH_MAX];
        let width = digest.len().min(WIDTH_MAX);
        for (to, from) in bytes.iter_mut().zip(digest) {
            *to = *from;
        }
        if self.name == Name::Uuid3X500 {
            // Version 3, and the variant of RFC 4122.
            let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
            *version = (*version & 0x0f) | 0x30;
            *variant = (*variant & 0x3f) | 0x80;
        }
        Digest { bytes, width }
    }

    /// All zeros.
    pub fn zeros(&self) -> Digest {
        Digest { bytes: [0; WIDTH_MAX], width: self.algorithm.width() }
    }

    /// A digest as text: a uuid as such, others in lower-case hex.
    pub fn shown(&self, digest: &Digest) -> String {
        // With the hyphens of a uuid, and quotes around it.
        let mut text = String::with_capacity(2 * WIDTH_MAX + 6);
        self.show(digest, &mut text);
        text
    }

    /// Appends that.
    pub fn show(&self, digest: &Digest, text: &mut String) {
        let bytes = digest.bytes();
        if self.name != Name::Uuid3X500 || self.output != Output::Binary {
            return push_hex(text, bytes);
        }
        let mut from = 0;
        for to in [4, 6, 8, 10, 16] {
            if from > 0 {
                text.push('-');
            }
            push_hex(text, bytes.get(from..to).unwrap_or_default());
            from = to;
        }
    }
}

impl Secret {
    /// The secret of this name, which the host must have for this stage.
    fn known(name: String, algorithm: Algorithm) -> Result<Self, String> {
        let mut values = Values::default();
        values.push(MARKED);
        let digests =
            keyed_digest_many(&name, algorithm, &values).map_err(|what| format!("secret: {what}"))?;
        let mut mark = String::new();
        push_hex(&mut mark, digests.get(0).and_then(|digest| digest.get(..MARK_BYTES)).unwrap_or_default());
        Ok(Self { name, mark })
    }
}

/// The longest digest, SHA-256's.
const WIDTH_MAX: usize = 32;

/// A key or a hashdiff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    bytes: [u8; WIDTH_MAX],
    width: usize,
}

impl Digest {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.width).unwrap_or_default()
    }
}

impl AlgorithmName {
    fn algorithm(self) -> Algorithm {
        match self {
            Self::Md5 => Algorithm::Md5,
            Self::Sha1 => Algorithm::Sha1,
            Self::Sha256 => Algorithm::Sha256,
        }
    }
}

/// Each value behind its length in bytes (32 bits, big-endian); NULL is the length of no value that fits a record.
fn framed(values: &[Option<Cow<'_, str>>]) -> Vec<u8> {
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

    #[test]
    fn keys_of_two_secrets_are_of_two_recipes() {
        gristmill_sdk::testing::secret("a", *b"a secret of its own");
        gristmill_sdk::testing::secret("b", *b"a secret of another");
        let compile = |json: &str| Recipe::compile(serde_json::from_str(json).unwrap()).unwrap();
        let [a, b] =
            [r#"{"name": "keyed", "secret": "a"}"#, r#"{"name": "keyed", "secret": "b"}"#].map(compile);
        assert!(a.id().starts_with("keyed sha256 ") && a.id().len() == 21, "{}", a.id());
        assert_ne!(a.id(), b.id());
        let mut values = Values::default();
        values.push(framed(&[Some(Cow::Borrowed("Ada"))]));
        assert_eq!(a.digests(&values).unwrap(), a.digests(&values).unwrap());
        assert_ne!(a.digests(&values).unwrap(), b.digests(&values).unwrap());
        assert_ne!(a.digests(&values).unwrap(), compile(r#""framed""#).digests(&values).unwrap());
    }

    #[test]
    fn options_that_a_recipe_does_not_have_are_refused() {
        for (json, what) in [
            (r#"{"name": "framed", "upper": true}"#, "upper: "),
            (r#"{"name": "uuid3-x500", "algorithm": "sha1"}"#, "algorithm: "),
            (r#"{"name": "datavault4dbt", "null": "@@"}"#, "null: "),
            (r#"{"name": "framed", "secret": "x"}"#, "secret: goes with"),
            (r#"{"name": "keyed"}"#, "secret: the recipe"),
            (r#"{"name": "keyed", "secret": "unknown"}"#, "secret: there is no secret `unknown`"),
        ] {
            let config = serde_json::from_str(json).unwrap();
            assert!(Recipe::compile(config).unwrap_err().starts_with(what), "{json}");
        }
    }
}
