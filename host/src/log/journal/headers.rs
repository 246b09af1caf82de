//! A record's headers as one byte string: for each its name and its value, with their lengths before them (4 bytes,
//! little-endian; `u32::MAX` for a value that is absent).

/// Headers, as records carry them.
pub(super) type Headers = Vec<(String, Option<Vec<u8>>)>;

const ABSENT: u32 = u32::MAX;

/// Writes headers; `None` if there are none.
pub(super) fn encode<'a>(headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (name, value) in headers {
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&value.map_or(ABSENT, |value| value.len() as u32).to_le_bytes());
        out.extend_from_slice(value.unwrap_or(&[]));
    }
    (!out.is_empty()).then_some(out)
}

/// Reads headers one by one; ends early where the bytes are damaged.
pub(super) fn decode(bytes: &[u8]) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = number(&mut rest)?;
        let name = std::str::from_utf8(take(&mut rest, length)?).ok()?;
        let value = match number(&mut rest)? {
            ABSENT => None,
            length => Some(take(&mut rest, length)?),
        };
        Some((name, value))
    })
}

/// Reads headers into a list of their own.
pub(super) fn owned(bytes: Option<&[u8]>) -> Headers {
    decode(bytes.unwrap_or(&[])).map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect()
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    take(rest, 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn take<'a>(rest: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length as usize)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_come_back_as_they_were(headers: Headers) {
            let bytes = encode(headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())));
            prop_assert_eq!(owned(bytes.as_deref()), headers);
        }

        #[test]
        fn damaged_bytes_never_panic(bytes: Vec<u8>) {
            owned(Some(&bytes));
        }
    }
}
