//! `gristmill audit`: who did what, newest first. Works on the store itself.

use super::show;
use crate::config::Settings;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// At most so many lines
    #[arg(short, long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    number: u32,
    /// Only lines before this one: the number of the last line of the page before
    #[arg(long, value_name = "ID")]
    before: Option<i64>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(settings: &Settings, arguments: Arguments) -> anyhow::Result<()> {
    let store = settings.open_store().await?.0;
    let lines = store.audit_trail(arguments.before, arguments.number).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
        return Ok(());
    }
    let mut table = show::table(&["id", "when", "who", "what", "to what", "more"]);
    for line in &lines {
        table.add_row([
            line.id.to_string(),
            show::instant(Some(line.at_ms)),
            line.actor.clone(),
            line.action.clone(),
            line.target.clone(),
            if line.detail.is_null() { String::new() } else { line.detail.to_string() },
        ]);
    }
    println!("{table}");
    Ok(())
}
