//! The row `change-list`: a million changes between two moments, prepared once and read by four connections at the same time.

use std::time::Instant;

use serde_json::{Value, json};

use crate::fill;
use crate::http::Client;
use crate::options::Options;
use crate::report::{line, round};
use crate::server::{Server, VOLUME};
use crate::usage;

const READERS: usize = 4;
/// Entries of a page.
const LIMIT: usize = 10_000;
const API: &str = "/api/v2";

/// Runs the row.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let files = options.sizes.files;
    let home = fill::changes_home(options, files, "changes")?;
    usage::sync();
    let mut server = Server::start(options, &home, "auto")?;
    for round in ["first", "again"] {
        measure(&server, files, round)?;
    }
    server.stop()?;
    std::fs::remove_dir_all(home).map_err(|e| e.to_string())
}

fn measure(server: &Server, files: usize, which: &str) -> Result<(), String> {
    let mut client = server.client()?;
    let uid = |client: &mut Client, path: &str| -> Result<Value, String> {
        let found = client.get(&format!("{API}{path}"))?;
        found.pointer("/data/0/uid").cloned().ok_or_else(|| format!("{path}: nothing there"))
    };
    let wish = json!({
        "fs_uid": uid(&mut client, &format!("/fileSystems?name={VOLUME}"))?,
        "base_snap_uid": uid(&mut client, "/snapshots?name=s0")?, "target_snap_uid": null,
        "parallelism": READERS,
    });
    let before = usage::memory(server.pid(), "VmRSS");
    let start = Instant::now();
    let prepared = client.post(&format!("{API}/snapshots/diff/prepare"), &wish)?;
    let prepare = start.elapsed().as_secs_f64();
    let cookies = prepared.pointer("/data/cookies").and_then(Value::as_array).cloned();
    let start = Instant::now();
    let counts: Result<Vec<usize>, String> = std::thread::scope(|scope| {
        let readers: Vec<_> =
            cookies.iter().flatten().map(|cookie| scope.spawn(|| read(server, cookie))).collect();
        let ended = |reader: std::thread::ScopedJoinHandle<'_, _>| reader.join();
        readers
            .into_iter()
            .map(|one| ended(one).map_err(|_| "a reader ended".to_owned())?)
            .collect()
    });
    let (entries, seconds) = (counts?.into_iter().sum::<usize>(), start.elapsed().as_secs_f64());
    #[allow(clippy::cast_precision_loss)]
    let rate = entries as f64 / (prepare + seconds);
    let grown = (usage::memory(server.pid(), "VmHWM") - before) / f64::from(1 << 20);
    line(&json!({
        "work": "change list", "which": which, "files": files, "entries": entries, "readers": READERS,
        "prepare_s": round(prepare), "read_s": round(seconds), "unit": "entries/s", "rate": round(rate),
        "memory_mib": round(grown), "target": 200_000.0, "reached": rate >= 200_000.0 && grown <= 100.0,
    }));
    Ok(())
}

/// Reads a part to its end; how many entries it has. The answer is not taken apart: what is measured is the server.
fn read(server: &Server, cookie: &Value) -> Result<usize, String> {
    let mut client = server.client()?;
    let (mut count, mut resume) = (0, Value::Null);
    loop {
        let wish = json!({"cookie": cookie, "resume_token": resume, "limit": LIMIT});
        let page = client.post_raw(&format!("{API}/snapshots/diff/getResults"), &wish)?;
        let page = String::from_utf8(page).map_err(|e| e.to_string())?;
        count += page.matches("\"opType\":").count();
        let (_, rest) = page.rsplit_once("\"resume_token\":").ok_or("no resume token")?;
        match rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
            Some((token, _)) => resume = json!(token),
            None => return Ok(count),
        }
    }
}
