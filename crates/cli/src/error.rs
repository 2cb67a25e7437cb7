//! What a command says when it fails: what happened to which object, and what to do.

use std::io::Write;

use serde::Deserialize;
use tintype_app::{AppError, ErrorKind};

/// A failure on its way to the terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// The object and what happened to it.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// 1 for failures, 2 for usage.
    pub status: u8,
}

/// The result of a command.
pub type CliResult<T> = Result<T, CliError>;

/// The part of a problem document that people need.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    #[serde(default)]
    remedy: String,
}

impl CliError {
    /// A failure.
    pub fn failure(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into(), status: 1 }
    }

    /// A wrong use of the command line.
    pub fn usage(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: 2, ..Self::failure(message, remedy) }
    }

    /// From an answer of the server that is not a success.
    pub fn from_answer(status: u16, body: &[u8]) -> Self {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => Self::failure(problem.detail, problem.remedy),
            Err(_) => Self::failure(
                format!("server: answered with status {status} and no explanation"),
                "Check that server and program have the same version.",
            ),
        }
    }

    /// Writes to standard error.
    pub fn report(&self) {
        let mut text = format!("tintype: {}\n", self.message);
        if !self.remedy.is_empty() {
            text.push_str(&format!("  {}\n", self.remedy));
        }
        // Nobody is left to tell when standard error is gone.
        drop(std::io::stderr().write_all(text.as_bytes()));
    }
}

impl From<AppError> for CliError {
    fn from(error: AppError) -> Self {
        let message = error.to_string();
        match error.kind {
            ErrorKind::Invalid => Self::usage(message, error.remedy),
            _ => Self::failure(message, error.remedy),
        }
    }
}

impl From<tintype_model::ModelError> for CliError {
    fn from(error: tintype_model::ModelError) -> Self {
        Self::usage(error.to_string(), "")
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
    fn answers_of_the_server_become_messages() {
        let body = br#"{"type":"x","detail":"filesystem home: does not exist","remedy":"Do."}"#;
        let error = CliError::from_answer(404, body);
        assert_eq!(error.message, "filesystem home: does not exist");
        assert_eq!(error.remedy, "Do.");
        assert!(CliError::from_answer(502, b"<html>").message.contains("502"));
    }
}
