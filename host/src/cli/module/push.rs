//! `gristmill module push|list|show|remove`: the modules that a host's catalog has.

use crate::cases::Cases;
use crate::catalog::names;
use crate::cli::api::{Body, HostArguments, segment};
use crate::cli::show;
use crate::config::Settings;
use anyhow::{Context, anyhow};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Marks where a form's parts begin; long enough not to stand in a module by chance.
const BOUNDARY: &str = "gristmill-module-5f1c8a0e9b7d4c3aa2f6";

#[derive(clap::Args)]
pub(in crate::cli) struct PushArguments {
    /// The name and the version that it gets
    #[arg(value_name = "MODULE@VERSION")]
    named: String,
    /// The module: a component, or a core module with a component type
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder of its cases, which travel with it and must pass
    #[arg(long, value_name = "FOLDER")]
    cases: Option<PathBuf>,
    /// The file of a detached Ed25519 signature over the module's bytes, raw or in base64
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// An import that it may have although the active version does not: `lookup`, `wasi:cli/stdout`; or a package or
    /// namespace of them: `wasi:cli`, `wasi`
    #[arg(long, value_name = "IMPORT")]
    grant: Vec<String>,
    /// Take it although it needs more fuel per record than is allowed
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostArguments,
}

#[derive(clap::Args)]
pub(in crate::cli) struct ListArguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostArguments,
}

#[derive(clap::Args)]
pub(in crate::cli) struct ShowArguments {
    /// The module, or one version of it
    #[arg(value_name = "MODULE[@VERSION]")]
    named: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostArguments,
}

#[derive(clap::Args)]
pub(in crate::cli) struct RemoveArguments {
    /// The version to remove; it must be active nowhere
    #[arg(value_name = "MODULE@VERSION")]
    named: String,
    #[command(flatten)]
    host: HostArguments,
}

pub(super) async fn push(settings: &Settings, arguments: PushArguments) -> anyhow::Result<()> {
    let (name, version) = named(&arguments.named)?;
    let api = arguments.host.open(settings)?;
    let code = std::fs::read(&arguments.file)
        .with_context(|| format!("{} cannot be read", arguments.file.display()))?;
    let mut form = Form::default();
    form.add("module", "application/wasm", &code);
    if let Some(folder) = &arguments.cases {
        form.add("cases", "application/json", bundle(folder)?.as_bytes());
    }
    if let Some(path) = &arguments.signature {
        form.add("signature", "text/plain", signature(path)?.as_bytes());
    }
    let mut path =
        format!("/v1/modules/{}/versions/{}?force={}", segment(&name), segment(&version), arguments.force);
    if !arguments.grant.is_empty() {
        path.push_str(&format!("&grant={}", segment(&arguments.grant.join(","))));
    }
    let answer = api.call("POST", &path, form.end()).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let (empty, new) = (Value::Null, answer.get("new").and_then(Value::as_bool).unwrap_or(false));
    let module = answer.get("module").unwrap_or(&empty);
    let digest = show::at(module, "digest");
    println!(
        "{name}@{version}: {}, {} bytes, sha256 {}",
        if new { "accepted" } else { "was there already, with these bytes" },
        show::at(module, "bytes"),
        digest.get(..12).unwrap_or_default(),
    );
    print_report(module);
    Ok(())
}

pub(super) async fn list(settings: &Settings, arguments: ListArguments) -> anyhow::Result<()> {
    let answer = arguments.host.open(settings)?.call("GET", "/v1/modules", Body::None).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let mut table = show::table(&["module", "versions, newest first", "about"]);
    for module in items(&answer, "modules") {
        let versions: Vec<&str> = items(module, "versions").iter().filter_map(Value::as_str).collect();
        table.add_row([show::at(module, "name"), versions.join("\n"), show::at(module, "about")]);
    }
    println!("{table}");
    Ok(())
}

pub(super) async fn show(settings: &Settings, arguments: ShowArguments) -> anyhow::Result<()> {
    let api = arguments.host.open(settings)?;
    let one = arguments.named.contains('@');
    let path = if one {
        let (name, version) = named(&arguments.named)?;
        format!("/v1/modules/{}/versions/{}", segment(&name), segment(&version))
    } else {
        format!("/v1/modules/{}", segment(&arguments.named))
    };
    let answer = api.call("GET", &path, Body::None).await?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    let versions = if one { std::slice::from_ref(&answer) } else { items(&answer, "versions") };
    for version in versions {
        println!(
            "{}@{}: {} bytes, sha256 {}, pushed by {}{}",
            show::at(version, "name"),
            show::at(version, "version"),
            show::at(version, "bytes"),
            show::at(version, "digest"),
            show::at(version, "pushed_by"),
            match show::at(version, "signed_by") {
                key if key.is_empty() => String::new(),
                key => format!(", signed with {key}"),
            },
        );
        print_report(version);
    }
    Ok(())
}

pub(super) async fn remove(settings: &Settings, arguments: RemoveArguments) -> anyhow::Result<()> {
    let (name, version) = named(&arguments.named)?;
    let path = format!("/v1/modules/{}/versions/{}", segment(&name), segment(&version));
    arguments.host.open(settings)?.call("DELETE", &path, Body::None).await?;
    println!("{name}@{version} is removed");
    Ok(())
}

fn named(text: &str) -> anyhow::Result<(String, String)> {
    let (name, version) = names::parse(text).map_err(|message| anyhow!(message))?;
    Ok((name.to_owned(), version.to_owned()))
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What the check found, in a few lines.
fn print_report(version: &Value) {
    let about = show::at(version, "about");
    if !about.is_empty() {
        println!("  {about}");
    }
    let imports: Vec<&str> = items(version, "imports").iter().filter_map(Value::as_str).collect();
    println!("  imports: {}", if imports.is_empty() { "nothing".to_owned() } else { imports.join(", ") });
    let report = version.get("report").unwrap_or(&Value::Null);
    let fits: Vec<&str> = items(report, "fits").iter().filter_map(Value::as_str).collect();
    if !fits.is_empty() {
        println!("  fits where a module of this name is active: {}", fits.join(", "));
    }
    if let Some(cases) = report.get("cases") {
        println!("  cases: {} passed", show::at(cases, "passed"));
    }
    println!("  compiled in {} ms", show::at(report, "compiled_in_ms"));
}

/// A folder of cases as JSON: files by path, in base64.
fn bundle(folder: &Path) -> anyhow::Result<String> {
    let files = Cases::read(folder)?.to_bundle();
    let text = files.into_iter().map(|(path, bytes)| (path, Value::String(BASE64_STANDARD.encode(bytes))));
    Ok(Value::Object(text.collect()).to_string())
}

/// A signature's file, raw or in base64.
fn signature(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let text = String::from_utf8(bytes.clone()).ok().map(|text| text.trim().to_owned());
    let base64 = text.filter(|text| BASE64_STANDARD.decode(text).is_ok());
    Ok(base64.unwrap_or_else(|| BASE64_STANDARD.encode(bytes)))
}

/// A form as RFC 7578 has it.
#[derive(Default)]
struct Form(Vec<u8>);

impl Form {
    fn add(&mut self, name: &str, ty: &str, bytes: &[u8]) {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\nContent-Type: {ty}\r\n\r\n"
        );
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
    }

    fn end(mut self) -> Body {
        self.0.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        Body::Bytes(format!("multipart/form-data; boundary={BOUNDARY}"), self.0)
    }
}
