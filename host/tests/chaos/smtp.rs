//! An SMTP server that takes mail, answers 4xx or 5xx, or hangs, and remembers what it took.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Takes,
    /// 451 to each mail.
    Later,
    /// 550 to each mail.
    Never,
    /// No answer to a mail, which is not taken.
    Hangs,
    /// No answer to a mail, which is taken: it will come again.
    TakesAndHangs,
}

/// What became of mails, by Message-ID.
#[derive(Default)]
pub struct Taken {
    /// How often it was taken, and what it said.
    pub taken: BTreeMap<String, (u64, String)>,
    /// Answered 5xx.
    pub refused: BTreeSet<String>,
    /// Came again with another content: must not be.
    pub changed: Vec<String>,
    pub put_off: u64,
    pub hung: u64,
}

pub struct SmtpServer {
    pub port: u16,
    mood: Arc<Mutex<Mood>>,
    pub state: Arc<Mutex<Taken>>,
}

impl SmtpServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mood, state) = (Arc::new(Mutex::new(Mood::Takes)), Arc::new(Mutex::new(Taken::default())));
        let (mood_too, state_too) = (mood.clone(), state.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (mood, state) = (mood_too.clone(), state_too.clone());
                std::thread::spawn(move || drop(serve(stream, &mood, &state)));
            }
        });
        SmtpServer { port, mood, state }
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }
}

fn serve(stream: TcpStream, mood: &Mutex<Mood>, state: &Mutex<Taken>) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    out.write_all(b"220 chaos ESMTP\r\n")?;
    while let Some(line) = lines.next() {
        let word = line?.chars().take(4).collect::<String>().to_uppercase();
        let answer: &[u8] = match word.as_str() {
            "EHLO" | "HELO" => b"250 chaos\r\n",
            "DATA" => {
                out.write_all(b"354 go on\r\n")?;
                let mut text = Vec::new();
                loop {
                    // A mail whose sender is gone in the middle of it was never taken.
                    let Some(line) = lines.next() else { return Ok(()) };
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    text.push(line);
                }
                let now = *mood.lock();
                match answer_to(&text, now, state) {
                    Some(answer) => answer,
                    None => {
                        // Until the server is itself again; then the connection goes.
                        while matches!(*mood.lock(), Mood::Hangs | Mood::TakesAndHangs) {
                            std::thread::sleep(Duration::from_millis(50));
                        }
                        return Ok(());
                    }
                }
            }
            "QUIT" => {
                out.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        out.write_all(answer)?;
    }
    Ok(())
}

fn answer_to(lines: &[String], mood: Mood, state: &Mutex<Taken>) -> Option<&'static [u8]> {
    let id = lines.iter().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap_or("none");
    let id = id.trim().trim_matches(['<', '>']).to_owned();
    // The date is the day's; everything else must be the same each time.
    let said: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| !line.starts_with("Date:")).collect();
    let said = said.join("\n");
    let mut state = state.lock();
    match mood {
        Mood::Later => {
            state.put_off += 1;
            return Some(b"451 later\r\n");
        }
        Mood::Never => {
            state.refused.insert(id);
            return Some(b"550 never\r\n");
        }
        Mood::Hangs => {
            state.hung += 1;
            return None;
        }
        Mood::Takes | Mood::TakesAndHangs => {}
    }
    let entry = state.taken.entry(id.clone()).or_insert_with(|| (0, said.clone()));
    entry.0 += 1;
    if entry.1 != said {
        state.changed.push(id);
    }
    if mood == Mood::TakesAndHangs {
        state.hung += 1;
        return None;
    }
    Some(b"250 taken\r\n")
}
