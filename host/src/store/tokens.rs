//! Tokens of the HTTP interface: made, listed, revoked. What is kept of one is its digest. The same statements for both
//! databases.

use super::Error;
use super::fault::Fault;
use super::shared::SqlStore;
use super::sql::{Arg, Engine, Row, Sql};
use crate::access::{Grant, Role};
use async_trait::async_trait;

/// A token that is to be kept.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Whose it is, or what for.
    pub name: String,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// What it is good for.
    pub grant: Grant,
    /// When it was made, milliseconds since 1970-01-01 UTC.
    pub created_ms: i64,
    /// Who made it.
    pub created_by: String,
    /// From when on it is good for nothing.
    pub expires_ms: Option<i64>,
}

/// A token as it is kept.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its number.
    pub id: i64,
    /// What was given.
    pub given: NewToken,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// Who revoked it.
    pub revoked_by: Option<String>,
}

/// The tokens that are good for something.
#[derive(Clone, Debug, Default)]
pub struct LiveTokens {
    /// They.
    pub tokens: Vec<Token>,
    /// Whether any token was ever made, also if none of them is good any more.
    pub any_made: bool,
}

/// Keeps tokens.
#[async_trait]
pub trait Tokens: Send + Sync + 'static {
    /// Keeps a token; answers its number, or `None` if one that is not revoked has the same name.
    async fn add_token(&self, token: &NewToken) -> Result<Option<i64>, Error>;

    /// All tokens, oldest first, also those that are revoked.
    async fn tokens(&self) -> Result<Vec<Token>, Error>;

    /// The tokens that are neither revoked nor expired.
    async fn live_tokens(&self, now_ms: i64) -> Result<LiveTokens, Error>;

    /// Revokes a token, once: who was first stays. Answers its name if it is there.
    async fn revoke_token(&self, id: i64, by: &str, now_ms: i64) -> Result<Option<String>, Error>;
}

const COLUMNS: &str =
    "id, name, digest, role, topics, created_ms, created_by, expires_ms, revoked_ms, revoked_by";

fn token(row: &Row) -> Result<Token, Error> {
    let damaged = || Error::Unfit {
        message: format!("token {} in the store is damaged: delete its row and make another", row.int(0)),
    };
    let grant = match (Role::of_name(&row.text(3)), serde_json::from_str(&row.text(4))) {
        (Some(role), Err(_)) => Grant::Role(role),
        (None, Ok(topics)) => Grant::Ingest(topics),
        _ => return Err(damaged()),
    };
    let given = NewToken {
        name: row.text(1),
        digest: row.bytes(2).and_then(|digest| digest.try_into().ok()).ok_or_else(damaged)?,
        grant,
        created_ms: row.int(5),
        created_by: row.text(6),
        expires_ms: row.opt_int(7),
    };
    let revoked_by = row.opt_int(8).map(|_| row.text(9));
    Ok(Token { id: row.int(0), given, revoked_ms: row.opt_int(8), revoked_by })
}

async fn read(sql: &mut dyn Sql, condition: &str, args: &[Arg<'_>]) -> Result<Vec<Token>, Error> {
    let text = format!("SELECT {COLUMNS} FROM gristmill.tokens {condition} ORDER BY id");
    sql.fetch(&text, args).await.map_err(Fault::into_error)?.iter().map(token).collect()
}

async fn add(sql: &mut dyn Sql, token: &NewToken) -> Result<Option<i64>, Error> {
    let (role, topics) = match &token.grant {
        Grant::Role(role) => (Some(role.name()), None),
        Grant::Ingest(topics) => (None, Some(serde_json::json!(topics).to_string())),
    };
    let text = "INSERT INTO gristmill.tokens (name, digest, role, topics, created_ms, created_by, expires_ms) \
                VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING id";
    let args = [
        Arg::from(token.name.as_str()),
        Arg::from(token.digest.as_slice()),
        Arg::Text(role),
        Arg::Text(topics.as_deref()),
        Arg::from(token.created_ms),
        Arg::from(token.created_by.as_str()),
        Arg::Int(token.expires_ms),
    ];
    let rows = sql.fetch(text, &args).await.map_err(Fault::into_error)?;
    Ok(rows.first().map(|row| row.int(0)))
}

async fn live(sql: &mut dyn Sql, now_ms: i64) -> Result<LiveTokens, Error> {
    let condition = "WHERE revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $1)";
    let tokens = read(sql, condition, &[Arg::from(now_ms)]).await?;
    let any_made = !tokens.is_empty() || {
        let text = "SELECT id FROM gristmill.tokens LIMIT 1";
        !sql.fetch(text, &[]).await.map_err(Fault::into_error)?.is_empty()
    };
    Ok(LiveTokens { tokens, any_made })
}

async fn revoke(sql: &mut dyn Sql, id: i64, by: &str, now_ms: i64) -> Result<Option<String>, Error> {
    let text = "UPDATE gristmill.tokens SET revoked_ms = coalesce(revoked_ms, $2), \
                revoked_by = coalesce(revoked_by, $3) WHERE id = $1 RETURNING name";
    let args = [Arg::from(id), Arg::from(now_ms), Arg::from(by)];
    let rows = sql.fetch(text, &args).await.map_err(Fault::into_error)?;
    Ok(rows.first().map(|row| row.text(0)))
}

#[async_trait]
impl<E: Engine> Tokens for SqlStore<E> {
    async fn add_token(&self, token: &NewToken) -> Result<Option<i64>, Error> {
        let token = token.clone();
        self.writing(move |tx| Box::pin(async move { add(tx, &token).await })).await
    }

    async fn tokens(&self) -> Result<Vec<Token>, Error> {
        read(self.reader().await?.as_mut(), "", &[]).await
    }

    async fn live_tokens(&self, now_ms: i64) -> Result<LiveTokens, Error> {
        live(self.reader().await?.as_mut(), now_ms).await
    }

    async fn revoke_token(&self, id: i64, by: &str, now_ms: i64) -> Result<Option<String>, Error> {
        let by = by.to_owned();
        self.writing(move |tx| Box::pin(async move { revoke(tx, id, &by, now_ms).await })).await
    }
}
