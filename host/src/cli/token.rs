//! `gristmill token create|list|revoke`: who may use the HTTP interface. Works on the store itself: that is how the first
//! admin is made.

use super::show::{self, instant};
use crate::access::{Grant, Role};
use crate::config::Settings;
use crate::control::auth::{Actor, Entry, Outcome, Wanted, audit, issue, line};
use crate::lane::now_ms;
use crate::store::{Store, Token};
use anyhow::bail;
use serde_json::{Value, json};

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Makes a token and prints it on stdout: this once, it is kept nowhere
    #[command(group(clap::ArgGroup::new("grant").required(true)))]
    Create {
        /// Whose it is, or what for
        name: String,
        /// What it is good for: each role may do what the ones before may
        #[arg(long, group = "grant", value_parser = role, value_name = "viewer|operator|author|admin")]
        role: Option<Role>,
        /// Only for sending records to these topics
        #[arg(long, group = "grant", num_args = 1.., value_name = "TOPIC")]
        ingest: Vec<String>,
        /// After how many days it expires; never, unless said
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
    },
    /// Lists the tokens, also those that are revoked; not the secrets, which nobody has
    List {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Revokes a token: a few seconds later no host takes it
    Revoke {
        /// Its number
        id: i64,
    },
}

fn role(name: &str) -> Result<Role, String> {
    Role::of_name(name).ok_or_else(|| "the roles are viewer, operator, author and admin".to_owned())
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let store = settings.open_store().await?.0;
    match command {
        Command::Create { name, role, ingest, expires } => {
            let grant = role.map_or(Grant::Ingest(ingest), Grant::Role);
            let by = Actor::local().name().to_owned();
            let wanted = Wanted { name, grant, expires_days: expires, by };
            let (token, secret) = issue(&*store, wanted).await?;
            note(&*store, "token.create", &token.given.name).await;
            // The token alone on stdout: for a file, or a variable.
            eprintln!(
                "token {} `{}` has {}{}; keep it now, it is not shown again:",
                token.id,
                token.given.name,
                token.given.grant,
                token.given.expires_ms.map_or(String::new(), |ms| format!(" until {}", instant(Some(ms)))),
            );
            println!("{}", secret.reveal());
            Ok(())
        }
        Command::List { json } => list(&store.tokens().await?, json),
        Command::Revoke { id } => match store.revoke_token(id, Actor::local().name(), now_ms()).await? {
            Some(name) => {
                note(&*store, "token.revoke", &name).await;
                println!("token {id} `{name}` is revoked; hosts take it for a few seconds more");
                Ok(())
            }
            None => bail!("there is no token {id}"),
        },
    }
}

/// Leaves a line in the trail; what was done is done also without it.
async fn note(store: &dyn Store, action: &str, target: &str) {
    let actor = Actor::local();
    audit(&Entry { actor: &actor, action, target, outcome: Outcome::Done });
    if let Err(error) = store.audit(&line(&actor, action, target)).await {
        tracing::error!(%error, action, target, "the audit trail has no line of this");
    }
}

fn list(tokens: &[Token], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let tokens: Vec<Value> = tokens.iter().map(token_json).collect();
        println!("{}", serde_json::to_string_pretty(&tokens)?);
        return Ok(());
    }
    let mut table = show::table(&["id", "name", "what for", "made", "by", "expires", "revoked"]);
    for token in tokens {
        table.add_row([
            token.id.to_string(),
            token.given.name.clone(),
            token.given.grant.to_string(),
            instant(Some(token.given.created_ms)),
            token.given.created_by.clone(),
            instant(token.given.expires_ms),
            instant(token.revoked_ms),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn token_json(token: &Token) -> Value {
    let (kind, what) = match &token.given.grant {
        Grant::Role(role) => ("role", json!(role)),
        Grant::Ingest(topics) => ("ingest", json!(topics)),
    };
    json!({
        "id": token.id, "name": token.given.name, kind: what, "created_ms": token.given.created_ms,
        "created_by": token.given.created_by, "expires_ms": token.given.expires_ms,
        "revoked_ms": token.revoked_ms, "revoked_by": token.revoked_by,
    })
}
