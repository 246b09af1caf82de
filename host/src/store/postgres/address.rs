//! The server's address: what may stand in it, and what is said when connecting fails.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::path::Path;
use std::str::FromStr;
use url::Url;

/// Parameters that an address may have. Others would be passed over in silence, `sslmod=verify-full` among them.
const PARAMETERS: [&str; 16] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "options",
    "application_name",
    "statement-cache-capacity",
    "ssl-mode",
    "ssl-root-cert",
    "ssl-ca",
];
const MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Reads an address. Where root certificates are given and the address does not say how much to check, all is
/// checked.
///
/// # Errors
/// What is wrong with it, without the secrets in it.
pub fn options(url: &str, roots: Option<&Path>) -> Result<PgConnectOptions, String> {
    let parsed = Url::parse(url).map_err(|_| not_understood())?;
    let mut mode = None;
    let mut own_roots = false;
    for (name, value) in parsed.query_pairs() {
        match &*name {
            "sslmode" | "ssl-mode" => {
                if !MODES.contains(&&*value) {
                    return Err(format!("has an sslmode that is none of {}", MODES.join(", ")));
                }
                mode = Some(value.into_owned());
            }
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" | "sslcert" | "ssl-cert" | "sslkey" | "ssl-key" => {
                own_roots |= name.contains("ca") || name.contains("root");
                // The text itself may stand there instead of a file's name.
                if !value.trim_start().starts_with("-----BEGIN") {
                    std::fs::File::open(&*value).map_err(|error| format!("has {name}={value}: {error}"))?;
                }
            }
            name if PARAMETERS.contains(&name) || name.starts_with("options[") => {}
            name => {
                return Err(format!("has a parameter `{name}`: there are {}", PARAMETERS[..12].join(", ")));
            }
        }
    }
    let mut options = PgConnectOptions::from_str(url).map_err(|_| not_understood())?;
    if let Some(roots) = roots {
        if !own_roots {
            options = options.ssl_root_cert(roots);
        }
        if mode.is_none() && std::env::var_os("PGSSLMODE").is_none() {
            options = options.ssl_mode(PgSslMode::VerifyFull);
        }
    }
    Ok(options)
}

fn not_understood() -> String {
    "is not understood: write postgres://user:password@host:port/database".to_owned()
}

/// What to do about an error of connecting, where that can be told.
pub fn advice(error: &sqlx::Error) -> Option<&'static str> {
    let text = error.to_string();
    if text.contains("does not support TLS") {
        return Some(
            "turn `ssl` on there, or write sslmode=disable into GRISTMILL_STORE if no TLS is wanted",
        );
    }
    let of_tls = matches!(error, sqlx::Error::Tls(_) | sqlx::Error::Io(_)) && text.contains("certificate");
    of_tls.then_some(
        "it is checked against the system's root certificates and those of sslrootcert in GRISTMILL_STORE, or else of \
         GRISTMILL_CA_FILE",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_passed_over_is_told_without_secrets() {
        for (url, part) in [
            ("postgres://u:hunter2@h/d?sslmod=verify-full", "a parameter `sslmod`"),
            ("postgres://u:hunter2@h/d?sslmode=verify", "none of disable"),
            ("postgres://u:hunter2@h/d?sslrootcert=/no/such", "sslrootcert=/no/such: No such file"),
            ("postgres://u:hunter2@h:0x/d", "is not understood"),
        ] {
            let error = options(url, None).unwrap_err();
            assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn roots_of_ones_own_mean_that_all_is_checked() {
        let mode = |url: &str, roots: Option<&Path>| options(url, roots).unwrap().get_ssl_mode();
        let roots = Some(Path::new("/ca.pem"));
        assert!(matches!(mode("postgres://h/d", None), PgSslMode::Prefer));
        assert!(matches!(mode("postgres://h/d", roots), PgSslMode::VerifyFull));
        assert!(matches!(mode("postgres://h/d?sslmode=disable", roots), PgSslMode::Disable));
    }
}
