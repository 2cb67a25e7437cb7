//! Programs of others that tests meet: found, or what needs them is skipped, loudly. Where TINTYPE_REQUIRE_PROGRAMS is set, as in CI, nothing may
//! be missing.
//!
//! `scripts/test` installs all of them: system packages, and below `target/tools` what comes from other registries.

use std::path::PathBuf;

/// Where the program is: TINTYPE_TEST_NAME names it (`-` as `_`), or it is in TINTYPE_TOOLS, below `target/tools`, or in the search path.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let variable = format!("TINTYPE_TEST_{}", name.to_uppercase().replace('-', "_"));
    let named = std::env::var_os(variable).map(PathBuf::from);
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/bin");
    let chosen = std::env::var_os("TINTYPE_TOOLS").map(PathBuf::from);
    let search = std::env::var_os("PATH").unwrap_or_default();
    let folders = chosen.into_iter().chain([own]).chain(std::env::split_paths(&search));
    let system = ["/usr/sbin", "/usr/lib/openssh"].map(PathBuf::from);
    let places = folders.chain(system).map(|folder| folder.join(name));
    let found = named.into_iter().chain(places).find(|file| file.is_file());
    if found.is_none() {
        skipped(&format!("{name} is not installed; `make test` installs it"));
    }
    found
}

/// Whether there is such a program.
#[must_use]
pub fn has(name: &str) -> bool {
    find(name).is_some()
}

/// Says that something is not tested, and why.
///
/// # Panics
/// Where everything has to be tested.
pub fn skipped(why: &str) {
    assert!(std::env::var_os("TINTYPE_REQUIRE_PROGRAMS").is_none(), "required, but {why}");
    eprintln!("SKIPPED: {why}");
}
