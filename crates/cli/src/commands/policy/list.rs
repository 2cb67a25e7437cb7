//! `tintype policy list`.

use tintype_app::types::PolicyInfo;

use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::Align::Left;
use crate::output::Table;

/// Lists policies by name.
pub fn run(global: &Global) -> CliResult<()> {
    let body = global.client()?.get("/policies")?;
    show(global, &body, |list: Vec<PolicyInfo>| {
        let mut table = Table::new(&[
            ("NAME", Left),
            ("ENABLED", Left),
            ("NEXT", Left),
            ("VOLUMES", Left),
            ("DESCRIPTION", Left),
        ]);
        for info in &list {
            let volumes: Vec<&str> = info.volumes.iter().map(|name| name.as_str()).collect();
            table.row([
                info.name.to_string(),
                if info.enabled { "yes" } else { "no" }.to_owned(),
                super::show::next(info),
                volumes.join(", "),
                info.description.clone(),
            ]);
        }
        table.print()
    })
}
