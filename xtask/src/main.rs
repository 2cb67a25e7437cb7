//! Checks of the project itself: `cargo xtask check` runs all of them, or name one.
//!
//! - `direction`: crates depend only on crates above them in the table of layers;
//! - `licences`: every dependency has a licence that we may pass on;
//! - `promises`: the tests that docs/promises.md names exist;
//! - `tidy`: headers, no leftovers, no paths of somebody's machine.

mod direction;
mod licences;
mod metadata;
mod promises;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

type Check = fn(&Path) -> Result<Vec<String>, String>;

const CHECKS: [(&str, Check); 4] = [
    ("direction", direction::check),
    ("licences", licences::check),
    ("promises", promises::check),
    ("tidy", tidy::check),
];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_else(|| "check".to_owned());
    let mut known = wanted == "check";
    let mut failed = false;
    for (name, check) in CHECKS {
        if wanted != "check" && wanted != name {
            continue;
        }
        known = true;
        match check(&root()) {
            Ok(findings) if findings.is_empty() => println!("{name}: fine"),
            Ok(findings) => {
                failed = true;
                findings.iter().for_each(|finding| println!("{name}: {finding}"));
            }
            Err(error) => {
                failed = true;
                println!("{name}: cannot be checked: {error}");
            }
        }
    }
    if !known {
        println!("usage: cargo run -p xtask -- check|direction|licences|promises|tidy");
        return ExitCode::from(2);
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_keeps_its_rules() {
        for (name, check) in CHECKS {
            assert_eq!(check(&root()).unwrap(), Vec::<String>::new(), "{name}");
        }
    }
}
