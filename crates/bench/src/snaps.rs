//! The rows about snapshots: through the socket of a server, on stores that `fill` made.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::fill::{self, Filled};
use crate::http::Client;
use crate::loads;
use crate::measure::{Random, median, rank, timed};
use crate::options::Options;
use crate::report::{line, round};
use crate::server::{Server, VOLUME};
use crate::usage;

/// Runs one row.
pub(crate) fn run(options: &Options, row: &str) -> Result<(), String> {
    match row {
        "snapshot-create" => create(options),
        "snapshot-list" => list(options),
        "snapshot-delete" => delete(options),
        "diff" => diff(options),
        "many-snapshots" => many(options),
        "space-overwrite" => space(options),
        "memory" => memory(options),
        _ => Err("not a row".to_owned()),
    }
}

fn filled(options: &Options, files: usize, snapshots: usize) -> Result<Server, String> {
    let home = fill::home(options, Filled { files, snapshots }, "server")?;
    usage::sync();
    Server::start(options, &home, "auto")
}

fn end(options: &Options, mut server: Server) -> Result<(), String> {
    server.stop()?;
    fs::remove_dir_all(options.base.join("server")).map_err(|e| e.to_string())
}

fn snapshot(client: &mut Client, name: &str) -> Result<Value, String> {
    client.post("/snapshots", &json!({"snapshot": format!("{VOLUME}@{name}")}))
}

fn overwrite(path: &Path, random: &mut Random) -> Result<(), String> {
    let file = File::options().write(true).open(path).map_err(|e| e.to_string())?;
    file.write_all_at(&random.bytes(4096), 0).map_err(|e| e.to_string())
}

fn create(options: &Options) -> Result<(), String> {
    let mut first = None;
    for present in options.sizes.present.clone() {
        let mut server = filled(options, 0, present)?;
        let dir = server.mount()?;
        let mut client = server.client()?;
        let mut random = Random::new(13);
        let mut figures = Vec::new();
        for number in 0..options.sizes.samples {
            overwrite(&dir.join("data"), &mut random)?;
            let name = format!("new-{number}");
            figures.push(1e3 * timed(|| snapshot(&mut client, &name).map(drop))?);
        }
        let middle = median(&figures);
        let first = *first.get_or_insert(middle);
        line(&json!({
            "work": "snapshot create", "present": present, "unit": "ms", "median": round(middle),
            "p95": round(rank(&figures, 0.95)), "to_first": round(middle / first), "target": 3.0,
            "reached": middle <= 3.0 && middle <= 1.5 * first, "transport": server.transport()?,
        }));
        end(options, server)?;
    }
    Ok(())
}

fn list(options: &Options) -> Result<(), String> {
    let server = filled(options, 0, options.sizes.snapshots)?;
    let mut client = server.client()?;
    let (mut program, mut socket) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for _ in 0..5 {
        let mut command = server.command(&["snapshot", "list", "--json"]);
        command.stdout(Stdio::piped());
        program.push(1e3 * timed(|| command.output().map(|out| bytes = out.stdout.len()))?);
        socket.push(1e3 * timed(|| client.get_raw("/snapshots"))?);
    }
    line(&json!({
        "work": "snapshot list", "present": options.sizes.snapshots, "unit": "ms", "bytes": bytes,
        "median": round(median(&program)), "socket_median": round(median(&socket)), "target": 250.0,
        "reached": median(&program) <= 250.0,
    }));
    end(options, server)
}

fn delete(options: &Options) -> Result<(), String> {
    let server = filled(options, 0, options.sizes.snapshots)?;
    server.settle()?;
    let mut client = server.client()?;
    let samples = options.sizes.samples.min(options.sizes.snapshots / 4);
    let before = usage::cpu_seconds(server.pid());
    let mut figures = Vec::new();
    for number in 0..samples {
        // Every second one of the middle, so that each holds a block of its own.
        let name = format!("{VOLUME}@s{}", options.sizes.snapshots / 4 + 2 * number);
        let body = json!({"snapshots": [name]});
        figures.push(1e3 * timed(|| client.post("/snapshots/delete", &body))?);
    }
    server.settle()?;
    #[allow(clippy::cast_precision_loss)]
    let work = 1e3 * (usage::cpu_seconds(server.pid()) - before) / samples as f64;
    line(&json!({
        "work": "snapshot delete", "present": options.sizes.snapshots, "unit": "ms",
        "median": round(median(&figures)), "cpu_each_with_background": round(work), "target": 5.0,
        "reached": median(&figures) <= 5.0 && work <= 5.0,
    }));
    end(options, server)
}

