//! Tokens are made here, for the command line and for `POST /v1/tokens` alike.

use super::secret::{NoRandomness, Secret};
use crate::access::Grant;
use crate::lane::now_ms;
use crate::store::{self, NewToken, Token, Tokens};
use crate::topic_name;

/// Characters of a token's name.
const NAME_CHARS_MAX: usize = 64;
/// Topics of one token.
const TOPICS_MAX: usize = 100;
/// Tokens that hold at a time: each request is compared with all of them.
const LIVE_MAX: usize = 1_000;
/// Days after which a token may expire at the latest: ten years.
const DAYS_MAX: u32 = 3_650;
const DAY_MS: i64 = 86_400_000;
/// Names that stand for somebody without a token.
pub(super) const RESERVED: [&str; 2] = [super::ANONYMOUS, super::LOCAL];

/// A token that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Whose it is, or what for.
    pub name: String,
    /// What it is good for.
    pub grant: Grant,
    /// After how many days it expires.
    pub expires_days: Option<u32>,
    /// Who asks.
    pub by: String,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It makes no sense as it was asked for.
    #[error("{0}")]
    Wrong(String),
    /// Another one has the name.
    #[error("there is a token called `{0}`: revoke it first, or choose another name")]
    Taken(String),
    /// There are too many.
    #[error("there are {LIVE_MAX} tokens already: revoke some first")]
    TooMany,
    /// The system gives no random numbers.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Makes a token and keeps its digest. The secret is nowhere but in the answer.
///
/// # Errors
/// [`Error`].
pub async fn issue<T: Tokens + ?Sized>(store: &T, wanted: Wanted) -> Result<(Token, Secret), Error> {
    check(&wanted)?;
    let created_ms = now_ms();
    if store.live_tokens(created_ms).await?.tokens.len() >= LIVE_MAX {
        return Err(Error::TooMany);
    }
    let secret = Secret::random()?;
    let expires_ms = wanted.expires_days.map(|days| created_ms.saturating_add(i64::from(days) * DAY_MS));
    let Wanted { name, grant, by: created_by, .. } = wanted;
    let given = NewToken { name, digest: secret.digest(), grant, created_ms, created_by, expires_ms };
    match store.add_token(&given).await? {
        Some(id) => Ok((Token { id, given, revoked_ms: None, revoked_by: None }, secret)),
        None => Err(Error::Taken(given.name)),
    }
}

fn check(wanted: &Wanted) -> Result<(), Error> {
    let wrong = |message: String| Err(Error::Wrong(message));
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '/' | ':');
    let name = &wanted.name;
    if !(1..=NAME_CHARS_MAX).contains(&name.len()) || !name.chars().all(legal) {
        return wrong(format!(
            "a token's name has 1 to {NAME_CHARS_MAX} letters, digits, `.`, `_`, `-`, `@`, `/` or `:`"
        ));
    }
    if name.starts_with("gm_") {
        // A secret where a name should be would be kept as it is.
        return wrong(
            "a token's name does not begin with `gm_`: that is what tokens themselves do".to_owned(),
        );
    }
    if RESERVED.contains(&name.as_str()) {
        return wrong(format!("no token is called `{name}`: that stands for somebody without one"));
    }
    if wanted.expires_days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
        return wrong(format!("a token expires after 1 to {DAYS_MAX} days"));
    }
    if let Grant::Ingest(topics) = &wanted.grant {
        if !(1..=TOPICS_MAX).contains(&topics.len()) {
            return wrong(format!("an ingest token is for 1 to {TOPICS_MAX} topics"));
        }
        // Kafka's own topics begin with two underscores.
        if let Some(topic) =
            topics.iter().find(|topic| !topic_name::is_legal(topic) || topic.starts_with("__"))
        {
            let shown: String = topic.chars().take(100).collect();
            return wrong(format!("`{}` is no topic's name", shown.escape_debug()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

    fn checked(name: &str, grant: Grant, expires_days: Option<u32>) -> Option<String> {
        let wanted = Wanted { name: name.to_owned(), grant, expires_days, by: "test".to_owned() };
        check(&wanted).err().map(|error| error.to_string())
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let viewer = || Grant::Role(Role::Viewer);
        let ingest = |topics: &[&str]| Grant::Ingest(topics.iter().map(|&topic| topic.to_owned()).collect());
        assert_eq!(checked("ada@mill", viewer(), Some(30)), None);
        assert_eq!(checked("ci/deploy", ingest(&["orders", "a.b-c_d"]), None), None);
        for (name, grant, days, part) in [
            ("", viewer(), None, "1 to 64"),
            ("a b", viewer(), None, "letters"),
            ("a\nb", viewer(), None, "letters"),
            ("gm_secret", viewer(), None, "gm_"),
            ("anonymous", viewer(), None, "without one"),
            ("local", viewer(), None, "without one"),
            ("a", viewer(), Some(0), "1 to 3650 days"),
            ("a", viewer(), Some(4_000), "1 to 3650 days"),
            ("a", ingest(&[]), None, "1 to 100 topics"),
            ("a", ingest(&["a b"]), None, "no topic"),
            ("a", ingest(&["__consumer_offsets"]), None, "no topic"),
        ] {
            let said = checked(name, grant, days).unwrap_or_default();
            assert!(said.contains(part), "{name:?}: {said}");
        }
    }
}
