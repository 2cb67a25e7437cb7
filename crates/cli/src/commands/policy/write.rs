//! `tintype policy create|import|set`.

use std::path::PathBuf;

use hyper::Method;
use serde_json::{Map, Value};
use tintype_app::types::PolicyInfo;
use tintype_model::VolumeName;
use tintype_model::policy::PolicyName;

use super::document::{Parts, read_file};
use crate::commands::show;
use crate::error::{CliError, CliResult};
use crate::options::Global;

/// Options of `policy create`.
#[derive(clap::Args, Debug)]
pub struct CreateArgs {
    /// Its name
    name: PolicyName,
    /// Begin with this document (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Attach it to this volume; may be repeated
    #[arg(long, value_name = "VOLUME")]
    attach: Vec<VolumeName>,
    #[command(flatten)]
    parts: Parts,
}

/// Options of `policy import`.
#[derive(clap::Args, Debug)]
pub struct ImportArgs {
    /// The document (`-`: standard input)
    file: PathBuf,
    /// Its name, if the document has none or another one
    #[arg(long)]
    name: Option<PolicyName>,
    /// Attach it to this volume; may be repeated
    #[arg(long, value_name = "VOLUME")]
    attach: Vec<VolumeName>,
    /// Attach it to nothing that the document names
    #[arg(long)]
    detached: bool,
}

/// Options of `policy set`.
#[derive(clap::Args, Debug)]
pub struct SetArgs {
    /// Its name
    name: PolicyName,
    /// Take all members of this document first (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    parts: Parts,
}

/// Makes a policy.
pub fn create(global: &Global, args: &CreateArgs) -> CliResult<()> {
    let mut members = args.file.as_deref().map_or_else(|| Ok(Map::new()), read_file)?;
    members.extend(args.parts.members()?);
    // A part that is off is not there.
    members.retain(|_, value| !value.is_null());
    send(global, members, Some(&args.name), &args.attach)
}

/// Makes a policy of a document.
pub fn import(global: &Global, args: &ImportArgs) -> CliResult<()> {
    let mut members = read_file(&args.file)?;
    if args.detached {
        members.retain(|name, _| name != "volumes" && name != "filesystems");
    }
    if args.name.is_none() && !members.contains_key("name") {
        return Err(CliError::usage(
            format!("{}: the document has no name", args.file.display()),
            "Give it one with --name.",
        ));
    }
    send(global, members, args.name.as_ref(), &args.attach)
}

fn send(
    global: &Global,
    mut members: Map<String, Value>,
    name: Option<&PolicyName>,
    attach: &[VolumeName],
) -> CliResult<()> {
    if let Some(name) = name {
        members.insert("name".to_owned(), name.as_str().into());
    }
    if !attach.is_empty() {
        let old = members.remove("filesystems").or_else(|| members.remove("volumes"));
        let mut volumes = old.and_then(|old| old.as_array().cloned()).unwrap_or_default();
        volumes.extend(attach.iter().map(|name| Value::from(name.as_str())));
        members.insert("volumes".to_owned(), volumes.into());
    }
    let body = global.client()?.post("/policies", &members)?;
    show(global, &body, |info: PolicyInfo| super::show::print(&info))
}

/// Changes a policy.
pub fn set(global: &Global, args: &SetArgs) -> CliResult<()> {
    let mut members = args.file.as_deref().map_or_else(|| Ok(Map::new()), read_file)?;
    members.extend(args.parts.members()?);
    if members.is_empty() {
        return Err(CliError::usage(
            format!("policy {}: nothing to change", args.name),
            "`tintype policy set --help` shows what can be changed.",
        ));
    }
    let body = global.client()?.call(Method::PATCH, &super::path(&args.name), &members)?;
    show(global, &body, |info: PolicyInfo| super::show::print(&info))
}
