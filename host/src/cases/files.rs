//! The files of a set of cases, from a folder or from a bundle that came with a module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// Files of a set of cases.
pub const FILES_MAX: usize = 1_000;
/// Bytes of all files of a set of cases.
pub const BYTES_MAX: usize = 16 << 20;
/// Folders in folders.
const DEPTH_MAX: usize = 8;

/// A set of cases: a folder for each, `NAME/case.toml` and what belongs to it. Nothing is understood yet: what is
/// wrong with a case is told where it is run.
#[derive(Clone, Debug, Default)]
pub struct Cases {
    /// What errors put before the files' paths.
    folder: PathBuf,
    files: BTreeMap<String, Vec<u8>>,
    names: Vec<String>,
}

/// A set of cases that cannot be used at all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that cannot be read or written.
    #[error("{path}: {message}")]
    File {
        /// Where.
        path: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// More than is taken.
    #[error("cases are {FILES_MAX} files and {} MiB at most; these are more", BYTES_MAX >> 20)]
    TooMuch,
    /// There is none.
    #[error("there is no case in {0}: a case is a folder with a case.toml")]
    None(String),
}

impl Cases {
    /// Reads a folder of cases. What begins with a dot is left out.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let mut bytes_left = BYTES_MAX;
        read_folder(folder, "", DEPTH_MAX, &mut bytes_left, &mut files)?;
        Self::of(folder.to_owned(), files)
    }

    /// Cases out of a bundle: their files by path, `NAME/case.toml`.
    ///
    /// # Errors
    /// [`Error`]: it is too large, or a path leads elsewhere.
    pub fn from_bundle(files: BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let bytes = files.values().try_fold(0_usize, |sum, file| sum.checked_add(file.len()));
        if files.len() > FILES_MAX || bytes.is_none_or(|bytes| bytes > BYTES_MAX) {
            return Err(Error::TooMuch);
        }
        if let Some(path) = files.keys().find(|path| !is_plain(path)) {
            let message = "a path in a bundle is NAME/FILE, relative and without `..`".to_owned();
            return Err(Error::File { path: path.escape_debug().to_string(), message });
        }
        Self::of(PathBuf::new(), files)
    }

    /// All files by path, for [`Cases::from_bundle`].
    pub fn to_bundle(&self) -> BTreeMap<String, Vec<u8>> {
        self.files.clone()
    }

    fn of(folder: PathBuf, files: BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let names: BTreeSet<&str> =
            files.keys().filter_map(|path| path.split_once('/')).map(|(name, _)| name).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        if names.is_empty() {
            let place = if folder.as_os_str().is_empty() {
                "the bundle".to_owned()
            } else {
                folder.display().to_string()
            };
            return Err(Error::None(place));
        }
        Ok(Cases { folder, files, names })
    }

    /// Only the cases whose names contain this text.
    #[must_use]
    pub fn filtered(mut self, part: &str) -> Self {
        self.names.retain(|name| name.contains(part));
        self
    }

    /// The names of the cases, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A file of a case; `None` if it is not there.
    pub(super) fn file(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The files of a case, by their paths inside its folder.
    pub(super) fn files_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.keys().filter_map(move |path| path.strip_prefix(name)?.strip_prefix('/'))
    }

    /// A file's path for a person.
    pub(super) fn shown(&self, path: &str) -> String {
        self.folder.join(path).display().to_string()
    }
}

/// Whether a path is made of plain names.
fn is_plain(path: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let control = |c: char| c.is_control() || c == '\\';
    !path.is_empty()
        && path.len() <= 500
        && !path.ends_with('/')
        && !path.contains("//")
        && !path.contains("/./")
        && !path.contains(control)
        && Path::new(path).components().all(plain)
}

