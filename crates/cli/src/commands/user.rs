//! `tintype user ...`: users of the server.

use std::path::PathBuf;

use clap::Subcommand;
use hyper::Method;
use tintype_app::types::{DeletedInfo, Role, Secret, UserCreate, UserInfo, UserUpdate};
use tintype_model::UserName;

use crate::client::escape;
use crate::commands::repo::new_password;
use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::Align::Left;
use crate::output::{self, Table};

/// What can be done with users.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make a user
    Create {
        /// Its name
        name: UserName,
        /// What it may do: reader, operator or admin
        #[arg(long, value_parser = parse_role)]
        role: Role,
        /// File whose first line is its password (default: asked for on the terminal)
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// List all users
    List,
    /// Change what a user may do
    Set {
        /// Its name
        name: UserName,
        /// What it may do: reader, operator or admin
        #[arg(long, value_parser = parse_role)]
        role: Role,
    },
    /// Give a user another password; its sessions end
    Password {
        /// Its name
        name: UserName,
        /// File whose first line is the password (default: asked for on the terminal)
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Delete a user, with its tokens and sessions
    Delete {
        /// Its name
        name: UserName,
    },
}

/// Reads a role.
pub fn parse_role(text: &str) -> Result<Role, &'static str> {
    text.parse().map_err(|_| "write reader, operator or admin")
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: Command) -> CliResult<()> {
    match command {
        Command::Create { name, role, new_password_file } => {
            let password = Secret(new_password(new_password_file.as_ref())?);
            let wish = UserCreate { name, role, password };
            let body = global.client()?.post("/users", &wish)?;
            show(global, &body, |info: UserInfo| print(&[info]))
        }
        Command::List => {
            let body = global.client()?.get("/users")?;
            show(global, &body, |list: Vec<UserInfo>| print(&list))
        }
        Command::Set { name, role } => {
            change(global, &name, &UserUpdate { role: Some(role), password: None })
        }
        Command::Password { name, new_password_file } => {
            let password = Secret(new_password(new_password_file.as_ref())?);
            change(global, &name, &UserUpdate { role: None, password: Some(password) })
        }
        Command::Delete { name } => {
            let body = global.client()?.delete(&path(&name))?;
            show(global, &body, |info: DeletedInfo| {
                output::line(&format!("deleted {}", info.deleted.join(", ")))
            })
        }
    }
}

fn path(name: &UserName) -> String {
    format!("/users/{}", escape(name.as_str()))
}

fn change(global: &Global, name: &UserName, update: &UserUpdate) -> CliResult<()> {
    let body = global.client()?.call(Method::PATCH, &path(name), update)?;
    show(global, &body, |info: UserInfo| print(&[info]))
}

fn print(list: &[UserInfo]) -> CliResult<()> {
    let mut table = Table::new(&[("NAME", Left), ("ROLE", Left), ("CREATED", Left)]);
    for info in list {
        table.row([info.name.to_string(), info.role.to_string(), format!("{:.0}", info.created)]);
    }
    table.print()
}
