//! The row `policies`: as many policies on as many filesystems, all due in one minute; how long after the full minute the last snapshot is there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::http::Client;
use crate::measure::timed;
use crate::options::Options;
use crate::report::{line, round};
use crate::server::Server;

/// Runs the row.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let home = options.base.join("policies");
    let server = Server::start(options, &home, "auto")?;
    let mut client = server.client()?;
    let many = options.sizes.policies;
    for number in 0..many {
        let volume = format!("v{number}");
        client.post("/filesystems", &json!({"name": volume}))?;
        client.post("/policies", &document(number, &volume))?;
    }
    // Waiting for full minutes is for those who want the figure.
    if options.small {
        return by_hand(options, &mut client);
    }
    // Enabled in one minute, so that all come first in the next.
    wait(1.0)?;
    // The server closes connections that were idle for so long.
    let mut client = server.client()?;
    for number in 0..many {
        client.patch(&format!("/policies/p{number}"), &json!({"enabled": true}))?;
    }
    let began = present(&mut client)?;
    wait(0.0)?;
    let mut client = server.client()?;
    let mut seconds = 0.0;
    while present(&mut client)? < began + many as u64 {
        seconds = past_minute()?;
        if seconds > 55.0 {
            return Err("not all snapshots came within the minute".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    line(&json!({
        "work": "policies due at once", "policies": many, "filesystems": many, "unit": "s",
        "last": round(seconds), "target": 10.0, "reached": seconds <= 10.0,
    }));
    drop(server);
    std::fs::remove_dir_all(home).map_err(|e| e.to_string())
}

/// The small run: all policies are run at once, and nobody waits for a minute.
fn by_hand(options: &Options, client: &mut Client) -> Result<(), String> {
    let many = options.sizes.policies;
    let began = present(client)?;
    let seconds = timed(|| {
        (0..many)
            .try_for_each(|n| client.post(&format!("/policies/p{n}/run"), &json!({})).map(drop))
    })?;
    if present(client)? < began + many as u64 {
        return Err("not all snapshots came".to_owned());
    }
    line(&json!({
        "work": "policies run by hand", "policies": many, "filesystems": many, "unit": "s", "all": round(seconds),
    }));
    Ok(())
}

fn document(number: usize, volume: &str) -> Value {
    json!({
        "name": format!("p{number}"), "enabled": false, "time_zone": "UTC", "volumes": [volume],
        "periodic": {"interval": 1, "retention": 4},
    })
}

fn present(client: &mut Client) -> Result<u64, String> {
    let status = client.get("/status")?;
    status.pointer("/snapshots").and_then(Value::as_u64).ok_or("no status".to_owned())
}

/// Seconds since the last full minute.
fn past_minute() -> Result<f64, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?;
    Ok(now.as_secs_f64() % 60.0)
}

/// Until so many seconds behind the next full minute.
fn wait(behind: f64) -> Result<(), String> {
    let rest = 60.0 - past_minute()? + behind;
    std::thread::sleep(Duration::from_secs_f64(rest));
    Ok(())
}
