//! Digests of many values in one call: by the host in the sandbox, in software natively. The same bytes.
//!
//! A row's cell that is a digest is best a [`Hex`]: the values of its column are gathered and leave the sandbox together.

#[cfg(target_family = "wasm")]
use crate::bindings::gristmill::transform::hashing as host;
use crate::bindings::gristmill::transform::types::{Blobs, PackedTexts};
use crate::packed::{Packed, no_blobs, push_blob};
use crate::plan::Kind;
use crate::rows::{Cell, Place};

/// How to hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// 16 bytes.
    Md5,
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

impl Algorithm {
    /// How many bytes a digest has.
    pub const fn width(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// Values to be hashed together. Gather as many as there are: each call leaves the sandbox once.
#[derive(Debug)]
pub struct Values(Blobs);

impl Default for Values {
    fn default() -> Self {
        Self(no_blobs())
    }
}

impl Values {
    /// Adds a value.
    pub fn push(&mut self, value: impl AsRef<[u8]>) {
        push_blob(&mut self.0, value.as_ref());
    }

    /// Forgets the values and keeps their memory.
    pub fn clear(&mut self) {
        self.0.data.clear();
        self.0.ends.clear();
    }
}

/// Digests end to end, in the order of their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digests {
    width: usize,
    data: Vec<u8>,
}

impl Digests {
    /// The digests in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.data.chunks_exact(self.width)
    }

    /// The digest of the value with this index.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let start = index.checked_mul(self.width)?;
        self.data.get(start..start.checked_add(self.width)?)
    }
}

/// A text cell: a value's digest in lower-case hex.
#[derive(Debug, Clone, Copy)]
pub struct Hex<'v> {
    algorithm: Algorithm,
    value: &'v [u8],
}

impl<'v> Hex<'v> {
    /// The digest of these bytes.
    pub fn new(algorithm: Algorithm, value: &'v (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { algorithm, value: value.as_ref() }
    }
}

impl Cell for Hex<'_> {
    const KIND: Kind = Kind::Text;
    #[inline]
    fn write(&self, place: Place<'_>) {
        place.hex_digest(self.algorithm, self.value);
    }
}

/// Values of a column whose digests are still to be made, all by one algorithm: the cells behind those that the column has.
#[derive(Debug)]
pub(crate) struct Waiting {
    algorithm: Algorithm,
    values: Values,
}

/// Bytes of values that wait at most: enough for a call to cost nothing beside them, little beside the batch itself.
const WAITING_BYTES_MAX: usize = 256 << 10;

impl Waiting {
    /// Adds a value behind those that wait. Others than `algorithm`'s, and too many of them, are done first.
    pub fn push(waiting: &mut Option<Self>, algorithm: Algorithm, value: &[u8], cells: &mut PackedTexts) {
        if let Some(before) = waiting
            && (before.algorithm != algorithm || before.values.0.data.len() + value.len() > WAITING_BYTES_MAX)
        {
            before.finish(cells);
            before.algorithm = algorithm;
        }
        waiting.get_or_insert_with(|| Self { algorithm, values: Values::default() }).values.push(value);
    }

    /// Makes the digests, and of them cells.
    pub fn finish(&mut self, cells: &mut PackedTexts) {
        if self.values.0.ends.is_empty() {
            return;
        }
        for digest in digest_many(self.algorithm, &self.values).iter() {
            push_hex(&mut cells.data, digest);
            cells.close();
        }
        self.values.clear();
    }

    /// Forgets what waits behind the first `count`.
    pub fn keep(&mut self, count: usize) {
        self.values.0.keep(count);
    }
}

/// Appends bytes in lower-case hex.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &str = "0123456789abcdef";
    for byte in bytes {
        for digit in [byte >> 4, byte & 15].map(usize::from) {
            text.push_str(DIGITS.get(digit..=digit).unwrap_or_default());
        }
    }
}

/// The digests of all values.
pub fn digest_many(algorithm: Algorithm, values: &Values) -> Digests {
    Digests { width: algorithm.width(), data: digest(algorithm, &values.0) }
}

