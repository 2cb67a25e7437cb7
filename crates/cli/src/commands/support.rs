//! `tintype support-bundle`: what helps those who help, in one archive. No data and no secret is in it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tintype_app::types::{FsckRequest, SupportInfo};

use crate::client::{Client, parse};
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output;

/// Options of `support-bundle`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The archive (tar) to be made; it must not exist
    file: PathBuf,
    /// Also check the store, which can take long, and put the result in
    #[arg(long)]
    fsck: bool,
}

/// What is asked of the server, and the name of the answer.
const ANSWERS: [(&str, &str); 4] = [
    ("/status", "status.json"),
    ("/store", "store.json"),
    ("/tasks", "tasks.json"),
    ("/policies", "policies.json"),
];

/// Makes the archive.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let client = global.client()?;
    let mut parts = vec![("versions.json", pretty(&versions())?)];
    for (path, name) in ANSWERS {
        parts.push((name, answer(client.get(path))?));
    }
    let support: SupportInfo = parse(&client.get("/support")?)?;
    parts.push(("settings.json", pretty(&support.settings)?));
    parts.push(("figures.json", pretty(&serde_json::to_value(&support.figures)?)?));
    parts.push(("log.txt", support.log.join("\n").into_bytes()));
    if args.fsck {
        parts.push(("fsck.json", check(&client)?));
    }
    write(&args.file, &parts).map_err(|error| {
        CliError::failure(
            format!("file {}: cannot be written: {error}", args.file.display()),
            "Choose a name that is not taken, in a folder that you may write to.",
        )
    })?;
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    if global.json {
        return output::json(&json!({ "file": args.file, "parts": names }));
    }
    output::line(&format!("wrote {}: {}", args.file.display(), names.join(", ")))?;
    output::line(
        "It names volumes, snapshots, paths and addresses: look into it before you pass it on.",
    )
}

fn check(client: &Client) -> CliResult<Vec<u8>> {
    answer(client.post("/fsck", &FsckRequest { repair: false, all: false }))
}

/// An answer, or why there is none: a server in trouble is what bundles are for.
fn answer(asked: CliResult<hyper::body::Bytes>) -> CliResult<Vec<u8>> {
    match asked {
        Ok(body) => pretty(&parse(&body)?),
        Err(error) => pretty(&json!({ "failed": error.message })),
    }
}

fn versions() -> Value {
    let system = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let release = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    json!({
        "tintype": env!("CARGO_PKG_VERSION"),
        "kernel": format!("{} {}", text(system.sysname()), text(system.release())),
        "machine": text(system.machine()),
        "system": release.map(|name| name.trim_matches('"')),
    })
}

fn pretty(value: &Value) -> CliResult<Vec<u8>> {
    Ok(serde_json::to_vec_pretty(value)?)
}

/// Only its owner may read it.
fn write(path: &Path, parts: &[(&str, Vec<u8>)]) -> std::io::Result<()> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    let mut archive = tar::Builder::new(file);
    for (name, bytes) in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(jiff::Timestamp::now().as_second().unsigned_abs());
        archive.append_data(&mut header, format!("tintype-support/{name}"), bytes.as_slice())?;
    }
    archive.into_inner()?.sync_all()
}
