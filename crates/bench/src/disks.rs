//! The rows about disks: fio's NBD engine against a server of the real program, and against other block servers in turn
//! (`--nbd NAME=SOCKET`, raw files and qcow2, as `tintype-bench-peers` starts them); then clones, through the server's socket.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::fill::{self, DiskFilled};
use crate::http::Client;
use crate::measure::{median, timed};
use crate::options::Options;
use crate::report::{line, round};
use crate::server::Server;
use crate::usage;

/// The disk of every bench.
pub(crate) const DISK: &str = "disk";

/// One kind of load.
struct Load {
    name: &'static str,
    rw: &'static str,
    block: &'static str,
    depth: u32,
    connections: u32,
    /// A flush after so many writes.
    flush: u32,
    /// Ours to a raw file of qemu-nbd.
    target: Option<f64>,
}

const fn load(name: &'static str, rw: &'static str, block: &'static str) -> Load {
    Load { name, rw, block, depth: 32, connections: 1, flush: 0, target: Some(1.0) }
}

const LOADS: [Load; 7] = [
    load("4 KiB random write", "randwrite", "4k"),
    Load { flush: 16, ..load("4 KiB random write, a flush per 16", "randwrite", "4k") },
    load("4 KiB random read", "randread", "4k"),
    Load {
        connections: 2,
        target: None,
        ..load("4 KiB random read, 2 connections", "randread", "4k")
    },
    Load { depth: 1, target: None, ..load("4 KiB random read, one at a time", "randread", "4k") },
    Load { depth: 4, ..load("sequential write", "write", "1m") },
    Load { depth: 4, ..load("sequential read", "read", "1m") },
];

/// Runs one row.
pub(crate) fn run(options: &Options, row: &str) -> Result<(), String> {
    match row {
        "disk" => loads(options),
        "disk-snapshots" => many(options),
        _ => clones(options),
    }
}

/// What a load is run against.
struct Target {
    name: String,
    uri: String,
}

/// Requests per second of each load on each target, one per round.
#[derive(Default)]
struct Table(BTreeMap<String, BTreeMap<String, Vec<f64>>>);

impl Table {
    fn add(&mut self, load: &str, target: &str, figure: f64) {
        let targets = self.0.entry(load.to_owned()).or_default();
        targets.entry(target.to_owned()).or_default().push(figure);
    }

    fn best(&self, load: &str, target: &str) -> f64 {
        let all = self.0.get(load).and_then(|targets| targets.get(target));
        all.map_or(f64::NAN, |all| all.iter().copied().fold(0.0, f64::max))
    }

    fn print(&self, load: &str, work: &str, target: Option<f64>, base: &str) {
        let Some(targets) = self.0.get(load) else { return };
        let names = targets.keys().filter(|name| name.as_str() != "tintype");
        let ratio = |name: &String| {
            (name.clone(), json!(round(self.best(load, "tintype") / self.best(load, name))))
        };
        let ratios: Map<String, Value> = names.map(ratio).collect();
        let best: Map<String, Value> = targets
            .keys()
            .map(|name| (name.clone(), json!(round(self.best(load, name)))))
            .collect();
        let reached = target.zip(ratios.get(base).and_then(Value::as_f64));
        line(&json!({
            "work": work, "unit": "requests/s", "best": best, "all": targets, "ratio": ratios, "target": target,
            "reached": reached.map(|(target, is)| is >= target),
        }));
    }
}

