//! `tintype fs quota set FILESYSTEM:PATH`.

use hyper::Method;
use tintype_app::types::{QuotaInfo, QuotaSet};
use tintype_model::{ModelError, Span};

use super::Directory;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::{Global, Limit, parse_limit};

/// Options of `fs quota set`.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub struct Args {
    /// The directory, like home:/projects
    #[arg(value_name = "FILESYSTEM:PATH")]
    directory: Directory,
    /// What is never passed
    #[arg(long, value_name = "SIZE|none", value_parser = parse_limit, group = "change")]
    hard: Option<Limit>,
    /// What may be passed for the time of grace
    #[arg(long, value_name = "SIZE|none", value_parser = parse_limit, group = "change")]
    soft: Option<Limit>,
    /// How long the soft limit may be passed; without it the soft limit only warns
    #[arg(long, value_name = "SPAN|none", value_parser = parse_grace, group = "change")]
    grace: Option<Grace>,
    /// Whom it belongs to: a name or an address
    #[arg(long, group = "change")]
    owner: Option<String>,
}

/// A time of grace or none.
#[derive(Clone, Copy, Debug)]
struct Grace(Option<Span>);

fn parse_grace(text: &str) -> Result<Grace, ModelError> {
    if text == "none" {
        return Ok(Grace(None));
    }
    text.parse().map(|span| Grace(Some(span)))
}

/// Sets or changes a quota.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let wish = QuotaSet {
        hard: args.hard.map(|limit| limit.0),
        soft: args.soft.map(|limit| limit.0),
        grace: args.grace.map(|grace| grace.0),
        owner: args.owner.clone(),
    };
    let body = global.client()?.call(Method::PUT, &args.directory.resource(), &wish)?;
    show(global, &body, |info: QuotaInfo| super::show::print(&info))
}
