//! A way to a server that can be cut: what is connected is broken off, and nothing new gets through.

use anyhow::Context;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The way.
pub(crate) struct Proxy {
    address: SocketAddr,
    scheme: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    cut: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Listens for those who want to the server of a URL, `redis://host:port`.
    pub(crate) fn start(url: &str) -> anyhow::Result<Self> {
        let (scheme, server) = url.split_once("://").context("not a URL")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, shared) = (listener.local_addr()?, Arc::new(Shared::default()));
        let (of_thread, server) = (shared.clone(), server.trim_end_matches('/').to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.cut.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&server) else { continue };
                join(&client, &server, &of_thread);
            }
        });
        Ok(Proxy { address, scheme: scheme.to_owned(), shared })
    }

    /// Its own URL.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Cuts the way, or opens it again.
    pub(crate) fn cut(&self, cut: bool) {
        self.shared.cut.store(cut, Ordering::Relaxed);
        if cut && let Ok(mut open) = self.shared.open.lock() {
            open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        }
    }
}

/// Lets bytes go both ways.
fn join(client: &TcpStream, server: &TcpStream, shared: &Shared) {
    for (from, to) in [(client, server), (server, client)] {
        let (Ok(mut from), Ok(mut to), Ok(kept)) = (from.try_clone(), to.try_clone(), from.try_clone())
        else {
            return;
        };
        if let Ok(mut open) = shared.open.lock() {
            open.push(kept);
        }
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}
