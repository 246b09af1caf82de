//! `gristmill dead-letter list|show|replay|drop`.

use super::show;
use crate::config::Settings;
use crate::lane::now_ms;
use crate::store::DeadLetterQuery;
use anyhow::bail;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Lists dead letters, newest first
    List {
        /// Only those of this pipeline
        #[arg(long)]
        pipeline: Option<String>,
        /// Only those with this code
        #[arg(long)]
        code: Option<String>,
        /// At most so many
        #[arg(short = 'n', long, default_value_t = 50)]
        limit: u32,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Shows one, with its record
    Show {
        /// Its number
        id: i64,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Puts dead letters back: their records are tried again at once
    Replay {
        /// Their numbers
        #[arg(required = true)]
        ids: Vec<i64>,
    },
    /// Drops dead letters for good
    Drop {
        /// Their numbers
        #[arg(required = true)]
        ids: Vec<i64>,
    },
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let (store, _) = settings.open().await?;
    match command {
        Command::List { pipeline, code, limit, json } => {
            let query = DeadLetterQuery { pipeline, code, before: None, limit };
            show::dead_letters(&store.dead_letters(&query).await?, json)
        }
        Command::Show { id, json } => match store.dead_letter(id).await? {
            Some(letter) => show::dead_letter(&letter, json),
            None => bail!("there is no dead letter {id}"),
        },
        Command::Replay { ids } => {
            for id in ids {
                if !store.replay_dead_letter(id, now_ms()).await? {
                    bail!("there is no dead letter {id}");
                }
                println!("dead letter {id} is to be tried again");
            }
            Ok(())
        }
        Command::Drop { ids } => {
            for id in ids {
                if !store.drop_dead_letter(id).await? {
                    bail!("there is no dead letter {id}");
                }
                println!("dead letter {id} is dropped");
            }
            Ok(())
        }
    }
}
