//! Every dependency has a licence that goes together with ours (MIT or Apache-2.0).

use std::path::Path;

use crate::metadata::{Package, packages};

/// Licences that ask for no more than a notice.
const ALLOWED: [&str; 14] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "Unlicense",
    "Unicode-3.0",
    "CC0-1.0",
    "BSL-1.0",
    // Lists of public root certificates: data, to be passed on with this licence's text.
    "CDLA-Permissive-2.0",
];

/// Every package whose licence is missing or not allowed.
pub fn check(root: &Path) -> Result<Vec<String>, String> {
    let packages = packages(root)?;
    Ok(packages.iter().filter(|package| !package.ours).filter_map(judge).collect())
}

fn judge(package: &Package) -> Option<String> {
    let label = format!("{} {}", package.name, package.version);
    match &package.licence {
        None => Some(format!("{label} names no licence")),
        Some(licence) if acceptable(licence) => None,
        Some(licence) => Some(format!("{label} has the licence {licence:?}, which is not allowed")),
    }
}

/// An expression of `OR` and `AND`, perhaps with brackets; the old form `A/B` means `A OR B`.
fn acceptable(expression: &str) -> bool {
    let expression = expression.trim();
    if let Some(parts) = split(expression, " OR ") {
        return parts.iter().any(|part| acceptable(part));
    }
    if let Some(parts) = split(expression, " AND ") {
        return parts.iter().all(|part| acceptable(part));
    }
    if let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        return acceptable(inner);
    }
    if expression.contains('/') {
        return expression.split('/').any(acceptable);
    }
    ALLOWED.contains(&expression)
}

/// Splits at an operator outside of brackets; nothing when it does not occur there.
fn split<'a>(expression: &'a str, operator: &str) -> Option<Vec<&'a str>> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0i32);
    for (at, letter) in expression.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ' ' if depth == 0 && expression.get(at..)?.starts_with(operator) => {
                parts.push(expression.get(start..at)?);
                start = at + operator.len();
            }
            _ => {}
        }
    }
    if parts.is_empty() {
        return None;
    }
    parts.push(expression.get(start..)?);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(acceptable(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND SSPL-1.0", ""] {
            assert!(!acceptable(bad), "{bad}");
        }
    }
}
