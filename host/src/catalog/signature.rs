//! Signatures of modules: Ed25519 over the bytes of the wasm file, detached. A host trusts the keys that lie in a folder
//! of its own; no key comes with a module.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::signature::{ED25519, UnparsedPublicKey};
use std::path::Path;

const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;

/// The keys that a host trusts, by name.
#[derive(Clone, Debug, Default)]
pub struct TrustedKeys(Vec<(String, Vec<u8>)>);

/// Why a signature is no good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It is no Ed25519 signature in base64.
    Malformed,
    /// None of the trusted keys made it over these bytes.
    Untrusted,
}

impl TrustedKeys {
    /// Reads a folder: `NAME.pem` as `openssl pkey -pubout` writes it, or `NAME.pub` with the key's 32 bytes in base64.
    ///
    /// # Errors
    /// The file that is no Ed25519 public key, or the folder that cannot be read.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        use anyhow::{Context, bail};
        let shown = folder.display();
        let mut keys = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(|| format!("trusted keys: {shown}"))? {
            let path = entry?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if !matches!(extension, Some("pem" | "pub")) {
                continue;
            }
            let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
            let Some(key) = public_key(&text) else {
                bail!(
                    "{}: no Ed25519 public key: make one with `openssl pkey -in KEY.pem -pubout`",
                    path.display()
                );
            };
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            keys.push((name, key));
        }
        keys.sort();
        Ok(TrustedKeys(keys))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of the key that made a signature (base64) over some bytes.
    ///
    /// # Errors
    /// [`Bad`].
    pub fn signer(&self, bytes: &[u8], signature: &str) -> Result<String, Bad> {
        let signature = BASE64_STANDARD.decode(signature.trim()).map_err(|_| Bad::Malformed)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(Bad::Malformed);
        }
        let made = |(_, key): &&(String, Vec<u8>)| {
            UnparsedPublicKey::new(&ED25519, key).verify(bytes, &signature).is_ok()
        };
        self.0.iter().find(made).map(|(name, _)| name.clone()).ok_or(Bad::Untrusted)
    }
}

/// A public key from PEM (its DER ends with the key's bytes) or from base64 alone.
fn public_key(text: &str) -> Option<Vec<u8>> {
    const DER_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("-----"));
    let bytes = BASE64_STANDARD.decode(lines.collect::<String>()).ok()?;
    let key = bytes.strip_prefix(&DER_PREFIX).unwrap_or(&bytes);
    (key.len() == KEY_BYTES).then(|| key.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    #[test]
    fn a_signature_holds_for_its_bytes_and_a_trusted_key_only() {
        let pair = || {
            let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()
        };
        let (ours, theirs) = (pair(), pair());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ci.pub"), BASE64_STANDARD.encode(ours.public_key())).unwrap();
        std::fs::write(folder.path().join("README"), "not a key").unwrap();
        let keys = TrustedKeys::read(folder.path()).unwrap();
        let sign = |pair: &Ed25519KeyPair, bytes: &[u8]| BASE64_STANDARD.encode(pair.sign(bytes));
        assert_eq!(keys.signer(b"code", &sign(&ours, b"code")), Ok("ci".to_owned()));
        assert_eq!(keys.signer(b"code!", &sign(&ours, b"code")), Err(Bad::Untrusted));
        assert_eq!(keys.signer(b"code", &sign(&theirs, b"code")), Err(Bad::Untrusted));
        assert_eq!(keys.signer(b"code", "AAAA"), Err(Bad::Malformed));
        std::fs::write(folder.path().join("bad.pem"), "-----BEGIN-----\nAAAA\n").unwrap();
        assert!(TrustedKeys::read(folder.path()).is_err());
    }

    #[test]
    fn keys_as_openssl_writes_them() {
        let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(public_key(pem).unwrap().len(), KEY_BYTES);
        assert_eq!(public_key("QUJD"), None);
    }
}
