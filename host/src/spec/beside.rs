//! The files that a spec names.

use std::collections::BTreeMap;
use std::path::Path;

/// Where the files are that a spec names.
pub(super) enum Beside<'a> {
    /// In the folder of the spec's file.
    Folder(&'a Path),
    /// They came with the spec: their texts, by the names that stand in it.
    Given(&'a BTreeMap<String, String>),
}

impl Beside<'_> {
    /// The folder, if there is one.
    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Beside::Folder(folder) => Some(folder),
            Beside::Given(_) => None,
        }
    }

    /// What errors call a file, and its text.
    pub(super) fn read(&self, file: &str) -> Result<(String, String), String> {
        match self {
            Beside::Folder(folder) => {
                let path = folder.join(file);
                let shown = path.display().to_string();
                match std::fs::read_to_string(path) {
                    Ok(text) => Ok((shown, text)),
                    Err(error) => Err(format!("{shown} cannot be read: {error}")),
                }
            }
            Beside::Given(files) => match files.get(file) {
                Some(text) => Ok((file.to_owned(), text.clone())),
                None => Err(format!("{file} did not come with the spec")),
            },
        }
    }
}
