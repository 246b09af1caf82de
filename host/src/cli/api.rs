//! The command line as a client of a host: modules, swaps and pauses are asked for over HTTP, so that whoever does it
//! needs a token and no password of a database.

use crate::config::Settings;
use crate::tls;
use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use std::time::Duration;

/// How long a host may take to answer: checking a large module takes a minute.
const ANSWER: Duration = Duration::from_secs(960);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Which host is asked.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct HostArguments {
    /// The host to ask
    #[arg(long, env = "GRISTMILL_HOST", value_name = "URL", default_value = "http://127.0.0.1:7171")]
    host: String,
    /// The token to ask with; or in a file, GRISTMILL_TOKEN_FILE
    #[arg(long, env = "GRISTMILL_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// A host that is asked.
#[derive(Clone)]
pub(super) struct Api {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

/// A request's body.
pub(super) enum Body {
    None,
    Json(Value),
    /// Its content type, and its bytes.
    Bytes(String, Vec<u8>),
}

impl HostArguments {
    pub(super) fn open(self, settings: &Settings) -> anyhow::Result<Api> {
        let base = self.host.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            bail!("GRISTMILL_HOST: `{base}` is not http://HOST:PORT or https://HOST:PORT");
        }
        let token = match (self.token, std::env::var_os("GRISTMILL_TOKEN_FILE")) {
            (Some(token), _) => Some(token),
            (None, Some(path)) => {
                let path = std::path::PathBuf::from(path);
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("GRISTMILL_TOKEN_FILE={}: cannot be read", path.display()))?;
                Some(text.trim().to_owned())
            }
            (None, None) => None,
        };
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER))
            .timeout_connect(Some(Duration::from_secs(10)));
        if base.starts_with("https://") {
            config = config.tls_config(tls::for_ureq(settings.roots()?.as_ref()));
        }
        Ok(Api { agent: config.build().new_agent(), base, token })
    }
}

impl Api {
    /// Asks, and answers what the host says; a problem is an error with the host's own words.
    pub(super) async fn call(&self, method: &str, path: &str, body: Body) -> anyhow::Result<Value> {
        let (api, method, path) = (self.clone(), method.to_owned(), path.to_owned());
        tokio::task::spawn_blocking(move || api.ask(&method, &path, body)).await?
    }

    fn ask(&self, method: &str, path: &str, body: Body) -> anyhow::Result<Value> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (ty, bytes) = match body {
            Body::None => (None, Vec::new()),
            Body::Json(value) => (Some("application/json".to_owned()), value.to_string().into_bytes()),
            Body::Bytes(ty, bytes) => (Some(ty), bytes),
        };
        if let Some(ty) = ty {
            request = request.header("content-type", ty);
        }
        let request =
            request.body(bytes).map_err(|error| anyhow!("GRISTMILL_HOST or GRISTMILL_TOKEN: {error}"))?;
        let mut answer = self.agent.run(request).map_err(|error| {
            anyhow!(
                "{} cannot be asked: {error}: is a host running there? GRISTMILL_HOST names another",
                self.base
            )
        })?;
        let status = answer.status().as_u16();
        let text = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .with_context(|| format!("the answer of {} cannot be read", self.base))?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if (200..300).contains(&status) {
            return Ok(value);
        }
        let detail = value.get("detail").and_then(Value::as_str).unwrap_or(text.trim());
        match value.get("code").and_then(Value::as_str) {
            Some(code) => bail!("{code}: {detail}"),
            None if status == 401 => bail!("{detail} (GRISTMILL_TOKEN)"),
            None => bail!("{status}: {detail}"),
        }
    }
}

/// A part of a path.
pub(super) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
