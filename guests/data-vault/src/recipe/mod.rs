//! How values become keys and hashdiffs, byte for byte as the tools that people use really do it: what of it can be chosen, the
//! bytes that are hashed ([`preimage`]), and what a digest is in its column.

mod preimage;

use gristmill_sdk::Kind;
use gristmill_sdk::hashing::{Algorithm, Digests, Values, digest_many, keyed_digest_many, push_hex};
pub use preimage::Preimage;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A recipe as its author writes it: a name, or a table with a name and options.
#[derive(Debug)]
pub struct Config(Options);

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrOptions;

        impl<'de> Visitor<'de> for NameOrOptions {
            type Value = Config;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("the name of a recipe, or a table with its `name` and options")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Config, E> {
                Name::deserialize(name.into_deserializer()).map(|name| Config(Options::named(name)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Config, A::Error> {
                Options::deserialize(MapAccessDeserializer::new(map)).map(Config)
            }
        }

        deserializer.deserialize_any(NameOrOptions)
    }
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
    /// Whether spaces at the ends of values are left out.
    trim: Option<bool>,
    /// Whether they are in hashdiffs, if other than in keys.
    trim_hashdiffs: Option<bool>,
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

impl Options {
    fn named(name: Name) -> Self {
        Self {
            name,
            algorithm: None,
            output: None,
            upper: None,
            upper_hashdiffs: None,
            trim: None,
            trim_hashdiffs: None,
            delimiter: None,
            null: None,
            zoned: false,
            secret: None,
        }
    }
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
    upper: Where,
    trim: Where,
    delimiter: String,
    null: String,
    zoned: bool,
    secret: Option<Secret>,
}

/// Whether something is done: to values of keys, and to those of hashdiffs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Where {
    keys: bool,
    hashdiffs: bool,
}

impl Where {
    fn new(keys: bool, hashdiffs: Option<bool>) -> Self {
        Self { keys, hashdiffs: hashdiffs.unwrap_or(keys) }
    }

    fn of(self, of: Use) -> bool {
        match of {
            Use::Key => self.keys,
            Use::Hashdiff => self.hashdiffs,
        }
    }
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

const DBT_UTILS_NULL: &str = "_dbt_utils_surrogate_key_null_";

impl Recipe {
    /// The recipe of a configuration.
    pub fn compile(config: Config) -> Result<Self, String> {
        let Config(options) = config;
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
            fixed(options.trim.is_some(), "trim")?;
            fixed(options.trim_hashdiffs.is_some(), "trim_hashdiffs")?;
        }
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
            upper: Where::new(options.upper.unwrap_or(upper), options.upper_hashdiffs),
            trim: Where::new(options.trim.unwrap_or(true), options.trim_hashdiffs),
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
        let case = match self.upper {
            Where { keys: true, hashdiffs: true } => " upper",
            Where { keys: true, hashdiffs: false } => " upper-keys",
            Where { keys: false, hashdiffs: true } => " upper-hashdiffs",
            Where { keys: false, hashdiffs: false } => "",
        };
        // What is usual has no word.
        let spaces = match self.trim {
            Where { keys: true, hashdiffs: true } => "",
            Where { keys: true, hashdiffs: false } => " spaces-in-hashdiffs",
            Where { keys: false, hashdiffs: true } => " spaces-in-keys",
            Where { keys: false, hashdiffs: false } => " spaces",
        };
        let marks = match self.name {
            Name::AutomateDv => format!(" {} {}", self.delimiter, self.null),
            _ => String::new(),
        };
        let zoned = if self.zoned { " zoned" } else { "" };
        let secret = self.secret.as_ref().map_or_else(String::new, |secret| format!(" {}", secret.mark));
        format!("{name} {algorithm}{case}{spaces}{marks}{zoned}{secret}")
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

#[cfg(test)]
mod tests {
    use super::*;
    use preimage::framed;
    use std::borrow::Cow;

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
    fn what_is_misspelt_is_named() {
        for (json, what) in [
            (r#""framd""#, "unknown variant `framd`, expected one of `framed`"),
            (r#"{"name": "framd"}"#, "unknown variant `framd`, expected one of `framed`"),
            (r#"{"name": "framed", "uper": true}"#, "unknown field `uper`, expected one of `name`"),
            (r#"{"algorithm": "md5"}"#, "missing field `name`"),
            (r#"{"name": "framed", "algorithm": "md4"}"#, "unknown variant `md4`, expected one of `md5`"),
            ("7", "expected the name of a recipe, or a table with its `name` and options"),
        ] {
            let error = serde_json::from_str::<Config>(json).unwrap_err().to_string();
            assert!(error.contains(what), "{json}: {error}");
        }
    }

    #[test]
    fn options_that_a_recipe_does_not_have_are_refused() {
        for (json, what) in [
            (r#"{"name": "framed", "upper": true}"#, "upper: "),
            (r#"{"name": "keyed", "secret": "a", "trim": false}"#, "trim: "),
            (r#"{"name": "dbt-utils", "trim_hashdiffs": true}"#, "trim_hashdiffs: "),
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