fn loads(options: &Options) -> Result<(), String> {
    let mut table = Table::default();
    let work = |load: &str| format!("disk: {load}");
    let after = |load: &str| format!("{load}, right after a snapshot");
    for _ in 0..options.rounds {
        let server = server(options, &options.base.join("disks"))?;
        let mut client = server.client()?;
        client.post("/disks", &json!({"name": DISK, "size": options.sizes.disk}))?;
        let mut targets =
            vec![Target { name: "tintype".to_owned(), uri: uri(&client.get("/disks/disk")?)? }];
        for (name, socket) in &options.exports {
            targets.push(Target {
                name: name.clone(),
                uri: format!("nbd+unix:///?socket={}", socket.display()),
            });
        }
        for target in &targets {
            // Everything is there before anything is measured. A qcow2 image is full already, and right behind a snapshot.
            if target.name.contains("qcow2") {
                continue;
            }
            let write = Load { depth: 4, ..load("", "write", "1m") };
            fio(options, &target.uri, &write, Some(options.sizes.disk))?;
        }
        for load in &LOADS {
            for target in &targets {
                table.add(load.name, &target.name, fio(options, &target.uri, load, None)?);
            }
        }
        let [ours, ..] = targets.as_slice() else { return Err("no disk".to_owned()) };
        for load in
            LOADS.iter().filter(|load| load.rw != "read" && load.depth > 1 && load.connections == 1)
        {
            client.post(
                "/snapshots",
                &json!({"snapshot": format!("{DISK}@{}", snapshot_name(&table))}),
            )?;
            table.add(&after(load.name), "tintype", fio(options, &ours.uri, load, None)?);
        }
        end(options, server, "disks")?;
    }
    for load in &LOADS {
        table.print(load.name, &work(load.name), load.target, "qemu-nbd raw");
        let (before, now) =
            (table.best(load.name, "tintype"), table.best(&after(load.name), "tintype"));
        if now.is_nan() {
            continue;
        }
        let qcow2 = options.exports.iter().find(|(name, _)| name.contains("qcow2"));
        let to_qcow2 = qcow2.map(|(name, _)| round(now / table.best(load.name, name)));
        line(&json!({
            "work": work(&after(load.name)), "unit": "requests/s", "before": round(before), "after": round(now),
            "ratio": round(now / before), "to_qcow2_after_one": to_qcow2, "target": 0.9, "reached": now >= 0.9 * before,
        }));
    }
    let (one, two) = (table.best(LOADS[2].name, "tintype"), table.best(LOADS[3].name, "tintype"));
    line(&json!({
        "work": "disk: 4 KiB random read, 2 connections against 1", "unit": "requests/s", "one": round(one),
        "two": round(two), "ratio": round(two / one), "target": 1.5, "reached": two >= 1.5 * one,
    }));
    Ok(())
}

/// A name that was not used yet: figures only grow in number.
fn snapshot_name(table: &Table) -> String {
    let figures: usize = table.0.values().flat_map(BTreeMap::values).map(Vec::len).sum();
    format!("s{figures}")
}

fn many(options: &Options) -> Result<(), String> {
    let mut table = Table::default();
    for _ in 0..options.rounds {
        for (name, snapshots) in [("none", 0), ("tintype", options.sizes.disk_snapshots)] {
            let filled = DiskFilled { size: options.sizes.disk, reserved: 0, snapshots };
            let home = fill::disk_home(options, filled, "disks")?;
            let server = server(options, &home)?;
            server.settle()?;
            let uri = uri(&server.client()?.get("/disks/disk")?)?;
            let write = Load { depth: 4, ..load("", "write", "1m") };
            fio(options, &uri, &write, Some(options.sizes.disk))?;
            for load in LOADS.iter().filter(|load| load.target.is_some()) {
                table.add(load.name, name, fio(options, &uri, load, None)?);
            }
            end(options, server, "disks")?;
        }
    }
    for load in LOADS.iter().filter(|load| load.target.is_some()) {
        let work = format!("disk with {} snapshots: {}", options.sizes.disk_snapshots, load.name);
        table.print(load.name, &work, Some(0.9), "none");
    }
    Ok(())
}

