//! `tintype policy attach|detach NAME VOLUME...`.

use hyper::Method;
use tintype_app::types::PolicyInfo;
use tintype_model::VolumeName;
use tintype_model::policy::PolicyName;

use crate::client::escape;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;

/// Options of `policy attach` and `policy detach`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: PolicyName,
    /// Filesystems or disks
    #[arg(value_name = "VOLUME", required = true)]
    volumes: Vec<VolumeName>,
}

/// Attaches a policy.
pub fn attach(global: &Global, args: &Args) -> CliResult<()> {
    each(global, args, &Method::PUT)
}

/// Detaches a policy.
pub fn detach(global: &Global, args: &Args) -> CliResult<()> {
    each(global, args, &Method::DELETE)
}

fn each(global: &Global, args: &Args, method: &Method) -> CliResult<()> {
    let client = global.client()?;
    let mut last = None;
    for volume in &args.volumes {
        let path = format!("{}/volumes/{}", super::path(&args.name), escape(volume.as_str()));
        last = Some(client.call(method.clone(), &path, &serde_json::json!({}))?);
    }
    let Some(body) = last else { return Ok(()) };
    show(global, &body, |info: PolicyInfo| super::show::print(&info))
}
