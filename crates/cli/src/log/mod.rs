//! The log of commands that serve something for long: to standard error, and its last lines for a support bundle.

mod json;

use std::io::Write;

use clap::ValueEnum;
use tintype_server::RecentLog;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::error::{CliError, CliResult};

/// What is logged when nobody says.
const FILTER: &str = "warn";

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One object of JSON a line
    Json,
}

/// Warnings and errors go to standard error; `TINTYPE_LOG` says otherwise.
pub fn start() {
    let filter = EnvFilter::try_from_env("TINTYPE_LOG").unwrap_or_else(|_| EnvFilter::new(FILTER));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    drop(log.try_init());
}

/// The same for a server, as its options say.
pub fn serve(filter: Option<&str>, format: Format) -> CliResult<RecentLog> {
    let filter = filter.unwrap_or(FILTER);
    let read = EnvFilter::try_new(filter).map_err(|error| {
        CliError::usage(
            format!("log {filter:?}: {error}"),
            "Write a level (error, warn, info, debug, trace), or TARGET=LEVEL with commas between them.",
        )
    })?;
    let recent = RecentLog::default();
    let log = tracing_subscriber::fmt().with_env_filter(read).with_writer(Both(recent.clone()));
    drop(match format {
        Format::Text => log.try_init(),
        Format::Json => log.event_format(json::Events).fmt_fields(json::Fields).try_init(),
    });
    Ok(recent)
}

/// Standard error, and what is kept of it.
struct Both(RecentLog);

/// One line on its way.
struct Line<'a>(&'a RecentLog);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.add(bytes);
        std::io::stderr().write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Both {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}
