//! `tintype repair packs [ID...]`: what is whole of damaged packs goes into new ones.

use std::path::PathBuf;

use serde_json::{Value, json};
use tintype_repo::{
    BlobKind, FileKind, LockMode, PackId, PackOutcome, PackRepair, PackRepairOptions, RepoError,
    repair_packs,
};

use super::super::repo::mending::watched;
use super::super::repo::{Place, one_id};
use crate::error::CliResult;
use crate::options::Global;
use crate::output;

/// Options of `repair packs`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Packs, by id or its first digits; none: all packs are read to find those that are damaged
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// The folder that gets a copy of each damaged pack before it is removed
    #[arg(long, value_name = "DIR", default_value = ".")]
    copies: PathBuf,
}

/// Repairs, then says what became of each pack.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let (repo, lock) = args.place.without_cache().open_locked(LockMode::Exclusive)?;
    let mut packs = Vec::new();
    if !args.ids.is_empty() {
        let there = repo.backend().list(FileKind::Pack).map_err(RepoError::from)?;
        for typed in &args.ids {
            let ids = there.iter().map(|(id, _)| *id);
            packs.push(PackId(one_id(FileKind::Pack, typed, ids)?));
        }
    }
    let options = PackRepairOptions { packs, copies: args.copies.clone(), threads: 0 };
    let report = watched(global.json, &lock, |progress, guard| {
        repair_packs(&repo, &options, progress, guard)
    })?;
    if global.json { output::json(&in_json(&report)) } else { tell(&report) }
}

fn tell(report: &PackRepair) -> CliResult<()> {
    for pack in &report.packs {
        tell_pack(pack)?;
    }
    let damaged = report.packs.iter().filter(|pack| !pack.sound).count();
    if damaged == 0 {
        return output::line("no pack is damaged");
    }
    let lost: usize = report.packs.iter().map(|pack| pack.lost.len()).sum();
    output::line(&format!("replaced {damaged} packs; {lost} blobs are lost"))?;
    if lost > 0 {
        output::line("`tintype repair snapshots` takes out of snapshots what is missing")?;
    }
    Ok(())
}

fn tell_pack(pack: &PackOutcome) -> CliResult<()> {
    if pack.sound {
        return output::line(&format!("pack {}: is whole and stays", pack.id));
    }
    let copy = pack.copy.as_ref().map(|path| output::printable(&path.to_string_lossy()));
    output::line(&format!(
        "pack {}: {} blobs salvaged, {} lost; its bytes are kept in {}",
        pack.id,
        pack.salvaged,
        pack.lost.len(),
        copy.unwrap_or_default()
    ))?;
    for (kind, id) in &pack.lost {
        output::line(&format!("  lost: {} {id}", word(*kind)))?;
    }
    Ok(())
}

fn word(kind: BlobKind) -> &'static str {
    match kind {
        BlobKind::Data => "data",
        BlobKind::Tree => "tree",
    }
}

fn in_json(report: &PackRepair) -> Value {
    let packs = report.packs.iter().map(|pack| {
        let lost = pack.lost.iter().map(|(kind, id)| json!({ "type": word(*kind), "id": id }));
        json!({
            "id": pack.id, "sound": pack.sound, "salvaged": pack.salvaged, "lost": lost.collect::<Vec<_>>(),
            "copy": pack.copy.as_ref().map(|path| path.to_string_lossy()),
        })
    });
    json!({ "packs": packs.collect::<Vec<_>>(), "index_files": report.index_files })
}
