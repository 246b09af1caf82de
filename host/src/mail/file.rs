//! Mails as files: the embedded set's mail server.

use super::{SendError, Transport, message};
use crate::store::PendingMail;
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The longest part of a Message-ID that a file's name keeps.
const NAME_CHARS_MAX: usize = 150;

/// One `.eml` file per Message-ID: a mail that is sent again overwrites its own file.
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Puts mails into this folder, which is made with the first of them.
    pub fn new(folder: &Path) -> Self {
        Files { folder: folder.to_owned() }
    }
}

#[async_trait]
impl Transport for Files {
    fn kind(&self) -> &'static str {
        "files"
    }

    async fn send(&self, mail: &PendingMail) -> Result<(), SendError> {
        let bytes = message::build(mail)?.formatted();
        let (folder, name) = (self.folder.clone(), file_name(&mail.message_id));
        let writing = tokio::task::spawn_blocking(move || write(&folder, &name, &bytes));
        let written = writing.await.map_err(|e| SendError::passing(e.to_string()))?;
        written.map_err(|e| SendError::passing(format!("{}: {e}", self.folder.display())))
    }
}

/// Writes a file whole or not at all: under another name first, then renamed.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!(".{name}.{}", std::process::id()));
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(unfinished, folder.join(name))
}

/// The file of a Message-ID. Two different ones never share a file, whatever characters they have.
fn file_name(message_id: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '-' | '_');
    if message_id.len() <= NAME_CHARS_MAX && message_id.chars().all(legal) && !message_id.starts_with('.') {
        return format!("{message_id}.eml");
    }
    let kept: String =
        message_id.chars().map(|c| if legal(c) { c } else { '_' }).take(NAME_CHARS_MAX).collect();
    let hash: String = Sha256::digest(message_id).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}~{hash}.eml", kept.trim_start_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::mail;
    use super::*;

    #[tokio::test]
    async fn a_mail_sent_again_is_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(&folder.path().join("mails"));
        for _ in 0..2 {
            files.send(&mail("a.1@gristmill")).await.unwrap();
        }
        files.send(&mail("../a b")).await.unwrap();
        files.send(&mail("../a_b")).await.unwrap();
        let mut names: Vec<String> = std::fs::read_dir(folder.path().join("mails"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(names.last().unwrap(), "a.1@gristmill.eml");
        assert!(names.iter().all(|name| name.ends_with(".eml")), "{names:?}");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_may_pass() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Files::new(&file).send(&mail("a@b")).await.unwrap_err();
        assert!(!error.permanent, "{error}");
    }
}
