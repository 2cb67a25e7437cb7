//! Options that write a policy's document: the members are those of `docs/policies.md`, checked by the server.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{CliError, CliResult};

/// The parts of a policy.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Parts {
    /// Each hour: "hours=9-17; minuteOffset=10; days=mon-fri; retention=10"
    #[arg(long, value_name = "RULES|off")]
    hourly: Option<String>,
    /// Each day: "time=22:05; days=mon-fri; retention=7"
    #[arg(long, value_name = "RULES|off")]
    daily: Option<String>,
    /// On days of the week: "days=saturday; time=23:05; retention=4"
    #[arg(long, value_name = "RULES|off")]
    weekly: Option<String>,
    /// On days of the month: "days=1; months=all; time=00:05; retention=12"
    #[arg(long, value_name = "RULES|off")]
    monthly: Option<String>,
    /// Every so many minutes: "interval=15; start_time=09:00; end_time=18:00; retention=4"
    #[arg(long, value_name = "RULES|off")]
    periodic: Option<String>,
    /// As a cron line says: "line=*/15 9-17 * * mon-fri; retention=8"
    #[arg(long, value_name = "RULES|off")]
    cron: Option<String>,
    /// What stays besides, by the keep rules of backups: "last=3; daily=7; within=1y"
    #[arg(long, value_name = "RULES|off")]
    keep: Option<String>,
    /// Zone whose clock counts, such as Europe/Berlin (default: that of the server)
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// How snapshots are named (default: {policy}-{class}.{time})
    #[arg(long, value_name = "PATTERN")]
    name_pattern: Option<String>,
    /// A text for people
    #[arg(long)]
    description: Option<String>,
    /// Make nothing when nothing has changed
    #[arg(long, value_name = "true|false")]
    skip_unchanged: Option<bool>,
    /// Whether it makes snapshots
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
}

impl Parts {
    /// The members that were given; `off` is `null`.
    pub fn members(&self) -> CliResult<Map<String, Value>> {
        let mut members = Map::new();
        for (name, rules) in [
            ("hourly", &self.hourly),
            ("daily", &self.daily),
            ("weekly", &self.weekly),
            ("monthly", &self.monthly),
            ("periodic", &self.periodic),
            ("cron", &self.cron),
            ("keep", &self.keep),
        ] {
            if let Some(text) = rules {
                members.insert(name.to_owned(), read_rules(name, text)?);
            }
        }
        for (name, text) in [
            ("time_zone", &self.time_zone),
            ("name_pattern", &self.name_pattern),
            ("description", &self.description),
        ] {
            members.extend(text.clone().map(|text| (name.to_owned(), text.into())));
        }
        for (name, flag) in [("skip_unchanged", self.skip_unchanged), ("enabled", self.enabled)] {
            members.extend(flag.map(|flag| (name.to_owned(), flag.into())));
        }
        Ok(members)
    }
}

/// `a=1; b=x y` as an object.
fn read_rules(name: &str, text: &str) -> CliResult<Value> {
    if text.trim() == "off" {
        return Ok(Value::Null);
    }
    let mut members = Map::new();
    for rule in text.split(';').map(str::trim).filter(|rule| !rule.is_empty()) {
        let (key, value) = rule.split_once('=').ok_or_else(|| {
            CliError::usage(
                format!("--{name}: {rule:?} is no rule"),
                "Write NAME=VALUE, with semicolons between them; see docs/policies.md.",
            )
        })?;
        let (key, text) = (key.trim(), value.trim());
        let number = matches!(key, "retention" | "interval" | "minuteOffset" | "minute_offset");
        let value = match text.parse::<u32>() {
            Ok(number_read) if number => number_read.into(),
            _ if key == "enable" => (text != "false").into(),
            _ => text.into(),
        };
        members.insert(key.to_owned(), value);
    }
    Ok(members.into())
}

/// Reads a document from a file, or from standard input for `-`.
pub fn read_file(path: &Path) -> CliResult<Map<String, Value>> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|read| text = read)
    };
    let wrong = |why: String| {
        CliError::failure(
            format!("{}: {why}", path.display()),
            "Give a policy's document: one JSON object; see docs/policies.md.",
        )
    };
    read.map_err(|e| wrong(format!("cannot be read: {e}")))?;
    serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_become_members() {
        let read = |text| read_rules("daily", text).unwrap();
        assert_eq!(
            read("time=22:05; days=monday, friday;retention = 7;"),
            json!({"time": "22:05", "days": "monday, friday", "retention": 7})
        );
        assert_eq!(read("line=*/15 9 * * *"), json!({"line": "*/15 9 * * *"}));
        assert_eq!(read(" off "), Value::Null);
        assert_eq!(read_rules("daily", "22:05").unwrap_err().status, 2);
    }
}