fn read_folder(
    folder: &Path,
    inside: &str,
    depth_left: usize,
    bytes_left: &mut usize,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), Error> {
    let fail = |path: &Path, message: String| Error::File { path: path.display().to_string(), message };
    let unread = |path: &Path, error: &std::io::Error| fail(path, format!("cannot be read: {error}"));
    let below =
        depth_left.checked_sub(1).ok_or_else(|| fail(folder, "too many folders in folders".to_owned()))?;
    for found in std::fs::read_dir(folder).map_err(|error| unread(folder, &error))? {
        let path = found.map_err(|error| unread(folder, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| fail(&path, "its name is not UTF-8".to_owned()))?;
        if name.starts_with('.') {
            continue;
        }
        let inside = if inside.is_empty() { name.to_owned() } else { format!("{inside}/{name}") };
        let facts = std::fs::metadata(&path).map_err(|error| unread(&path, &error))?;
        if facts.is_dir() {
            read_folder(&path, &inside, below, bytes_left, files)?;
        } else if facts.is_file() {
            // Before it is read: nothing is taken into memory that would be too much.
            let bytes = usize::try_from(facts.len()).unwrap_or(usize::MAX);
            if files.len() >= FILES_MAX || bytes > *bytes_left {
                return Err(Error::TooMuch);
            }
            let file = std::fs::read(&path).map_err(|error| unread(&path, &error))?;
            *bytes_left = bytes_left.saturating_sub(file.len());
            files.insert(inside, file);
        } else {
            return Err(fail(&path, "neither a file nor a folder".to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(paths: &[&str]) -> Result<Cases, Error> {
        Cases::from_bundle(paths.iter().map(|path| ((*path).to_owned(), Vec::new())).collect())
    }

    #[test]
    fn paths_of_a_bundle_stay_inside() {
        let cases = bundle(&["b/case.toml", "a/case.toml", "a/input.ndjson", "shared.json"]).unwrap();
        assert_eq!(cases.names(), ["a", "b"]);
        assert_eq!(cases.files_of("a").collect::<Vec<_>>(), ["case.toml", "input.ndjson"]);
        assert_eq!(cases.clone().filtered("b").names(), ["b"]);
        assert_eq!(Cases::from_bundle(cases.to_bundle()).unwrap().names(), cases.names());
        for wrong in ["/etc/passwd", "../a", "a/../b", "", "a//b", "a/", "./a", "a/./b", "a\\b", "a/\n"] {
            assert!(bundle(&["a/case.toml", wrong]).is_err(), "{wrong:?}");
        }
        assert!(matches!(bundle(&[]), Err(Error::None(_))));
        assert!(matches!(bundle(&["case.toml"]), Err(Error::None(_))));
    }

    #[test]
    fn what_is_too_much_is_not_taken() {
        let many = (0..=FILES_MAX).map(|number| (format!("a/{number}"), Vec::new())).collect();
        assert!(matches!(Cases::from_bundle(many), Err(Error::TooMuch)));
        let large = [("a/case.toml".to_owned(), vec![0; BYTES_MAX + 1])].into();
        assert!(matches!(Cases::from_bundle(large), Err(Error::TooMuch)));
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let file = std::fs::File::create(folder.path().join("a/huge")).unwrap();
        file.set_len(1 << 40).unwrap();
        assert!(matches!(Cases::read(folder.path()), Err(Error::TooMuch)));
    }

    #[test]
    fn folders_are_read_without_what_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/.git")).unwrap();
        std::fs::create_dir_all(folder.path().join(".idea")).unwrap();
        for file in ["a/case.toml", "a/.case.toml.swp", "a/.git/x", ".idea/x", "README.md"] {
            std::fs::write(folder.path().join(file), "x").unwrap();
        }
        let cases = Cases::read(folder.path()).unwrap();
        assert_eq!(cases.to_bundle().into_keys().collect::<Vec<_>>(), ["README.md", "a/case.toml"]);
        assert!(cases.shown("a/case.toml").ends_with("/a/case.toml"));
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        assert!(Cases::read(folder.path()).is_err(), "a folder in itself ends");
        assert!(matches!(Cases::read(Path::new("/no/such/folder")), Err(Error::File { .. })));
    }
}
