//! Secrets that guests may have digests made with, and never see: files of one folder (`GRISTMILL_SECRETS`), each called as the
//! specs call it, as orchestrators mount them.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, Key, sign};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The shortest secret, bytes: shorter ones can be found by trying.
const BYTES_MIN: usize = 16;
/// The longest, bytes: what is longer is most likely another file.
const BYTES_MAX: usize = 4_096;

/// A secret. Nothing shows it.
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The hash function of a keyed digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// 16 bytes.
    Md5,
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

impl Secret {
    /// A secret of these bytes; a line break at their end is not part of it.
    ///
    /// # Errors
    /// It is too short or too long.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) {
            return Ok(Secret(bytes.into()));
        }
        Err(format!(
            "it has {} bytes, and a secret has {BYTES_MIN} to {BYTES_MAX}: `openssl rand -hex 32` makes one",
            bytes.len()
        ))
    }

    /// What makes keyed digests with it.
    ///
    /// # Errors
    /// The function takes no key of this length; HMAC takes any.
    pub fn keyed(&self, algorithm: Algorithm) -> Result<Keyed, String> {
        Ok(match algorithm {
            Algorithm::Md5 => Keyed::Md5(Hmac::new_from_slice(&self.0).map_err(|error| error.to_string())?),
            Algorithm::Sha1 => Keyed::Sha(Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0)),
            Algorithm::Sha256 => Keyed::Sha(Key::new(HMAC_SHA256, &self.0)),
        })
    }
}

/// Makes keyed digests (HMAC, RFC 2104).
pub enum Keyed {
    /// By MD5.
    Md5(Hmac<Md5>),
    /// By SHA-1 or SHA-256.
    Sha(Key),
}

impl Keyed {
    /// Appends the digest of a value.
    pub fn append(&self, out: &mut Vec<u8>, value: &[u8]) {
        match self {
            Keyed::Md5(keyed) => {
                out.extend_from_slice(&keyed.clone().chain_update(value).finalize().into_bytes());
            }
            Keyed::Sha(key) => out.extend_from_slice(sign(key, value).as_ref()),
        }
    }
}

/// Secrets by name.
pub type ByName = BTreeMap<String, Secret>;

/// Where the secrets of this host are.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Option<PathBuf>);

impl Secrets {
    /// Those of a folder, if there is one.
    pub fn of(folder: Option<PathBuf>) -> Self {
        Secrets(folder)
    }

    /// The secret of this name, read anew.
    ///
    /// # Errors
    /// What is missing or wrong, and what to do.
    pub fn get(&self, name: &str) -> Result<Secret, String> {
        let Some(folder) = &self.0 else {
            return Err(format!(
                "the secret `{name}` is asked for, and this host has none: name their folder, GRISTMILL_SECRETS"
            ));
        };
        let path = folder.join(name);
        let shown = path.display();
        let bytes =
            std::fs::read(&path).map_err(|error| format!("the secret {shown} cannot be read: {error}"))?;
        Secret::new(&bytes).map_err(|what| format!("the secret {shown}: {what}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(secret: &Secret, algorithm: Algorithm, value: &[u8]) -> String {
        let mut out = Vec::new();
        secret.keyed(algorithm).unwrap().append(&mut out, value);
        out.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The cases of RFC 2202 and RFC 4231 whose keys are long enough.
    #[test]
    fn digests_are_those_of_the_standards() {
        let key = Secret::new(&[0x0b; 16]).unwrap();
        assert_eq!(digest(&key, Algorithm::Md5, b"Hi There"), "9294727a3638bb1c13f48ef8158bfc9d");
        let key = Secret::new(&[0x0b; 20]).unwrap();
        assert_eq!(digest(&key, Algorithm::Sha1, b"Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00");
        assert_eq!(
            digest(&key, Algorithm::Sha256, b"Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        // Longer than a block.
        let key = Secret::new(&[0xaa; 131]).unwrap();
        assert_eq!(
            digest(&key, Algorithm::Sha256, b"Test Using Larger Than Block-Size Key - Hash Key First"),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn what_is_no_secret_is_told_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::of(Some(folder.path().to_owned()));
        std::fs::write(folder.path().join("short"), "123456789012345\n").unwrap();
        std::fs::write(folder.path().join("right"), "1234567890123456\r\n").unwrap();
        let error = secrets.get("short").unwrap_err();
        assert!(error.contains("short: it has 15 bytes") && !error.contains("1234"), "{error}");
        assert!(secrets.get("none").unwrap_err().contains("none cannot be read"));
        assert!(Secrets::default().get("x").unwrap_err().contains("GRISTMILL_SECRETS"));
        let right = secrets.get("right").unwrap();
        assert_eq!(format!("{right:?}"), "Secret");
        let same = Secret::new(b"1234567890123456").unwrap();
        assert_eq!(digest(&right, Algorithm::Sha256, b"x"), digest(&same, Algorithm::Sha256, b"x"));
    }
}
