//! Compiled modules on disk: compiling takes seconds, reading what was compiled takes milliseconds.
//!
//! Compiled code runs as part of this process, so a cache is a way in. It is used only if its folder belongs to this
//! user and nobody else can write there; files are named by the module's digest and by everything about the engine
//! that matters to compiled code; and each file begins with the digest of the rest, so that a torn or damaged one is
//! compiled again. Nothing that anybody uploads is ever read as compiled code.

use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use wasmtime::Engine;
use wasmtime::component::Component;

const DIGEST_BYTES: usize = 32;

/// A folder of compiled modules.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Uses a folder, making it if it is not there; `None` (and a warning) if it is not safe to use.
    pub(super) fn open(folder: &Path) -> Option<Self> {
        match private(folder) {
            Ok(()) => Some(Cache { folder: folder.to_owned() }),
            Err(error) => {
                let folder = folder.display();
                tracing::warn!(%folder, %error, "compiled modules are not kept; GRISTMILL_CACHE names another folder");
                None
            }
        }
    }

    fn path(&self, engine: &Engine, digest: &str) -> PathBuf {
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        super::stoppable::REVISION.hash(&mut hasher);
        self.folder.join(format!("{digest}-{:016x}.compiled", hasher.finish()))
    }

    /// The compiled module with this digest, if it is there and whole.
    pub(super) fn get(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let file = std::fs::read(self.path(engine, digest)).ok()?;
        let (expected, compiled) = file.split_at_checked(DIGEST_BYTES)?;
        if Sha256::digest(compiled).as_slice() != expected {
            return None;
        }
        private(&self.folder).ok()?;
        #[allow(
            unsafe_code,
            reason = "a file that this user's own process wrote, in a folder that nobody else can write to, whole by its digest, made by this very engine"
        )]
        // SAFETY: `deserialize` asks for bytes that `serialize` gave. The folder is private to this user (checked
        // just now), the digest shows that the file is whole, and its name holds the engine's compatibility hash.
        let component = unsafe { Component::deserialize(engine, compiled) };
        component.ok()
    }

    /// Keeps a compiled module; that it cannot be kept is no error.
    pub(super) fn put(&self, engine: &Engine, digest: &str, component: &Component) {
        if let Err(error) = self.write(engine, digest, component) {
            tracing::debug!(%error, "a compiled module was not kept");
        }
    }

    /// Removes a compiled module.
    pub(super) fn forget(&self, engine: &Engine, digest: &str) {
        let _ = std::fs::remove_file(self.path(engine, digest));
    }

    fn write(&self, engine: &Engine, digest: &str, component: &Component) -> anyhow::Result<()> {
        let compiled = component.serialize()?;
        let path = self.path(engine, digest);
        let draft = path.with_extension(format!("draft-{}", std::process::id()));
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&Sha256::digest(&compiled))?;
        file.write_all(&compiled)?;
        file.sync_data()?;
        Ok(std::fs::rename(draft, path)?)
    }
}

/// Makes sure that a folder is there, belongs to this process's user, and can be written by nobody else.
fn private(folder: &Path) -> std::io::Result<()> {
    if !folder.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let (found, own) = (std::fs::metadata(folder)?, std::fs::metadata("/proc/self")?);
    if found.uid() != own.uid() || found.mode() & 0o022 != 0 {
        return Err(std::io::Error::other("the folder belongs to another user, or others can write to it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn engine() -> Engine {
        Engine::default()
    }

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("compiled")).unwrap();
        let engine = engine();
        let component = Component::new(&engine, b"\0asm\x0d\0\x01\0").unwrap();
        assert!(cache.get(&engine, "d1").is_none());
        cache.put(&engine, "d1", &component);
        assert!(cache.get(&engine, "d1").is_some());
        let path = cache.path(&engine, "d1");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(cache.get(&engine, "d1").is_none());
        std::fs::write(&path, &bytes[..10]).unwrap();
        assert!(cache.get(&engine, "d1").is_none());
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(folder.path()).is_none());
    }
}
