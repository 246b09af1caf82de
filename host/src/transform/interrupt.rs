//! Ends the call of a guest wherever its code is: the thread that runs it gets a signal, and the signal's handler lets
//! it go on at an instruction that traps.
//!
//! To wasmtime that is a trap like any other: it leaves the guest's frames by what it kept when the call began, and needs
//! nothing of where the guest was. The guest is spent by it, as by every trap. Nothing in its code has to look whether its
//! time is up, so that being stoppable costs a guest nothing.
//!
//! Only the functions of the guest itself are left so. Where a signal meets a thread in the host's code, or in what leads
//! from one to the other, it does nothing, and has to be sent again. A guest that does little but call the host is ended
//! where it comes there or back ([`heed`]); for what the host does without being called see [`stoppable`](super::stoppable).

use anyhow::{Context, bail};
use libc::{c_int, c_void, siginfo_t};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use rustix::thread::Pid;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;
use std::ptr::null;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wasmtime::Store;
use wasmtime::component::Component;
use wasmtime_environ::{CompiledTrap, Trap};

/// Whether calls can be ended so on this system: where a thread is, is kept differently by each.
pub(super) const POSSIBLE: bool =
    cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));

/// A signal that nothing else here asks for, and that does nothing where no handler is.
const SIGNAL: c_int = libc::SIGURG;

/// Where a component's compiled code is.
#[derive(Clone, Debug)]
pub(super) struct Code {
    /// The functions of its modules, without what leads to and from them.
    functions: Range<usize>,
    /// An instruction there that traps.
    trap: usize,
}

impl Code {
    /// Finds it.
    ///
    /// # Errors
    /// Compiled code does not look as this version of wasmtime makes it.
    pub(super) fn of(component: &Component) -> anyhow::Result<Self> {
        let image = component.serialize()?;
        let base = component.image_range().start.addr();
        let found = Code::in_image(&image).context("compiled code of an unknown form")?;
        Ok(Code {
            functions: base + found.functions.start..base + found.functions.end,
            trap: base + found.trap,
        })
    }

    /// The same as offsets in the image, which is an ELF file.
    fn in_image(image: &[u8]) -> anyhow::Result<Self> {
        let file = object::File::parse(image)?;
        let text = file.section_by_name(".text").context("no .text")?;
        let (mut first, mut end) = (u64::MAX, 0);
        let mut others = Vec::new();
        for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            if is_function(symbol.name()?) {
                first = first.min(symbol.address());
                end = end.max(symbol.address() + symbol.size());
            } else {
                others.push(symbol.address());
            }
        }
        let functions = first..end;
        if others.iter().any(|other| functions.contains(other)) {
            bail!("something else is among the functions");
        }
        let traps = file.section_by_name(".wasmtime.traps").context("no traps")?.data()?;
        let mut traps = wasmtime_environ::iterate_traps(traps).context("no traps")?;
        let unreachable = traps.find(|(at, trap)| {
            functions.contains(&u64::from(*at)) && *trap == CompiledTrap::Normal(Trap::UnreachableCodeReached)
        });
        let (trap, _) = unreachable.context("no instruction that traps")?;
        let (text, _) = text.file_range().context("no .text")?;
        let at = |offset: u64| usize::try_from(text + offset).context("no such address");
        Ok(Code { functions: at(functions.start)?..at(functions.end)?, trap: at(trap.into())? })
    }
}

/// Whether a symbol is that of a module's function.
fn is_function(symbol: &str) -> bool {
    let of_module = symbol.strip_prefix("wasm[").and_then(|rest| rest.split_once(']'));
    of_module.is_some_and(|(_, rest)| rest.starts_with("::function["))
}

/// What a call is ended by.
pub(super) struct Stop {
    code: Code,
    /// Whether it is to end.
    wanted: AtomicBool,
}

impl Stop {
    pub(super) fn of(code: Code) -> Self {
        Stop { code, wanted: AtomicBool::new(false) }
    }

