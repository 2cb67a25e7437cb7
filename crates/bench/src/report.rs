//! Results: one JSON object per line.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Seconds of each work on each subject, one per round.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<&'static str, BTreeMap<String, Vec<f64>>>);

/// Target of a work as a share of the speed of ext4.
fn target(work: &str) -> Option<f64> {
    Some(match work {
        "seq write+fsync" | "seq cold read" | "rand write+fsync" | "tree grep -r cold" => 0.9,
        "rand cold read" => 0.5,
        "small create" => 0.3,
        "small cold read" => 0.6,
        "small warm stat" => 0.8,
        "tree cp -a" => 0.4,
        "tree rm -r" | "tree find cold" | "fsync" => 0.7,
        _ => return None,
    })
}

impl Table {
    /// Adds a figure.
    pub(crate) fn add(&mut self, work: &'static str, subject: &str, seconds: f64) {
        self.0.entry(work).or_default().entry(subject.to_owned()).or_default().push(seconds);
    }

    /// Prints one line per work: best seconds, all seconds, and speed with ext4 as 1.
    pub(crate) fn print(&self) {
        for (work, subjects) in &self.0 {
            let best: BTreeMap<&String, f64> = subjects
                .iter()
                .map(|(name, all)| (name, all.iter().copied().fold(f64::INFINITY, f64::min)))
                .collect();
            let base = best.iter().find(|(name, _)| name.as_str() == "ext4").map(|(_, s)| *s);
            let ratios: Map<String, Value> = best
                .iter()
                .filter_map(|(name, secs)| Some(((*name).clone(), json!(round(base? / secs)))))
                .collect();
            let target = target(work);
            let reached = target.zip(ratios.get("tintype").and_then(Value::as_f64));
            line(&json!({
                "work": work, "unit": "s", "best": best, "all": subjects, "speed": ratios,
                "target": target, "reached": reached.map(|(target, is)| is >= target),
            }));
        }
    }
}

/// Three digits are enough.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Prints one result.
pub(crate) fn line(value: &Value) {
    println!("{value}");
}
