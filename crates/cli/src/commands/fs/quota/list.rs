//! `tintype fs quota list FILESYSTEM[@SNAPSHOT]`.

use tintype_app::types::QuotaInfo;
use tintype_model::{ByteSize, MomentName};

use super::state;
use crate::client::{escape, filesystem_path};
use crate::commands::fs::limit;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::Align::{Left, Right};
use crate::output::Table;

/// Options of `fs quota list`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The filesystem, or one of its snapshots
    #[arg(value_name = "FILESYSTEM[@SNAPSHOT]")]
    moment: MomentName,
}

/// Lists quotas.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let (name, snapshot) = match &args.moment {
        MomentName::Live(name) => (name, String::new()),
        MomentName::Snapshot(at) => {
            (&at.volume, format!("?snapshot={}", escape(at.snapshot.as_str())))
        }
    };
    let body = global.client()?.get(&format!("{}/quotas{snapshot}", filesystem_path(name)))?;
    show(global, &body, |list: Vec<QuotaInfo>| {
        let mut table = Table::new(&[
            ("DIRECTORY", Left),
            ("USED", Right),
            ("HARD", Right),
            ("SOFT", Right),
            ("GRACE", Right),
            ("STATE", Left),
            ("OWNER", Left),
        ]);
        for info in list {
            table.row([
                info.path.clone(),
                ByteSize(info.used_bytes).to_string(),
                limit(info.hard),
                limit(info.soft),
                info.grace.map_or_else(|| "-".to_owned(), |grace| grace.to_string()),
                state(&info).to_owned(),
                info.owner,
            ]);
        }
        table.print()
    })
}
