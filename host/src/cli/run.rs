//! `gristmill run [SPEC…]`.

use super::{SpecPath, read_spec};
use crate::config::Settings;
use crate::control::IngestLimits;
use crate::host::{Host, Orders};
use crate::telemetry;
use anyhow::Context;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Pipeline specs: these pipelines alone, as they stand there, until the host ends; without any, the pipelines of
    /// the catalog (`gristmill pipeline apply`), whichever there are at a moment
    #[arg(value_name = "SPEC")]
    specs: Vec<SpecPath>,
    /// The pipelines of the catalog besides those of specs
    #[arg(long)]
    catalog: bool,
}

pub(super) async fn run(settings: &Settings, arguments: Arguments) -> anyhow::Result<()> {
    let specs = arguments.specs.iter().map(|path| read_spec(path)).collect::<Result<Vec<_>, _>>()?;
    let address = settings.listen_address()?;
    let metrics = telemetry::install_metrics()?;
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("GRISTMILL_LISTEN: {address}"))?;
    let catalog = arguments.catalog || specs.is_empty();
    let host = Host::open(settings, Orders { specs, catalog }).await?;
    let state = host.app_state(ingest_limits(settings), metrics);
    let address = listener.local_addr()?;
    host.warn_about_doors(address);
    let mut server = host.serve(listener, state);
    let running = host.start()?;
    tracing::info!(%address, scheme = host.scheme(), store = host.store.kind(), log = host.log.kind(), "gristmill is up");
    let signalled = wait_for_signal();
    tokio::pin!(signalled);
    let mut look = tokio::time::interval(Duration::from_millis(200));
    let mut served = None;
    loop {
        tokio::select! {
            signal = &mut signalled => {
                signal?;
                tracing::info!("told to stop: finishing what was read");
                break;
            }
            ended = &mut server => { served = Some(ended); break }
            _ = look.tick() => if running.ended() { break },
        }
    }
    host.stop.cancel();
    let worked = running.join().await;
    let served = match served {
        Some(served) => served,
        None => server.await,
    };
    served.context("the HTTP interface ended by a panic")??;
    worked?;
    tracing::info!("all that was read is finished");
    Ok(())
}

/// The bounds of what comes in over HTTP.
pub(super) fn ingest_limits(settings: &Settings) -> IngestLimits {
    IngestLimits { records_per_s_max: settings.ingest_records_per_second_max, ..IngestLimits::default() }
}

/// Waits for SIGINT or SIGTERM.
pub(super) async fn wait_for_signal() -> anyhow::Result<()> {
    let (mut terminated, mut interrupted) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}
