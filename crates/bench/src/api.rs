//! The row `api`: how long a small read and a snapshot take on one connection, and how many small reads 64 connections get in a second, with the
//! memory of the server before and after.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::Client;
use crate::measure::{median, rank, timed};
use crate::options::Options;
use crate::report::{line, round};
use crate::server::Server;
use crate::usage;

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// The small read.
const READ: &str = "/filesystems/home";

/// Runs the row.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let home = options.base.join("api");
    let server = Server::start(options, &home, "auto")?;
    let mut client = server.client()?;
    client.post("/filesystems", &json!({"name": "home"}))?;
    one_connection(options, &mut client)?;
    many_connections(options, &server)?;
    drop(server);
    std::fs::remove_dir_all(home).map_err(|e| e.to_string())
}

fn one_connection(options: &Options, client: &mut Client) -> Result<(), String> {
    let samples = options.sizes.requests;
    // The first ones find nothing in any cache.
    for _ in 0..samples / 10 {
        client.get(READ)?;
    }
    let reads = (0..samples).map(|_| timed(|| client.get_raw(READ)).map(|s| 1e3 * s));
    told("small read", 5.0, &reads.collect::<Result<Vec<_>, _>>()?);
    let mut creates = Vec::new();
    for number in 0..samples / 10 {
        let wish = json!({"snapshot": format!("home@s{number}")});
        creates.push(1e3 * timed(|| client.post("/snapshots", &wish))?);
    }
    told("snapshot create", 10.0, &creates);
    Ok(())
}

fn told(work: &str, target: f64, figures: &[f64]) {
    let p99 = rank(figures, 0.99);
    line(&json!({
        "work": format!("api: {work}"), "unit": "ms", "samples": figures.len(), "median": round(median(figures)),
        "p99": round(p99), "target": target, "reached": p99 <= target,
    }));
}

fn many_connections(options: &Options, server: &Server) -> Result<(), String> {
    let clients: Result<Vec<Client>, String> = (0..CONNECTIONS).map(|_| server.client()).collect();
    let mut clients = clients?;
    // Once without a look at the memory: threads and buffers of the first requests stay.
    load(&mut clients, options.sizes.load_ms / 4)?;
    let before = usage::memory(server.pid(), "VmRSS");
    let cpu = usage::cpu_seconds(server.pid());
    let start = Instant::now();
    let count = load(&mut clients, options.sizes.load_ms)?;
    let seconds = start.elapsed().as_secs_f64();
    let busy = usage::cpu_seconds(server.pid()) - cpu;
    let grown = usage::memory(server.pid(), "VmRSS") - before;
    #[allow(clippy::cast_precision_loss)]
    let rate = count as f64 / seconds;
    line(&json!({
        "work": "api: small reads", "connections": CONNECTIONS, "unit": "per second", "rate": round(rate), "requests": count,
        "cpu_us_each": round(1e6 * busy / (rate * seconds).max(1.0)), "memory_mib": round(before / f64::from(1 << 20)),
        "memory_grown_mib": round(grown / f64::from(1 << 20)), "target": 10_000.0, "reached": rate >= 10_000.0,
    }));
    Ok(())
}

/// Each connection asks again as soon as it has its answer. How many answers came; a failure ends it.
fn load(clients: &mut [Client], ms: u64) -> Result<u64, String> {
    let end = Instant::now() + Duration::from_millis(ms);
    std::thread::scope(|scope| {
        let work = move |client: &mut Client| -> Result<u64, String> {
            let mut count = 0;
            while Instant::now() < end {
                client.get_raw(READ)?;
                count += 1;
            }
            Ok(count)
        };
        let threads: Vec<_> =
            clients.iter_mut().map(|client| scope.spawn(move || work(client))).collect();
        let counts = threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread ended".to_owned())?);
        counts.sum()
    })
}
