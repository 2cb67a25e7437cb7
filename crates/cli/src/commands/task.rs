//! `tintype task ...`: long operations of the server.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use tintype_app::types::{TaskInfo, TaskState};

use super::show;
use crate::client::{Client, escape, parse};
use crate::error::CliResult;
use crate::options::Global;
use crate::output::Align::Left;
use crate::output::{self, Table, facts};

/// Between two looks at a task.
const LOOKS: [u64; 6] = [20, 50, 100, 200, 500, 1000];

/// What can be done with tasks.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// List tasks, the oldest first
    List {
        /// Only those: running, done, failed or cancelled
        #[arg(long)]
        state: Option<String>,
    },
    /// Show a task, with its result
    Show {
        /// Its id
        id: String,
    },
    /// Ask a task to end: what only reads ends early, what changes something is done to its end
    Cancel {
        /// Its id
        id: String,
    },
    /// Wait until a task ends; exit status 1 when it did not end well
    Wait {
        /// Its id
        id: String,
    },
    /// Acknowledge the end of a task: it is listed no more
    Delete {
        /// Its id
        id: String,
    },
}

/// Runs the command that was asked for.
pub fn run(global: &Global, command: &Command) -> CliResult<ExitCode> {
    let client = global.client()?;
    let body = match command {
        Command::List { state } => {
            let query = state
                .as_ref()
                .map_or_else(String::new, |state| format!("?state={}", escape(state)));
            let body = client.get(&format!("/tasks{query}"))?;
            show(global, &body, |list: Vec<TaskInfo>| print_list(&list))?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Show { id } => client.get(&path(id))?,
        Command::Cancel { id } => {
            client.post(&format!("{}/cancel", path(id)), &serde_json::json!({}))?
        }
        Command::Delete { id } => client.delete(&path(id))?,
        Command::Wait { id } => return wait(global, &client, id),
    };
    show(global, &body, |task: TaskInfo| print(&task))?;
    Ok(ExitCode::SUCCESS)
}

/// Begins a task, and prints it.
pub fn begin<T: Serialize>(global: &Global, path: &str, body: &T) -> CliResult<ExitCode> {
    let body = global.client()?.later().post(path, body)?;
    show(global, &body, |task: TaskInfo| output::line(&task.id))?;
    Ok(ExitCode::SUCCESS)
}

fn path(id: &str) -> String {
    format!("/tasks/{}", escape(id))
}

fn wait(global: &Global, client: &Client, id: &str) -> CliResult<ExitCode> {
    let mut pauses = LOOKS.into_iter().chain(std::iter::repeat(1000));
    loop {
        let body = client.get(&path(id))?;
        let task: TaskInfo = parse(&body)?;
        if task.state != TaskState::Running {
            show(global, &body, |task: TaskInfo| print(&task))?;
            let well = task.state == TaskState::Done;
            return Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        std::thread::sleep(Duration::from_millis(pauses.next().unwrap_or(1000)));
    }
}

fn progress(task: &TaskInfo) -> String {
    match (task.done, task.total) {
        (0, 0) => "-".to_owned(),
        (done, 0) => done.to_string(),
        (done, total) => format!("{done} of {total}"),
    }
}

fn print_list(list: &[TaskInfo]) -> CliResult<()> {
    let columns = [
        ("ID", Left),
        ("OPERATION", Left),
        ("STATE", Left),
        ("PROGRESS", Left),
        ("USER", Left),
        ("STARTED", Left),
    ];
    let mut table = Table::new(&columns);
    for task in list {
        table.row([
            task.id.clone(),
            task.operation.clone(),
            state(task).to_owned(),
            progress(task),
            task.user.clone().unwrap_or_else(|| "-".to_owned()),
            format!("{:.0}", task.started),
        ]);
    }
    table.print()
}

const fn state(task: &TaskInfo) -> &'static str {
    if task.cancelling { "cancelling" } else { task.state.name() }
}

fn print(task: &TaskInfo) -> CliResult<()> {
    let ended = task.ended.map_or_else(|| "-".to_owned(), |time| format!("{time:.0}"));
    facts(&[
        ("task", task.id.clone()),
        ("operation", format!("{} {}", task.operation, task.object)),
        ("state", state(task).to_owned()),
        ("progress", progress(task)),
        ("started", format!("{:.0}", task.started)),
        ("ended", ended),
    ])?;
    if let Some(failure) = &task.failure {
        output::line(&format!("failure: {failure}"))?;
        output::line(&format!("  {}", failure.remedy))?;
    }
    match &task.result {
        None => Ok(()),
        Some(result) => output::line(&format!("result: {result}")),
    }
}
