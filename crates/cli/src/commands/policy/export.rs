//! `tintype policy export NAME`: its document, to be read by `policy import`.

use tintype_app::types::PolicyInfo;
use tintype_model::policy::PolicyName;

use crate::client::parse;
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `policy export`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: PolicyName,
    /// With its name, description, state and volumes
    #[arg(long)]
    full: bool,
}

/// Prints a policy's document; it is JSON in any case.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let body = global.client()?.get(&super::path(&args.name))?;
    let mut info: PolicyInfo = parse(&body)?;
    info.policy.volumes.append(&mut info.volumes);
    let mut document = serde_json::to_value(&info.policy)?;
    if let Some(members) = document.as_object_mut().filter(|_| !args.full) {
        let own = ["name", "description", "enabled", "volumes"];
        members.retain(|name, _| !own.contains(&name.as_str()));
    }
    output::json(&document)
}
