//! `gristmill mail list|retry`: mails that were given up.

use super::show;
use crate::config::Settings;
use anyhow::bail;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Lists the mails that were given up, newest first, each with what its last attempt met with
    List {
        /// Only those of this pipeline
        #[arg(long)]
        pipeline: Option<String>,
        /// At most so many
        #[arg(short = 'n', long, default_value_t = 50)]
        limit: u32,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Puts mails that were given up back: they are sent at once, their attempts counted anew
    Retry {
        /// Their numbers
        #[arg(required = true)]
        ids: Vec<i64>,
    },
}

pub(super) async fn run(settings: &Settings, command: Command) -> anyhow::Result<()> {
    let (store, _) = settings.open().await?;
    match command {
        Command::List { pipeline, limit, json } => {
            show::failed_mails(&store.failed_mails(pipeline.as_deref(), limit).await?, json)
        }
        Command::Retry { ids } => {
            for id in ids {
                if !store.retry_mail(id).await? {
                    bail!("there is no mail {id} that was given up");
                }
                println!("mail {id} is to be sent again");
            }
            Ok(())
        }
    }
}
