//! The rows about images of disks: our commands against `qemu-img` on the same disk, half full; and a delta after a few writes on a large disk.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::measure::{Random, median, timed};
use crate::options::Options;
use crate::report::{line, round};
use crate::server::Server;
use crate::usage;

/// Data and holes take turns in pieces of this many bytes.
const PIECE: u64 = 8 << 20;

/// Runs the row.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        eprintln!("SKIPPED: no qemu-img to compare with");
        return Ok(());
    }
    let home = options.base.join("images");
    let mut server = Server::start(options, &home, "auto")?;
    whole(options, &server, &home)?;
    delta(options, &server, &home)?;
    server.stop()?;
    fs::remove_dir_all(home).map_err(|e| e.to_string())
}

/// Runs a command that must succeed; its output.
fn done(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{command:?}: {said}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Seconds of a command, warm files, after everything of before is on disk.
fn seconds(command: &mut Command) -> Result<f64, String> {
    usage::sync();
    timed(|| done(command).map(drop))
}

fn source(options: &Options, home: &Path) -> Result<PathBuf, String> {
    let path = home.join("source.raw");
    let file = File::create(&path).map_err(|e| e.to_string())?;
    let size = options.sizes.image;
    file.set_len(size).map_err(|e| e.to_string())?;
    let mut random = Random::new(31);
    for at in (0..size).step_by(2 * PIECE as usize) {
        let count = PIECE.min(size - at) as usize;
        file.write_all_at(&random.bytes(count), at).map_err(|e| e.to_string())?;
    }
    Ok(path)
}

fn convert(format: (&str, &Path), into: (&str, &Path)) -> Command {
    let mut command = Command::new("qemu-img");
    // Written through to the disk at the end, as our own files are.
    command.args(["convert", "-t", "writeback", "-f", format.0, "-O", into.0]);
    if into.0 == "vpc" {
        command.args(["-o", "subformat=dynamic,force_size=on"]);
    }
    command.arg(format.1).arg(into.1);
    command
}

fn whole(options: &Options, server: &Server, home: &Path) -> Result<(), String> {
    let raw = source(options, home)?;
    done(server.command(&["disk", "import"]).arg(&raw).arg("disk"))?;
    done(&mut server.command(&["snapshot", "create", "disk@a"]))?;
    for (name, theirs) in [("vhd", "vpc"), ("qcow2", "qcow2")] {
        let (ours_file, theirs_file) = (home.join("ours"), home.join("theirs"));
        let (out, back) = (home.join("out"), "back");
        let (mut ours, mut peer, mut ours_in, mut peer_in) = (vec![], vec![], vec![], vec![]);
        for _ in 0..options.rounds {
            remove(&[&ours_file, &theirs_file, &out]);
            peer.push(seconds(&mut convert(("raw", &raw), (theirs, &theirs_file)))?);
            let mut export = server.command(&["disk", "export", "disk@a", "--format", name]);
            ours.push(seconds(export.arg(&ours_file))?);
            peer_in.push(seconds(&mut convert((theirs, &theirs_file), ("raw", &out)))?);
            remove(&[&out]);
            ours_in.push(seconds(server.command(&["disk", "import"]).arg(&theirs_file).arg(back))?);
            done(&mut server.command(&["disk", "delete", back]))?;
        }
        remove(&[&ours_file, &theirs_file, &out]);
        print(&format!("image export {name}"), &ours, &peer);
        print(&format!("image import {name}"), &ours_in, &peer_in);
    }
    done(&mut server.command(&["disk", "delete", "disk", "--force"]))?;
    remove(&[&raw]);
    Ok(())
}

fn remove(files: &[&Path]) {
    files.iter().for_each(|file| drop(fs::remove_file(file)));
}

fn print(work: &str, ours: &[f64], peer: &[f64]) {
    let (mine, other) = (median(ours), median(peer));
    line(&json!({
        "work": work, "unit": "s", "tintype": round(mine), "qemu-img": round(other),
        "ratio": round(other / mine), "target": 1.5, "reached": other / mine >= 1.5,
    }));
}

/// 100 writes of 4 KiB all over a disk of 1 TiB, and what changed as a VHD.
fn delta(options: &Options, server: &Server, home: &Path) -> Result<(), String> {
    done(&mut server.command(&["disk", "create", "large", "--size", "1T"]))?;
    let shown = done(&mut server.command(&["disk", "show", "large", "--json"]))?;
    let shown: Value = serde_json::from_str(&shown).map_err(|e| e.to_string())?;
    let uri = shown.get("nbd_uri").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut random = Random::new(32);
    let mut write = |count: usize| {
        let mut command = Command::new("qemu-io");
        command.args(["-f", "raw"]);
        for _ in 0..count {
            let at = random.below(1 << 28) * 4096;
            command.args(["-c", &format!("write -P {} {at} 4k", 1 + random.below(255))]);
        }
        done(command.args(["-c", "flush", &uri])).map(drop)
    };
    write(200)?;
    let mut figures = Vec::new();
    for index in 0..options.rounds {
        done(&mut server.command(&["snapshot", "create", &format!("large@{index}-a")]))?;
        write(100)?;
        done(&mut server.command(&["snapshot", "create", &format!("large@{index}-b")]))?;
        let (base, moment) = (format!("large@{index}-a"), format!("large@{index}-b"));
        let file = home.join("delta.vhd");
        let mut export = server.command(&["disk", "export", &moment, "--base", &base]);
        figures.push(seconds(export.arg(&file))?);
        remove(&[&file]);
    }
    let middle = median(&figures);
    line(&json!({
        "work": "image delta", "unit": "s", "median": round(middle), "target": 1.0, "reached": middle <= 1.0,
    }));
    done(&mut server.command(&["disk", "delete", "large", "--force"])).map(drop)
}
