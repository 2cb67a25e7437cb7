//! What a command says when it fails: what happened to which object, and what to do; with `--json` as one object.

use serde::Deserialize;
use serde_json::json;
use tintype_app::{AppError, ErrorKind};
use tintype_server::ProblemDocument;

use crate::notice;
use crate::output::printable;

/// The exit status behind a signal, as shells give it.
pub const STOPPED: u8 = 130;

/// What the server calls a request that makes no sense.
const INVALID: &str = "invalid";

const NAMES: &str =
    "Names have 1 to 255 bytes of UTF-8, without \"/\", \"@\" and control characters.";

/// A failure on its way to the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// The object and what happened to it.
    pub message: String,
    /// The object alone, where it is known apart from the message.
    pub object: Option<String>,
    /// The server's word for what kind of failure it is: `not-found`, `busy`, ...
    pub kind: Option<String>,
    /// What to do.
    pub remedy: String,
    /// 1 for failures, 2 for usage.
    pub status: u8,
}

/// The result of a command.
pub type CliResult<T> = Result<T, CliError>;

impl From<ProblemDocument> for CliError {
    fn from(told: ProblemDocument) -> Self {
        Self::from_problem(Problem {
            detail: told.detail,
            remedy: told.remedy,
            object: Some(told.object),
            kind: Some(told.kind),
        })
    }
}

/// The part of a problem document that people need.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    remedy: String,
    object: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl CliError {
    /// A failure.
    pub fn failure(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Self { message, object: None, kind: None, remedy, status: 1 }
    }

    /// A wrong use of the command line.
    pub fn usage(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: 2, ..Self::failure(message, remedy) }
    }

    /// From an answer of the server that is not a success.
    pub fn from_answer(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => Self::from_problem(problem),
            Err(_) => Self::failure(
                format!("server: answered with status {status} and no explanation"),
                "Check that server and program have the same version.",
            ),
        }
    }

    fn from_problem(problem: Problem) -> Self {
        let kind = problem.kind.map(|urn| urn.trim_start_matches("urn:tintype:").to_owned());
        // Also what only the server can tell is a wrong use of the command.
        let status = if kind.as_deref() == Some(INVALID) { 2 } else { 1 };
        Self {
            object: problem.object,
            kind,
            status,
            ..Self::failure(problem.detail, problem.remedy)
        }
    }

    /// Writes to standard error: lines for people, or one object for programs.
    pub fn report(&self) {
        notice::write(|events| if events { format!("{}\n", self.event()) } else { self.lines() });
    }

    fn lines(&self) -> String {
        let message = printable(&self.message);
        match self.remedy.as_str() {
            "" => format!("tintype: {message}\n"),
            remedy => format!("tintype: {message}\n  {}\n", printable(remedy)),
        }
    }

    /// As one of the events that commands tell on standard error.
    fn event(&self) -> serde_json::Value {
        json!({
            "event": "error",
            "status": self.status,
            "message": self.message,
            "object": self.object,
            "kind": self.kind,
            "remedy": Some(&self.remedy).filter(|text| !text.is_empty()),
        })
    }
}

impl From<AppError> for CliError {
    fn from(error: AppError) -> Self {
        let status = if error.kind == ErrorKind::Invalid { 2 } else { 1 };
        let kind = serde_json::to_value(error.kind).ok();
        Self {
            status,
            message: error.to_string(),
            kind: kind.and_then(|kind| kind.as_str().map(str::to_owned)),
            object: Some(error.object),
            remedy: error.remedy,
        }
    }
}

impl From<tintype_model::ModelError> for CliError {
    fn from(error: tintype_model::ModelError) -> Self {
        let text = error.to_string();
        // What would be accepted stands behind what is wrong.
        match (text.split_once(": write "), &error) {
            (Some((wrong, right)), _) => Self::usage(wrong, format!("Write {right}.")),
            (None, tintype_model::ModelError::Name { .. }) => Self::usage(text, NAMES),
            (None, _) => Self::usage(text, ""),
        }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::failure(
            format!("server: its answer cannot be read: {error}"),
            "Check that server and program have the same version.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_comes_with_what_would_be_right() {
        let error = CliError::from("home".parse::<tintype_model::SnapshotRef>().unwrap_err());
        assert_eq!(
            error.lines(),
            "tintype: \"home\" does not name a snapshot\n  Write FS@NAME, for example home@before-upgrade.\n"
        );
        let error = CliError::from("a@b/c".parse::<tintype_model::SnapshotRef>().unwrap_err());
        assert!(error.message.contains("it holds a \"/\"") && error.remedy.contains("255"));
    }

    #[test]
    fn answers_of_the_server_become_messages() {
        let body = br#"{"type":"urn:tintype:not-found","detail":"filesystem home: does not exist",
            "object":"filesystem home","remedy":"Do."}"#;
        let error = CliError::from_answer(404, body);
        assert_eq!(error.message, "filesystem home: does not exist");
        assert_eq!(error.lines(), "tintype: filesystem home: does not exist\n  Do.\n");
        assert_eq!(
            error.event(),
            json!({
                "event": "error", "status": 1, "message": "filesystem home: does not exist",
                "object": "filesystem home", "kind": "not-found", "remedy": "Do.",
            })
        );
        let body = br#"{"type":"urn:tintype:invalid","detail":"disk d: 1 is no size"}"#;
        assert_eq!((error.status, CliError::from_answer(400, body).status), (1, 2));
        assert!(CliError::from_answer(502, b"<html>").message.contains("502"));
    }
}