fn clones(options: &Options) -> Result<(), String> {
    let sizes = &options.sizes;
    let filled = DiskFilled { size: 1 << 40, reserved: sizes.reserved, snapshots: 1 };
    let home = fill::disk_home(options, filled, "disks")?;
    let mut server = server(options, &home)?;
    server.restart()?;
    server.settle()?;
    let before = usage::disk_bytes(&server.store());
    let mut client = server.client()?;
    let mut figures = Vec::new();
    for number in 0..sizes.clones {
        let body = json!({"name": format!("c{number}")});
        figures.push(1e3 * timed(|| clone(&mut client, &body))?);
    }
    let part = (sizes.clones / 20).max(1);
    let (first, last) = (figures.iter().take(part), figures.iter().rev().take(part));
    let (first, last) =
        (median(&first.copied().collect::<Vec<_>>()), median(&last.copied().collect::<Vec<_>>()));
    line(&json!({
        "work": "clone of a 1 TiB disk", "reserved_bytes": sizes.reserved, "unit": "ms", "first": figures.first().copied().map(round),
        "median": round(first), "target": 3.0, "reached": first <= 3.0,
    }));
    server.restart()?;
    server.settle()?;
    let after = usage::disk_bytes(&server.store());
    #[allow(clippy::cast_precision_loss)]
    let each = (after as f64 - before as f64) / sizes.clones as f64;
    line(&json!({
        "work": "clones of one disk", "clones": sizes.clones, "unit": "ms", "first": round(first), "last": round(last),
        "ratio": round(last / first), "store_bytes_each": round(each), "target": 1.5, "target_bytes": 4096.0,
        "reached": last <= 1.5 * first && each <= 4096.0,
    }));
    end(options, server, "disks")
}

fn clone(client: &mut Client, body: &Value) -> Result<(), String> {
    client.post(&format!("/disks/{DISK}/snapshots/s0/clone"), body).map(drop)
}

fn server(options: &Options, home: &Path) -> Result<Server, String> {
    usage::sync();
    Server::start(options, home, "auto")
}

fn end(options: &Options, mut server: Server, name: &str) -> Result<(), String> {
    server.stop()?;
    std::fs::remove_dir_all(options.base.join(name)).map_err(|e| e.to_string())
}

fn uri(disk: &Value) -> Result<String, String> {
    let uri = disk.pointer("/nbd_uri").and_then(Value::as_str);
    uri.map(str::to_owned).ok_or_else(|| "the disk is not served".to_owned())
}

/// Requests per second. With `bytes` so many are written once, otherwise the load goes on for its time.
fn fio(options: &Options, uri: &str, load: &Load, bytes: Option<u64>) -> Result<f64, String> {
    let mut command = Command::new("fio");
    command
        .args([
            "--name=load",
            "--ioengine=nbd",
            "--group_reporting",
            "--output-format=json",
            "--randrepeat=0",
        ])
        .args(["--norandommap", "--refill_buffers", "--buffer_compress_percentage=0"])
        .arg(format!("--uri={uri}"))
        .arg(format!("--rw={}", load.rw))
        .arg(format!("--bs={}", load.block))
        .arg(format!("--iodepth={}", load.depth))
        .arg(format!("--numjobs={}", load.connections));
    if load.flush > 0 {
        command.arg(format!("--fsync={}", load.flush));
    }
    match bytes {
        Some(bytes) => command.arg(format!("--size={bytes}")).arg("--end_fsync=1"),
        None => command.arg("--time_based").arg(format!("--runtime={}ms", options.sizes.disk_ms)),
    };
    let output = command.output().map_err(|e| format!("fio: {e}"))?;
    let said = || format!("fio {}: {}", load.name, String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(said());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // The engine prints lines of its own before the JSON.
    let start = text.find('{').ok_or_else(said)?;
    let value: Value = serde_json::from_str(text.get(start..).unwrap_or_default())
        .map_err(|e| format!("{}: {e}", said()))?;
    let direction = if load.rw.contains("read") { "read" } else { "write" };
    value.pointer(&format!("/jobs/0/{direction}/iops")).and_then(Value::as_f64).ok_or_else(said)
}
