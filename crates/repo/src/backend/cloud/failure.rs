//! What the library's failures mean to the port.
//!
//! Its own texts name addresses, headers and sometimes signatures; only the message of the service is shown, on one line.

use std::error::Error as _;
use std::io;

use opendal_core::{Error, ErrorKind};

use crate::backend::{BackendError, FileKind};
use crate::id::Id;

/// Shown of what a service says.
const LINE_MAX: usize = 300;

/// One call, for the words of its failures.
pub struct Call<'a> {
    pub location: &'a str,
    pub doing: &'static str,
    pub kind: FileKind,
    /// None: the folder.
    pub id: Option<Id>,
}

impl Call<'_> {
    /// The failure in the words of the port.
    pub fn failed(&self, error: &Error) -> BackendError {
        let location = self.location.to_owned();
        match (error.kind(), self.id) {
            (ErrorKind::NotFound, Some(id)) if self.doing != "write" => {
                BackendError::NotFound { kind: self.kind, id, location }
            }
            (ErrorKind::RangeNotSatisfied, Some(id)) => {
                BackendError::Short { kind: self.kind, id, location }
            }
            _ => {
                let source = io_error(error);
                BackendError::Io { doing: self.doing, object: self.object(), location, source }
            }
        }
    }

    fn object(&self) -> String {
        match (self.kind, self.id) {
            (FileKind::Config, _) => "config".to_owned(),
            (kind, None) => format!("folder {}", kind.folder()),
            (kind, Some(id)) => format!("{kind} {id}"),
        }
    }
}

/// With a kind that tells whether it may pass.
pub fn io_error(error: &Error) -> io::Error {
    if let Some(source) = connection(error) {
        return io::Error::new(source.kind(), source.to_string());
    }
    let kind = match error.kind() {
        ErrorKind::NotFound => io::ErrorKind::NotFound,
        ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
        ErrorKind::ConfigInvalid => io::ErrorKind::InvalidInput,
        ErrorKind::Unsupported => io::ErrorKind::Unsupported,
        ErrorKind::IsADirectory => io::ErrorKind::IsADirectory,
        ErrorKind::NotADirectory => io::ErrorKind::NotADirectory,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, said(error))
}

/// What failed below HTTP, where that is the reason.
fn connection(error: &Error) -> Option<&io::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

/// The message, and those of its reasons that are no messages of the library with all their context.
fn said(error: &Error) -> String {
    let line = |text: &str| -> String {
        let text: String =
            text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE_MAX).collect();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    match line(error.message()) {
        text if text.is_empty() => error.kind().to_string(),
        text => text,
    }
}
