//! `gristmill module new NAME`: a crate that builds, is tested and is ready to be changed.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// The SDK of the sources that this program was built from, if they are still there.
const OWN_SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/sdk");
const NAME_CHARS_MAX: usize = 64;

/// The crate's files.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    (".gitignore", "/target\n"),
    ("src/lib.rs", include_str!("template/lib.rs")),
    ("cases/people/case.toml", include_str!("template/case.toml")),
    ("cases/people/input.ndjson", include_str!("template/input.ndjson")),
    ("cases/people/expected.json", include_str!("template/expected.json")),
];

/// What rustc and cargo do not take for a crate's name.
const RESERVED: [&str; 58] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
];
/// What the crate depends on: it cannot have the same name.
const DEPENDENCIES: [&str; 2] = ["gristmill-sdk", "serde"];

#[derive(clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The module's name: lower-case letters, digits, `-` and `_`
    name: String,
    /// The folder to make; NAME in this folder if absent
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Where the SDK is: the folder of a clone of Gristmill, or a Git URL (URL#REVISION for one revision). The
    /// sources that this program was built from if absent
    #[arg(long, value_name = "PATH|GIT")]
    sdk: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let name = &arguments.name;
    check_name(name)?;
    let sdk = dependency(arguments.sdk.as_deref(), Path::new(OWN_SDK))?;
    let folder = arguments.path.clone().unwrap_or_else(|| PathBuf::from(name));
    if folder.symlink_metadata().is_ok() {
        bail!("{} is there already: nothing was written", folder.display());
    }
    for (file, text) in FILES {
        let path = folder.join(file);
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        let text = if file == "Cargo.toml" {
            text.replace("{name}", name).replace("{sdk}", &sdk)
        } else {
            text.to_owned()
        };
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    println!("{}: a module, its tests and a case. Next:", folder.display());
    println!("  cd {}", folder.display());
    println!("  cargo test");
    println!("  gristmill module build");
    println!("  gristmill module test target/modules/{name}.wasm");
    Ok(())
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase())
        || !name.chars().all(legal)
        || name.len() > NAME_CHARS_MAX
    {
        bail!(
            "`{}` is no name for a module: {NAME_CHARS_MAX} lower-case letters, digits, `-` and `_` at most, \
             beginning with a letter",
            name.escape_debug()
        );
    }
    if RESERVED.contains(&name) || DEPENDENCIES.contains(&name) {
        bail!("`{name}` means something to Rust or Cargo already: take another name");
    }
    Ok(())
}

/// How the crate depends on the SDK, which is on no registry.
fn dependency(named: Option<&str>, own: &Path) -> anyhow::Result<String> {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let path = match named {
        Some(url) if url.contains("://") || url.starts_with("git@") => {
            return Ok(match url.split_once('#') {
                Some((url, revision)) => format!("{{ git = {}, rev = {} }}", quoted(url), quoted(revision)),
                None => format!("{{ git = {} }}", quoted(url)),
            });
        }
        Some(path) => sdk_in(Path::new(path)).with_context(|| {
            format!("--sdk {path}: there is no SDK; name a clone of Gristmill, or its folder guests/sdk, or a Git URL")
        })?,
        None => sdk_in(own).context(
            "the SDK is on no registry, and the sources that this program was built from are not on this machine: \
             pass --sdk with the folder of a clone of Gristmill, or with a Git URL",
        )?,
    };
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(format!("{{ path = {} }}", quoted(text)))
}

/// The SDK's folder: this one, or that of a clone.
fn sdk_in(folder: &Path) -> Option<PathBuf> {
    let is_sdk = |folder: &PathBuf| {
        std::fs::read_to_string(folder.join("Cargo.toml"))
            .is_ok_and(|manifest| manifest.lines().any(|line| line.trim() == "name = \"gristmill-sdk\""))
    };
    [folder.to_owned(), folder.join("guests/sdk")].into_iter().find(is_sdk)?.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        for good in ["hello", "my-module-2", "a_b", "tests"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "", "..", "../x", "a/b", "a b", "Hello", "1st", "-x", "ü", "fn", "self", "test", "serde", "a\n",
            &long,
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_sdk_is_a_folder_or_a_repository() {
        let own = Path::new(OWN_SDK);
        let found = dependency(None, own).unwrap();
        assert!(found.starts_with("{ path = \"/") && found.ends_with("/guests/sdk\" }"), "{found}");
        let clone = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        assert_eq!(dependency(Some(clone), Path::new("/nowhere")).unwrap(), found);
        let git = |url| dependency(Some(url), own).unwrap();
        assert_eq!(git("https://example.org/g.git"), r#"{ git = "https://example.org/g.git" }"#);
        assert_eq!(git("https://example.org/g#v1"), r#"{ git = "https://example.org/g", rev = "v1" }"#);
        let error = dependency(None, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(error.contains("pass --sdk"), "{error}");
        assert!(dependency(Some("/nowhere"), own).unwrap_err().to_string().contains("there is no SDK"));
    }

    #[test]
    fn what_is_written_is_a_manifest() {
        let text = FILES[0].1.replace("{name}", "hello").replace("{sdk}", "{ path = \"/a b\" }");
        let manifest: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("hello"));
        assert_eq!(manifest["dependencies"]["gristmill-sdk"]["path"].as_str(), Some("/a b"));
    }
}