    /// One that meets no guest.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Stop::of(Code { functions: 0..0, trap: 0 })
    }

    /// Ends the call, if this meets it in the guest's code. To be repeated until it has ended.
    ///
    /// `thread` is the one of this process that runs the call, and may not end meanwhile.
    pub(super) fn want(&self, thread: Pid) {
        self.wanted.store(true, Ordering::SeqCst);
        let process = rustix::process::getpid().as_raw_nonzero().get();
        #[allow(unsafe_code, reason = "a system call without a safe name")]
        // SAFETY: it reads and writes no memory. The signal's handler was installed before any call began.
        unsafe {
            libc::tgkill(process, thread.as_raw_nonzero().get(), SIGNAL);
        }
    }

    /// Whether the call is to end.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Whether the call that has ended was to end; the next one is not.
    pub(super) fn take(&self) -> bool {
        self.wanted.swap(false, Ordering::SeqCst)
    }
}

/// Has the calls of a store's guests, which are to end, do so where they come to the host or back, too.
pub(super) fn heed<T>(store: &mut Store<T>, stop: Arc<Stop>) {
    store.call_hook(move |_, _| if stop.is_wanted() { Err(Trap::Interrupt.into()) } else { Ok(()) });
}

thread_local! {
    /// What ends the call that this thread runs; null if it runs none.
    static RUNNING: Cell<*const Stop> = const { Cell::new(null()) };
}

/// From here on, until it is dropped, calls of this thread can be ended by a stop.
pub(super) struct Stoppable<'a>(PhantomData<&'a Stop>);

impl<'a> Stoppable<'a> {
    pub(super) fn by(stop: &'a Stop) -> Self {
        RUNNING.set(stop);
        Stoppable(PhantomData)
    }
}

impl Drop for Stoppable<'_> {
    fn drop(&mut self) {
        RUNNING.set(null());
    }
}

/// Installs the signal's handler: once in a process, before calls.
///
/// # Errors
/// What the system says.
pub(super) fn install() -> std::io::Result<()> {
    #[allow(unsafe_code, reason = "a signal handler that looks where the thread was")]
    // SAFETY: the handler does nothing that a handler may not do: it reads a thread-local that is made without being
    // initialised and dropped, an atomic, and what the system has put on its stack. Zeros are a valid `sigaction`.
    let installed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = (on_signal as *const ()).expose_provenance();
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigaction(SIGNAL, &raw const action, std::ptr::null_mut())
    };
    if installed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

extern "C" fn on_signal(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    let Ok(running) = RUNNING.try_with(Cell::get) else { return };
    #[allow(unsafe_code, reason = "the signal handler")]
    // SAFETY: what is running is borrowed by the `Stoppable` that has put it there and takes it away. The system gives a
    // handler with SA_SIGINFO its context. The thread is let go on somewhere else only if it was in a function of the
    // guest whose call is to end: no frame of Rust code lies above that one, and all those of the guest are left by the
    // trap, for which wasmtime was ready before the first of its functions began.
    unsafe {
        let Some(stop) = running.as_ref() else { return };
        let Some(context) = context.cast::<libc::ucontext_t>().as_mut() else { return };
        let Some(at) = program_counter(context) else { return };
        let here = usize::try_from(*at).is_ok_and(|here| stop.code.functions.contains(&here));
        if here
            && stop.is_wanted()
            && let Ok(trap) = stop.code.trap.try_into()
        {
            *at = trap;
        }
    }
}

/// Where the thread was, and goes on.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn program_counter(context: &mut libc::ucontext_t) -> Option<&mut libc::greg_t> {
    context.uc_mcontext.gregs.get_mut(usize::try_from(libc::REG_RIP).ok()?)
}

#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
fn program_counter(context: &mut libc::ucontext_t) -> Option<&mut libc::c_ulonglong> {
    Some(&mut context.uc_mcontext.pc)
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
fn program_counter(_: &mut libc::ucontext_t) -> Option<&mut u64> {
    None
}