fn diff(options: &Options) -> Result<(), String> {
    let mut server = filled(options, options.sizes.files, 1)?;
    let dir = server.mount()?;
    let mut client = server.client()?;
    for (changes, target) in options.sizes.changes.iter().zip([50.0, 2000.0]) {
        snapshot(&mut client, &format!("before-{changes}"))?;
        let step = options.sizes.files / changes;
        for number in 0..*changes {
            let path = dir.join(fill::file_path(number * step));
            let file = File::options().append(true).open(path);
            file.and_then(|mut file| file.write_all(b"+")).map_err(|e| e.to_string())?;
        }
        snapshot(&mut client, &format!("after-{changes}"))?;
        let path = format!("/diff?from={VOLUME}@before-{changes}&to={VOLUME}@after-{changes}");
        let mut figures = Vec::new();
        let mut entries = 0;
        for _ in 0..5 {
            let mut answer = Vec::new();
            figures.push(1e3 * timed(|| client.get_raw(&path).map(|text| answer = text))?);
            let value: Value = serde_json::from_slice(&answer).map_err(|e| e.to_string())?;
            entries = value.pointer("/entries").and_then(Value::as_array).map_or(0, Vec::len);
        }
        line(&json!({
            "work": "diff", "files": options.sizes.files, "changes": changes, "entries": entries,
            "unit": "ms", "median": round(median(&figures)), "first": figures.first().copied().map(round),
            "target": target, "reached": median(&figures) <= target,
        }));
    }
    end(options, server)
}

fn many(options: &Options) -> Result<(), String> {
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..options.rounds {
        for (present, all) in [0, options.sizes.snapshots].into_iter().zip(&mut all) {
            let mut server = filled(options, 1000.min(options.sizes.files), present)?;
            let dir = server.mount()?;
            server.settle()?;
            let mut round = Vec::new();
            type Load = fn(
                &Path,
                &crate::options::Sizes,
                loads::MakeCold<'_>,
            ) -> Result<loads::Figures, String>;
            let loads: [Load; 4] = [loads::seq, loads::rand, loads::small, loads::fsync];
            for load in loads {
                round.extend(load(&dir, &options.sizes, &mut || server.restart())?);
            }
            all.push(round);
            end(options, server)?;
        }
    }
    let [none, many] = all.map(|rounds| best(&rounds));
    for ((work, none), (_, many)) in none.into_iter().zip(many) {
        line(&json!({
            "work": format!("with {} snapshots: {work}", options.sizes.snapshots), "unit": "s",
            "none": round(none), "many": round(many), "speed": round(none / many), "target": 0.9,
            "reached": none / many >= 0.9,
        }));
    }
    Ok(())
}

fn best(rounds: &[loads::Figures]) -> loads::Figures {
    let mut best = rounds.first().cloned().unwrap_or_default();
    for round in rounds {
        for (known, (_, now)) in best.iter_mut().zip(round) {
            known.1 = known.1.min(*now);
        }
    }
    best
}

fn space(options: &Options) -> Result<(), String> {
    let mut server = filled(options, 0, 0)?;
    let dir = server.mount()?;
    let path = dir.join("random");
    loads::write_large(&path, options.sizes.large.min(64 << 20)).map_err(|e| e.to_string())?;
    let mut random = Random::new(17);
    // The record engine keeps journals up to a fixed size; both ends are measured after a restart settled.
    server.restart()?;
    server.settle()?;
    let before = usage::disk_bytes(&server.store());
    let file = File::options().write(true).open(&path).map_err(|e| e.to_string())?;
    let mut client = server.client()?;
    for number in 0..options.sizes.samples {
        snapshot(&mut client, &format!("new-{number}"))?;
        let at = random.below(options.sizes.large.min(64 << 20) / 4096) * 4096;
        file.write_all_at(&random.bytes(4096), at).map_err(|e| e.to_string())?;
        file.sync_all().map_err(|e| e.to_string())?;
    }
    drop(file);
    server.restart()?;
    server.settle()?;
    let after = usage::disk_bytes(&server.store());
    #[allow(clippy::cast_precision_loss)]
    let each = (after as f64 - before as f64) / options.sizes.samples as f64;
    line(&json!({
        "work": "space of a 4 KiB overwrite after a snapshot", "unit": "bytes", "each": round(each),
        "samples": options.sizes.samples, "target": 16384.0, "reached": each <= 16384.0,
    }));
    end(options, server)
}

fn memory(options: &Options) -> Result<(), String> {
    let mut server = filled(options, options.sizes.files, options.sizes.snapshots)?;
    let dir = server.mount()?;
    let started = usage::memory(server.pid(), "VmRSS");
    server.client()?.get_raw("/snapshots")?;
    let listed = usage::memory(server.pid(), "VmRSS");
    let mut find = std::process::Command::new("find");
    find.arg(&dir).args(["-size", "+100k"]).stdout(Stdio::null());
    let walk = timed(|| find.status())?;
    let walked = usage::memory(server.pid(), "VmRSS");
    let mib = |bytes: f64| round(bytes / f64::from(1 << 20));
    line(&json!({
        "work": "memory of the server", "files": options.sizes.files, "unit": "MiB",
        "snapshots": options.sizes.snapshots, "started": mib(started), "after_list": mib(listed),
        "after_walk": mib(walked), "peak": mib(usage::memory(server.pid(), "VmHWM")), "walk_s": round(walk),
        "target": 500.0, "reached": mib(walked) <= 500.0,
    }));
    end(options, server)
}
