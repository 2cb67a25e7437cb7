//! `tintype policy show NAME`.

use tintype_app::types::{PolicyForecast, PolicyInfo};
use tintype_model::policy::PolicyName;

use crate::commands::show;
use crate::error::CliResult;
use crate::options::Global;
use crate::output::Align::Left;
use crate::output::{self, Table, facts};

/// Options of `policy show`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Its name
    name: PolicyName,
    /// Show instead what would be made and removed on its volumes in so many days
    #[arg(long, value_name = "DAYS")]
    next: Option<u32>,
}

/// Shows a policy.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    if let Some(days) = args.next {
        return foretell(global, &args.name, days);
    }
    let body = global.client()?.get(&super::path(&args.name))?;
    show(global, &body, |info: PolicyInfo| print(&info))
}

/// Shows what is to come.
pub fn foretell(global: &Global, name: &PolicyName, days: u32) -> CliResult<()> {
    let path = format!("{}/forecast?days={days}", super::path(name));
    let body = global.client()?.get(&path)?;
    show(global, &body, |forecast: PolicyForecast| {
        let mut table =
            Table::new(&[("TIME", Left), ("ACTION", Left), ("SNAPSHOT", Left), ("FOR", Left)]);
        for event in &forecast.events {
            let marks = event.policies.iter();
            let marks: Vec<_> =
                marks.map(|mark| format!("{} {}", mark.policy, mark.class)).collect();
            table.row([
                format!("{:.0}", event.time),
                event.action.clone(),
                event.snapshot.to_string(),
                marks.join(", "),
            ]);
        }
        table.print()?;
        if forecast.complete { Ok(()) } else { output::line("and more: ask for fewer days") }
    })
}

/// When it is due next, in words.
pub fn next(info: &PolicyInfo) -> String {
    match (info.next, info.next_class) {
        (Some(time), Some(class)) => format!("{time:.0} ({class})"),
        _ => "-".to_owned(),
    }
}

/// Prints a policy.
pub fn print(info: &PolicyInfo) -> CliResult<()> {
    let volumes: Vec<&str> = info.volumes.iter().map(|name| name.as_str()).collect();
    facts(&[
        ("policy", info.name.to_string()),
        ("description", info.description.clone()),
        ("enabled", if info.enabled { "yes" } else { "no" }.to_owned()),
        ("volumes", volumes.join(", ")),
        ("next", next(info)),
    ])?;
    let document = serde_json::to_value(&info.policy)?;
    for (name, value) in document.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "name" | "description" | "enabled") {
            output::line(&format!("{name}: {}", rules(value)))?;
        }
    }
    for text in info.problems.iter().map(|text| format!("problem: {text}")) {
        output::line(&text)?;
    }
    for text in info.notes.iter().map(|text| format!("note: {text}")) {
        output::line(&text)?;
    }
    Ok(())
}

/// A member as options write it.
fn rules(value: &serde_json::Value) -> String {
    let text = |value: &serde_json::Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    match value.as_object() {
        None => text(value),
        Some(members) => {
            let rules: Vec<_> =
                members.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
            rules.join("; ")
        }
    }
}
