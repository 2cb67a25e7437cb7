//! `tintype token ...`: tokens for programs.

use clap::Subcommand;
use tintype_app::types::{DeletedInfo, Role, TokenCreate, TokenInfo, TokenMade};
use tintype_model::{Span, TokenName};

use crate::client::escape;
use crate::commands::show;
use crate::commands::user::parse_role;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::Align::Left;
use crate::output::{self, Table};

/// What can be done with tokens.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a token and print it: it is shown this once
    Create {
        /// What it is listed by
        name: TokenName,
        /// What it may do: reader, operator or admin
        #[arg(long, value_parser = parse_role)]
        role: Role,
        /// How long it is valid (default: until it is deleted)
        #[arg(long, value_name = "30d")]
        expires: Option<Span>,
    },
    /// List tokens, without their secrets
    List,
    /// End a token
    Delete {
        /// What it is listed by
        name: TokenName,
    },
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: Command) -> CliResult<()> {
    match command {
        Command::Create { name, role, expires } => {
            let wish = TokenCreate { name, role, expires_after: expires };
            let body = global.client()?.post("/tokens", &wish)?;
            show(global, &body, |made: TokenMade| output::line(&made.token.0))
        }
        Command::List => {
            let body = global.client()?.get("/tokens")?;
            show(global, &body, |list: Vec<TokenInfo>| print(&list))
        }
        Command::Delete { name } => {
            let path = format!("/tokens/{}", escape(name.as_str()));
            let body = global.client()?.delete(&path)?;
            show(global, &body, |info: DeletedInfo| {
                output::line(&format!("deleted {}", info.deleted.join(", ")))
            })
        }
    }
}

fn print(list: &[TokenInfo]) -> CliResult<()> {
    let columns =
        [("NAME", Left), ("ROLE", Left), ("USER", Left), ("CREATED", Left), ("EXPIRES", Left)];
    let mut table = Table::new(&columns);
    for info in list {
        let user = info.user.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let expires = info.expires.map_or_else(|| "never".to_owned(), |time| format!("{time:.0}"));
        let created = format!("{:.0}", info.created);
        table.row([info.name.to_string(), info.role.to_string(), user, created, expires]);
    }
    table.print()
}
