//! Reading the command line, and what is said when it cannot be understood: clap's text, with `--json` as one object.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::commands::Cli;
use crate::error::CliError;
use crate::notice;

/// A command line that asks for no command: wrong, or a question for help.
pub struct Refused {
    error: clap::Error,
    json: bool,
}

/// Reads the command line of this process.
pub fn read() -> Result<Cli, Box<Refused>> {
    Cli::try_parse().map_err(|error| {
        let json = wants_json(std::env::args_os().skip(1));
        Box::new(Refused { error, json })
    })
}

/// Prints what clap has to say. Help and version are no failures, and go to standard output as they are.
pub fn tell(refused: &Refused) -> ExitCode {
    let wrong = refused.error.use_stderr();
    if wrong && refused.json {
        notice::as_events(true);
        explain(&refused.error.to_string()).report();
    } else {
        // Nobody is left to tell when the output is gone.
        drop(refused.error.print());
    }
    u8::try_from(refused.error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The line was not understood, so its words are all there is.
fn wants_json(words: impl Iterator<Item = OsString>) -> bool {
    words.take_while(|word| word != "--").any(|word| word == "--json")
}

/// Clap's first paragraph says what is wrong, the others what to do.
fn explain(text: &str) -> CliError {
    let mut paragraphs = text.trim().split("\n\n").map(joined);
    let first = paragraphs.next().unwrap_or_default();
    let message = first.strip_prefix("error: ").unwrap_or(&first);
    CliError::usage(message, paragraphs.collect::<Vec<_>>().join("; "))
}

fn joined(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_becomes_a_message_and_a_remedy() {
        let error = Cli::try_parse_from(["tintype", "snapshot", "create"]).unwrap_err();
        let told = explain(&error.to_string());
        assert_eq!(told.message, "the following required arguments were not provided: <FS@NAME>");
        assert!(told.remedy.starts_with("Usage: tintype snapshot create"), "{}", told.remedy);
        assert_eq!(told.status, 2);
    }

    #[test]
    fn words_behind_the_end_of_options_are_no_options() {
        let json = |line: &str| wants_json(line.split(' ').map(OsString::from));
        assert!(json("fs show home --json"));
        assert!(!json("backup -- --json"));
    }
}
