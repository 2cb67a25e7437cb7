//! The variables that commands on repositories read: ours, then restic's of the same meaning. An empty one counts as not set, as with restic.
//!
//! Options go before all of them. They are read where they are needed and not by clap, which would show the option as one that is given.

use std::str::FromStr;
use std::time::Duration;

use crate::error::{CliError, CliResult};

const OWNERS: [&str; 2] = ["TINTYPE", "RESTIC"];

/// The variable of this name, without its owner.
pub fn variable(name: &str) -> Option<String> {
    set(&[name]).map(|found| found.value)
}

/// The first that is set of several, with its number. All of ours go before all of restic's: who sets `TINTYPE_PASSWORD_FILE` means it,
/// although `RESTIC_PASSWORD` is there for another program.
pub fn first<const N: usize>(names: [&str; N]) -> Option<(usize, String)> {
    set(&names).map(|found| (found.number, found.value))
}

struct Found {
    number: usize,
    name: String,
    value: String,
}

fn set(names: &[&str]) -> Option<Found> {
    OWNERS.iter().find_map(|owner| {
        names.iter().enumerate().find_map(|(number, name)| {
            let name = format!("{owner}_{name}");
            let value = std::env::var(&name).ok().filter(|value| !value.is_empty())?;
            Some(Found { number, name, value })
        })
    })
}

/// What an option says, else a variable.
pub fn option_or<T: FromStr>(option: Option<T>, name: &str) -> CliResult<Option<T>>
where
    T::Err: std::fmt::Display,
{
    let Some(Found { name, value, .. }) = set(&[name]).filter(|_| option.is_none()) else {
        return Ok(option);
    };
    let wrong = |e| CliError::usage(format!("{name}: `{value}`: {e}"), "Correct it, or unset it.");
    value.parse().map(Some).map_err(wrong)
}

/// The machine that is meant: what `--host` says, else the variable. `--host ""` means any, whatever the variable says.
pub fn host(option: Option<&str>) -> Option<String> {
    option.map_or_else(|| variable("HOST"), |host| Some(host.to_owned())).filter(|h| !h.is_empty())
}

/// The time between two signs of life, when the variable says how many there are in a second: at most 60.
pub fn pause() -> Option<Duration> {
    let rate: f64 = variable("PROGRESS_FPS")?.parse().ok()?;
    let pause = Duration::try_from_secs_f64(1.0 / rate.min(60.0)).ok()?;
    (rate > 0.0).then_some(pause)
}
