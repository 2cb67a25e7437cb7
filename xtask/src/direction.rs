//! Dependencies point one way: a crate uses only crates of earlier layers.

use std::path::Path;

use crate::metadata::{Package, packages};

/// The table of layers: each crate with the crates of ours that it may use. A crate may use less. Tools beside the layers (bench, testkit, xtask)
/// are listed too: nothing may use them except tests.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("kv", &["model"]),
    ("segments", &["model"]),
    ("history", &["model", "kv"]),
    ("store", &["model", "kv", "segments", "history"]),
    ("fs", &["model", "history", "store"]),
    ("disk", &["model", "history", "store"]),
    ("repo", &["model"]),
    ("repomount", &["fs", "repo"]),
    ("image", &[]),
    ("app", &["model", "kv", "segments", "history", "store", "fs", "disk", "image"]),
    ("fuse", &["model", "fs"]),
    ("nbd", &[]),
    ("server", &["model", "fs", "disk", "image", "app", "fuse", "nbd"]),
    ("cli", &["model", "repo", "repomount", "image", "app", "fuse", "server"]),
    (
        "testkit",
        &[
            "model", "repo", "kv", "segments", "history", "store", "fs", "image", "app", "fuse",
            "nbd",
        ],
    ),
    (
        "bench",
        &[
            "model", "repo", "kv", "segments", "history", "store", "fs", "disk", "app", "fuse",
            "testkit",
        ],
    ),
    ("bench-peers", &["model", "testkit"]),
    ("xtask", &[]),
];

/// Every dependency between crates of ours that the table does not allow.
pub fn check(root: &Path) -> Result<Vec<String>, String> {
    Ok(violations(&packages(root)?))
}

fn short(name: &str) -> &str {
    name.strip_prefix("tintype-").unwrap_or(name)
}

fn violations(packages: &[Package]) -> Vec<String> {
    let ours: Vec<&Package> = packages.iter().filter(|package| package.ours).collect();
    let mut found = Vec::new();
    for package in &ours {
        let name = short(&package.name);
        let Some((_, allowed)) = ALLOWED.iter().find(|(crate_name, _)| *crate_name == name) else {
            found.push(format!("crate {name} is not in the table of layers: add it"));
            continue;
        };
        for need in &package.needs {
            let internal = ours.iter().any(|other| other.name == *need);
            if internal && !allowed.contains(&short(need)) {
                found.push(format!("crate {name} must not use {}", short(need)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, needs: &[&str]) -> Package {
        Package {
            name: name.into(),
            version: "0".into(),
            licence: None,
            ours: true,
            needs: needs.iter().map(|need| (*need).into()).collect(),
        }
    }

    #[test]
    fn upward_and_sideways_uses_are_found() {
        let packages = [
            package("tintype-model", &["tintype-kv"]),
            package("tintype-kv", &["tintype-model"]),
            package("tintype-segments", &["tintype-kv"]),
            package("tintype-new", &[]),
        ];
        let found = violations(&packages);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].contains("model must not use kv"));
        assert!(found[1].contains("segments must not use kv"));
        assert!(found[2].contains("new is not in the table"));
    }

    #[test]
    fn the_table_has_no_circle() {
        for (index, (name, allowed)) in ALLOWED.iter().enumerate() {
            for other in *allowed {
                let place = ALLOWED.iter().position(|(crate_name, _)| crate_name == other);
                assert!(place.is_some_and(|place| place < index), "{name} uses {other}");
            }
        }
    }
}
