//! A WASI 0.2 that grants nothing, for guests whose tool chain imports it: no files, sockets, environment or
//! arguments; a clock that stands still and numbers that are not random, so that a guest stays a function of its
//! batch (DESIGN.md D6); waiting is refused, because no time limit reaches a blocked host call. What the guest
//! prints goes to its log.

use super::state::GuestState;
use parking_lot::Mutex;
use std::sync::Arc;
use wasmtime::bail;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::Deterministic;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView, async_trait};

/// Bytes of what a guest prints in one call that are kept; the rest is dropped.
const PRINT_BYTES_MAX: usize = 64 << 10;

/// A guest's view of WASI.
pub(super) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
    printed: Printed,
}

impl Wasi {
    pub(super) fn new() -> Self {
        let printed = Printed::default();
        let context = WasiCtx::builder()
            .stdout(printed.clone())
            .stderr(printed.clone())
            .wall_clock(StoppedClock)
            .monotonic_clock(StoppedClock)
            .secure_random(Deterministic::new(vec![0]))
            .insecure_random(Deterministic::new(vec![0]))
            .insecure_random_seed(0)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Wasi { context, table: ResourceTable::new(), printed }
    }

    /// What was printed since this was asked last.
    pub(super) fn take_printed(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.printed.0.lock())).into_owned()
    }
}

/// What a guest prints to stdout and stderr.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<u8>>>);

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        let mut printed = self.0.lock();
        let room = PRINT_BYTES_MAX.saturating_sub(printed.len());
        printed.extend(bytes.iter().take(room));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PRINT_BYTES_MAX)
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new()));
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}

struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> std::time::Duration {
        std::time::Duration::from_secs(1)
    }

    fn now(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> anyhow::Result<()> {
    wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    linker.allow_shadowing(true);
    let mut poll = linker.instance("wasi:io/poll@0.2.12")?;
    for function in ["poll", "[method]pollable.block"] {
        poll.func_new(function, |_, _, _, _| bail!("a transform may not wait"))?;
    }
    linker.allow_shadowing(false);
    Ok(())
}