/// The keyed digests (HMAC) of all values, made with a secret of the host's: whoever reads them cannot find out by trying what
/// they were made of. Natively, [`testing::secret`](crate::testing::secret) says what the secret is.
///
/// # Errors
/// The pipeline's spec lets this stage use no such secret. Ask for no value at all in
/// [`configure`](crate::Transform::configure) to find out.
pub fn keyed_digest_many(secret: &str, algorithm: Algorithm, values: &Values) -> Result<Digests, String> {
    Ok(Digests { width: algorithm.width(), data: keyed(secret, algorithm, &values.0)? })
}

#[cfg(target_family = "wasm")]
impl Algorithm {
    fn to_contract(self) -> host::Algorithm {
        match self {
            Self::Md5 => host::Algorithm::Md5,
            Self::Sha1 => host::Algorithm::Sha1,
            Self::Sha256 => host::Algorithm::Sha256,
        }
    }
}

#[cfg(target_family = "wasm")]
fn digest(algorithm: Algorithm, values: &Blobs) -> Vec<u8> {
    host::digest_many(algorithm.to_contract(), values)
}

#[cfg(target_family = "wasm")]
fn keyed(secret: &str, algorithm: Algorithm, values: &Blobs) -> Result<Vec<u8>, String> {
    host::keyed_digest_many(secret, algorithm.to_contract(), values)
}

#[cfg(not(target_family = "wasm"))]
fn keyed(secret: &str, algorithm: Algorithm, values: &Blobs) -> Result<Vec<u8>, String> {
    use hmac::{Hmac, KeyInit, Mac};
    fn append<M: Mac + KeyInit>(secret: &[u8], value: &[u8], digests: &mut Vec<u8>) -> Result<(), String> {
        let mut keyed = <M as KeyInit>::new_from_slice(secret).map_err(|error| error.to_string())?;
        keyed.update(value);
        digests.extend_from_slice(&keyed.finalize().into_bytes());
        Ok(())
    }
    let secret = crate::testing::known_secret(secret)?;
    let mut digests = Vec::with_capacity(values.ends.len() * algorithm.width());
    for value in (0..values.ends.len()).filter_map(|index| crate::packed::nth(values, index)) {
        match algorithm {
            Algorithm::Md5 => append::<Hmac<md5::Md5>>(&secret, value, &mut digests)?,
            Algorithm::Sha1 => append::<Hmac<sha1::Sha1>>(&secret, value, &mut digests)?,
            Algorithm::Sha256 => append::<Hmac<sha2::Sha256>>(&secret, value, &mut digests)?,
        }
    }
    Ok(digests)
}

#[cfg(not(target_family = "wasm"))]
fn digest(algorithm: Algorithm, values: &Blobs) -> Vec<u8> {
    let mut digests = Vec::with_capacity(values.ends.len() * algorithm.width());
    for value in (0..values.ends.len()).filter_map(|index| crate::packed::nth(values, index)) {
        append(algorithm, value, &mut digests);
    }
    digests
}

#[cfg(all(not(target_family = "wasm"), not(feature = "ring")))]
fn append(algorithm: Algorithm, value: &[u8], digests: &mut Vec<u8>) {
    use md5::Digest as _;
    match algorithm {
        Algorithm::Md5 => digests.extend_from_slice(&md5::Md5::digest(value)),
        Algorithm::Sha1 => digests.extend_from_slice(&sha1::Sha1::digest(value)),
        Algorithm::Sha256 => digests.extend_from_slice(&sha2::Sha256::digest(value)),
    }
}

#[cfg(all(not(target_family = "wasm"), feature = "ring"))]
fn append(algorithm: Algorithm, value: &[u8], digests: &mut Vec<u8>) {
    use md5::Digest as _;
    use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
    match algorithm {
        Algorithm::Md5 => digests.extend_from_slice(&md5::Md5::digest(value)),
        Algorithm::Sha1 => digests.extend_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, value).as_ref()),
        Algorithm::Sha256 => digests.extend_from_slice(digest(&SHA256, value).as_ref()),
    }
}
