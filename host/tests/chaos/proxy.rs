//! A TCP proxy between hosts and one server, whose connections can be cut and made to stand still.

use parking_lot::{Condvar, Mutex};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToHost,
}

/// What stands still.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stall {
    Nothing,
    /// Both ways.
    All,
    /// The server hears everything, and its answers do not arrive: what it did is then not known.
    Answers,
}

struct Shared {
    /// The server's port; 0 before it is known.
    server: AtomicU16,
    open: Mutex<Vec<(TcpStream, TcpStream)>>,
    stall: Mutex<Stall>,
    changed: Condvar,
}

/// The proxy; it lives as long as the process.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server: AtomicU16::new(0),
            open: Mutex::default(),
            stall: Mutex::new(Stall::Nothing),
            changed: Condvar::new(),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Beside each other: a server that is just starting lets some of them wait.
                let shared = accepting.clone();
                std::thread::spawn(move || join(&shared, stream));
            }
        });
        Proxy { port, shared }
    }

    /// Where the server is.
    pub fn lead_to(&self, port: u16) {
        self.shared.server.store(port, Ordering::Relaxed);
    }

    /// Cuts every connection, or every second one; answers how many.
    pub fn cut(&self, every_second: bool) -> usize {
        let open = std::mem::take(&mut *self.shared.open.lock());
        let (mut cut, mut kept) = (0, Vec::new());
        for (place, pair) in open.into_iter().enumerate() {
            if every_second && place % 2 == 0 {
                kept.push(pair);
                continue;
            }
            let _ = pair.0.shutdown(Shutdown::Both);
            let _ = pair.1.shutdown(Shutdown::Both);
            cut += 1;
        }
        self.shared.open.lock().append(&mut kept);
        cut
    }

    pub fn stall(&self, stall: Stall) {
        *self.shared.stall.lock() = stall;
        self.shared.changed.notify_all();
    }
}

fn join(shared: &Arc<Shared>, host: TcpStream) {
    let port = shared.server.load(Ordering::Relaxed);
    // A server that is down refuses: so does the proxy, by closing.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(server) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return };
    let (Ok(host_copy), Ok(server_copy)) = (host.try_clone(), server.try_clone()) else { return };
    let _ = (host.set_nodelay(true), server.set_nodelay(true));
    {
        let mut open = shared.open.lock();
        open.retain(|(host, _)| host.peer_addr().is_ok());
        open.push((host_copy, server_copy));
    }
    let (Ok(host_out), Ok(server_out)) = (host.try_clone(), server.try_clone()) else { return };
    let (there, back) = (shared.clone(), shared.clone());
    std::thread::spawn(move || pump(&there, Way::ToServer, host, server_out));
    std::thread::spawn(move || pump(&back, Way::ToHost, server, host_out));
}

fn pump(shared: &Shared, way: Way, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        {
            let mut stall = shared.stall.lock();
            while *stall == Stall::All || (*stall == Stall::Answers && way == Way::ToHost) {
                shared.changed.wait_for(&mut stall, Duration::from_secs(60));
            }
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
