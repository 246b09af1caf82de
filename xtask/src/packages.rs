//! Debian packages that a command needs and the machine lacks.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{progress, workspace};

/// Installs under a `policy-rc.d` that forbids starting services, because Debian's packages of servers start
/// them on their default ports; and takes the enabling back, for the next boot would start them.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=600 update -qq
apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends "$@"
if [ -d /run/systemd/system ]; then
    for package in "$@"; do
        case "$package" in
            redis-server|postgresql) systemctl disable --quiet "$package" || true ;;
        esac
    done
fi
"#;

/// Installs `packages` through apt, as root or by `sudo`.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    progress::say(&format!("apt: installing {}", packages.join(" ")));
    let by_hand = format!("install them by hand: apt-get install {}", packages.join(" "));
    if workspace::find_program("apt-get").is_none() {
        bail!("missing {}, and this is no Debian: {by_hand}", packages.join(", "));
    }
    let mut command = as_root().with_context(|| by_hand.clone())?;
    command.args(["sh", "-c", INSTALL, "install"]).args(packages).stdin(Stdio::null());
    workspace::run_quietly(&mut command).context(by_hand)?;
    progress::say("apt: done");
    Ok(())
}

/// What building the host takes besides Rust: librdkafka, SQLite and zlib are compiled from their sources; for TLS,
/// librdkafka uses the system's OpenSSL, which is found by pkg-config.
pub(crate) fn install_compilers() -> Result<()> {
    let mut missing: Vec<_> = [("cc", "gcc"), ("c++", "g++"), ("make", "make"), ("pkg-config", "pkg-config")]
        .into_iter()
        .filter(|(program, _)| workspace::find_program(program).is_none())
        .map(|(_, package)| package)
        .collect();
    if !has_openssl() {
        missing.push("libssl-dev");
    }
    install(&missing)
}

/// Whether OpenSSL can be built against: as the build itself will find it.
fn has_openssl() -> bool {
    let mut asked = Command::new("pkg-config");
    let known = asked.args(["--exists", "openssl"]).status().is_ok_and(|status| status.success());
    known || workspace::variable("OPENSSL_DIR").is_some() || Path::new("/usr/include/openssl/ssl.h").is_file()
}

fn as_root() -> Result<Command> {
    if rights::is_root()? {
        return Ok(Command::new("env"));
    }
    if workspace::find_program("sudo").is_none() {
        bail!("neither root nor sudo");
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["--non-interactive", "env"]);
    Ok(sudo)
}

/// Who runs this, and who else may.
pub(crate) mod rights {
    use std::os::unix::fs::MetadataExt;

    use anyhow::{Context, Result};

    pub(crate) fn is_root() -> Result<bool> {
        Ok(std::fs::metadata("/proc/self").context("cannot read /proc/self")?.uid() == 0)
    }

    /// User and group number of a local user.
    pub(crate) fn ids_of(user: &str) -> Result<(u32, u32)> {
        let users = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        ids_in(&users, user).with_context(|| format!("no user `{user}` in /etc/passwd"))
    }

    fn ids_in(users: &str, user: &str) -> Option<(u32, u32)> {
        let line = users.lines().find(|line| line.split(':').next() == Some(user))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    }

    #[cfg(test)]
    mod tests {
        use super::ids_in;

        #[test]
        fn a_user_is_found_by_its_whole_name() {
            let users = "root:x:0:0::/root:/bin/sh\npost:x:1:2::/:/bin/sh\npostgres:x:104:110::/:/bin/sh\n";
            assert_eq!(ids_in(users, "postgres"), Some((104, 110)));
            assert_eq!(ids_in(users, "gres"), None);
        }
    }
}
