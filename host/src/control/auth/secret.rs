//! The token itself: 256 random bits behind a prefix that is recognised in logs and by scanners of repositories.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use std::fmt;

/// What every token begins with.
const PREFIX: &str = "gm_";

/// A token, for the moment between its making and its handing over. It cannot be printed by accident.
pub struct Secret(String);

/// The system gives no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random numbers: no token was made")]
pub struct NoRandomness;

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Secret(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// What is kept of it.
    pub fn digest(&self) -> [u8; 32] {
        digest(&self.0)
    }

    /// The token, to be handed over once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// SHA-256 of a token. No salt and no slow hash: 256 random bits cannot be guessed, however fast guesses are checked.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_recognisable_differ_and_do_not_print() {
        let (one, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert!(one.reveal().starts_with("gm_") && one.reveal().len() == 46);
        assert_ne!(one.reveal(), other.reveal());
        assert_ne!(one.digest(), other.digest());
        assert_eq!(format!("{one:?}"), "Secret(…)");
    }
}
