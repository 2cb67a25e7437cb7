//! A source tree: copied, listed and searched cold, removed, with the programs that people use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::loads::{Figures, MakeCold};
use crate::measure::{Random, timed};
use crate::options::Options;

const TARBALL: &str = "/usr/src/linux-source-6.1.tar.xz";

/// The tree to copy: the one that was named, else Debian's kernel source, else a made-up one.
pub(crate) fn source(options: &Options) -> Result<PathBuf, String> {
    if let Some(source) = &options.source {
        return Ok(source.clone());
    }
    let dir = options.base.join("source");
    if dir.exists() {
        return Ok(dir);
    }
    fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    if options.sizes.generated > 0 || !Path::new(TARBALL).exists() {
        if options.sizes.generated == 0 {
            eprintln!(
                "SKIPPED: the kernel source (package linux-source-6.1) is not there; a made-up tree instead"
            );
        }
        let files = if options.small { options.sizes.generated } else { 79_000 };
        generate(&dir, files).map_err(|e| e.to_string())?;
    } else {
        run(Command::new("tar").arg("-xJf").arg(TARBALL).arg("-C").arg(&dir))?;
    }
    Ok(dir)
}

fn generate(dir: &Path, files: usize) -> std::io::Result<()> {
    let mut random = Random::new(7);
    for number in 0..files {
        let place = dir.join(format!("dir-{}", number / 17));
        fs::create_dir_all(&place)?;
        let words = random.bytes(64).repeat(usize::try_from(random.below(500)).unwrap_or(1));
        fs::write(place.join(format!("file-{number}.c")), words)?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status.map(|status| status.code()) {
        // grep that finds nothing ends with 1
        Ok(Some(0 | 1)) => Ok(()),
        Ok(code) => Err(format!("{command:?} ended with {code:?}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

/// The whole row.
pub(crate) fn tree(dir: &Path, source: &Path, cold: MakeCold<'_>) -> Result<Figures, String> {
    let copy = dir.join("tree");
    let search =
        |place: &Path| run(Command::new("grep").args(["-r", "zq9_nowhere_at_all"]).arg(place));
    search(source)?; // now the source is in the kernel's cache
    let copying = timed(|| run(Command::new("cp").arg("-a").arg(source).arg(&copy)))?;
    cold()?;
    let finding = timed(|| run(Command::new("find").arg(&copy)))?;
    cold()?;
    let searching = timed(|| search(&copy))?;
    let removing = timed(|| run(Command::new("rm").arg("-r").arg(&copy)))?;
    Ok(vec![
        ("tree cp -a", copying),
        ("tree find cold", finding),
        ("tree grep -r cold", searching),
        ("tree rm -r", removing),
    ])
}
