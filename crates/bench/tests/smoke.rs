//! Every row runs at its small size, so that the benches cannot rot. No figure is judged.
#![allow(clippy::unwrap_used)] // a test

use std::path::PathBuf;
use std::process::Command;

/// The program lies beside ours when the workspace was built; else it is built now.
fn program() -> PathBuf {
    let bench = PathBuf::from(env!("CARGO_BIN_EXE_tintype-bench"));
    let program = bench.with_file_name("tintype");
    if !program.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "tintype-cli"]);
        if bench.parent().is_some_and(|dir| dir.ends_with("release")) {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
    }
    program
}

#[test]
fn every_row_runs_small() {
    let there = std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    let root = std::fs::OpenOptions::new().write(true).open("/proc/sys/vm/drop_caches").is_ok();
    if !there || !root {
        assert!(
            there || std::env::var_os("TINTYPE_REQUIRE_FUSE").is_none(),
            "FUSE is required, but /dev/fuse cannot be opened"
        );
        eprintln!("SKIPPED: the rows need /dev/fuse and root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_tintype-bench"));
    bench.args(["all", "--scale", "small", "--tintype"]).arg(program());
    let output = bench.arg("--base").arg(dir.path().join("base")).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().count() >= 25, "{lines}\n{errors}");
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value.get("work").is_some(), "{line}");
    }
}
