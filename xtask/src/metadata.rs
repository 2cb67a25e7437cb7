//! What cargo knows about the workspace and its dependencies.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// One package of the dependency graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence expression.
    pub licence: Option<String>,
    /// It belongs to the workspace.
    pub ours: bool,
    /// Names of what it needs, without what only its tests need.
    pub needs: Vec<String>,
}

/// All packages that are really used.
pub fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    Ok(read(&value))
}

fn read(value: &Value) -> Vec<Package> {
    list(value, "packages").iter().map(package).collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn package(value: &Value) -> Package {
    let normal = |dependency: &&Value| dependency.get("kind").is_none_or(|kind| kind != "dev");
    Package {
        name: text(value, "name").unwrap_or_default(),
        version: text(value, "version").unwrap_or_default(),
        licence: text(value, "license"),
        ours: value.get("source").is_none_or(Value::is_null),
        needs: list(value, "dependencies")
            .iter()
            .filter(normal)
            .filter_map(|dependency| text(dependency, "name"))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_dependencies_do_not_count() {
        let value = serde_json::json!({"packages": [{
            "name": "a", "version": "1.0.0", "license": "MIT", "source": null,
            "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}],
        }]});
        let packages = read(&value);
        assert_eq!(packages[0].needs, ["b"]);
        assert!(packages[0].ours);
    }
}
