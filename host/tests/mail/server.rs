//! A small SMTP server that does what a test tells it to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Takes it.
    Accept,
    /// Answers this after the mail's text.
    Answer(&'static str),
    /// Answers this to the recipients.
    Recipient(&'static str),
    /// Takes it and never says so.
    Hang,
    /// Takes it and closes the connection instead of saying so.
    Close,
    /// Takes it and says so after this many milliseconds.
    Late(u64),
}

/// What the server saw.
#[derive(Default)]
pub struct Seen {
    /// What to do with the next mails; the last one holds for all after.
    pub plan: Mutex<VecDeque<Act>>,
    /// The mails that it has taken, whether or not it said so.
    pub mails: Mutex<Vec<String>>,
    pub connections: Mutex<usize>,
}

impl Seen {
    fn act(&self) -> Act {
        let mut plan = self.plan.lock().unwrap();
        if plan.len() > 1 { plan.pop_front().unwrap() } else { plan.front().copied().unwrap_or(Act::Accept) }
    }

    /// The Message-IDs of the mails that it has taken.
    pub fn message_ids(&self) -> Vec<String> {
        let id = |mail: &String| {
            mail.lines().find_map(|line| line.strip_prefix("Message-ID: ").map(str::to_owned))
        };
        self.mails.lock().unwrap().iter().filter_map(id).collect()
    }
}

/// Starts a server; answers its address and what it will have seen.
pub async fn start(plan: &[Act]) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen { plan: Mutex::new(plan.iter().copied().collect()), ..Seen::default() });
    let of_server = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            *of_server.connections.lock().unwrap() += 1;
            tokio::spawn(converse(stream, of_server.clone()));
        }
    });
    (address, seen)
}

async fn converse(stream: TcpStream, seen: Arc<Seen>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 test\r\n").await?;
    let mut act = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = match line.get(..4).unwrap_or("").to_ascii_uppercase().as_str() {
            "MAIL" => {
                act = Some(seen.act());
                "250 ok".to_owned()
            }
            "RCPT" => match act {
                Some(Act::Recipient(answer)) => answer.to_owned(),
                _ => "250 ok".to_owned(),
            },
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mail = text(&mut stream).await?;
                let act = act.unwrap_or(Act::Accept);
                if !matches!(act, Act::Answer(_)) {
                    seen.mails.lock().unwrap().push(mail);
                }
                match act {
                    Act::Answer(answer) => answer.to_owned(),
                    Act::Close => return Ok(()),
                    Act::Hang => std::future::pending().await,
                    Act::Late(ms) => {
                        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
                        "250 late".to_owned()
                    }
                    _ => "250 taken".to_owned(),
                }
            }
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

async fn text(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut mail = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(mail);
        }
        mail.push_str(&line);
    }
}
