//! `gristmill-bench host`: what `gristmill run` does, with native stages if asked for.

use crate::native;
use anyhow::Context;
use gristmill::config::Settings;
use gristmill::control::IngestLimits;
use gristmill::host::Host;
use gristmill::spec::Spec;
use gristmill::telemetry;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The pipelines' specs
    #[arg(required = true)]
    specs: Vec<PathBuf>,
    /// Work the stages natively, without the sandbox
    #[arg(long)]
    natively: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let settings = arguments.settings.complete()?;
    let mut specs = Vec::with_capacity(arguments.specs.len());
    for spec in &arguments.specs {
        specs.push(Arc::new(Spec::read(spec)?));
    }
    let metrics = telemetry::install_metrics()?;
    let listener = TcpListener::bind(settings.listen_address()?).await.context("the HTTP interface")?;
    let host = if arguments.natively {
        Host::open_adapted(&settings, specs, native::replace).await?
    } else {
        Host::open(&settings, specs).await?
    };
    let server = host.serve(listener, host.app_state(IngestLimits::default(), metrics));
    let running = host.start()?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut look = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            _ = terminated.recv() => break,
            _ = look.tick() => if running.ended() { break },
        }
    }
    host.stop.cancel();
    running.join().await?;
    server.await??;
    Ok(())
}
