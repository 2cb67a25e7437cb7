//! `tintype forget`: removes snapshots by rules or by id.

use jiff::Timestamp;
use serde_json::json;
use tintype_model::Tags;
use tintype_repo::{
    ForgetPlan, GroupBy, KeepCount, KeepOptions, KeepSpan, Lock, LockMode, Period, Repository,
    plan_forget, remove_snapshots, split_protected,
};

use super::prune;
use super::repo::environment::host;
use super::repo::packing::Packing;
use super::repo::{Choice, Place};
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::output;

/// Options of `forget`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to remove, whatever the rules say; protected ones stay
    #[arg(value_name = "SNAP")]
    ids: Vec<String>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    keep: Keep,
    /// What the snapshots of a group have in common
    #[arg(short, long, value_name = "HOST,LABEL,PATHS,TAGS", default_value = "host,paths")]
    group_by: GroupBy,
    /// Only snapshots of this machine (default: TINTYPE_HOST, RESTIC_HOST; "": any)
    #[arg(long)]
    host: Option<String>,
    /// Only snapshots with all of these tags; repeated: with all tags of any one list
    #[arg(long = "tag", value_name = "A,B")]
    tags: Vec<Tags>,
    /// Only show what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Free the space at once as far as that is safe (see `tintype prune`)
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    packing: Packing,
}

/// The rules.
#[derive(clap::Args, Debug)]
struct Keep {
    /// Keep the newest N snapshots (-1: all)
    #[arg(short = 'l', long, value_name = "N", allow_hyphen_values = true)]
    keep_last: Option<KeepCount>,
    /// Keep the newest of each of N minutes
    #[arg(short = 'M', long, value_name = "N", allow_hyphen_values = true)]
    keep_minutely: Option<KeepCount>,
    /// Keep the newest of each of N hours
    #[arg(short = 'H', long, value_name = "N", allow_hyphen_values = true)]
    keep_hourly: Option<KeepCount>,
    /// Keep the newest of each of N days
    #[arg(short = 'd', long, value_name = "N", allow_hyphen_values = true)]
    keep_daily: Option<KeepCount>,
    /// Keep the newest of each of N weeks
    #[arg(short = 'w', long, value_name = "N", allow_hyphen_values = true)]
    keep_weekly: Option<KeepCount>,
    /// Keep the newest of each of N months
    #[arg(short = 'm', long, value_name = "N", allow_hyphen_values = true)]
    keep_monthly: Option<KeepCount>,
    /// Keep the newest of each of N quarters
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    keep_quarter_yearly: Option<KeepCount>,
    /// Keep the newest of each of N half years
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    keep_half_yearly: Option<KeepCount>,
    /// Keep the newest of each of N years
    #[arg(short = 'y', long, value_name = "N", allow_hyphen_values = true)]
    keep_yearly: Option<KeepCount>,
    /// Keep all that are at most this much older than the newest, such as 1y5m7d2h
    #[arg(long, value_name = "SPAN")]
    keep_within: Option<KeepSpan>,
    /// Keep the newest of each minute within this span
    #[arg(long, value_name = "SPAN")]
    keep_within_minutely: Option<KeepSpan>,
    /// Keep the newest of each hour within this span
    #[arg(long, value_name = "SPAN")]
    keep_within_hourly: Option<KeepSpan>,
    /// Keep the newest of each day within this span
    #[arg(long, value_name = "SPAN")]
    keep_within_daily: Option<KeepSpan>,
    /// Keep the newest of each week within this span
    #[arg(long, value_name = "SPAN")]
    keep_within_weekly: Option<KeepSpan>,
    /// Keep the newest of each month within this span
    #[arg(long, value_name = "SPAN")]
    keep_within_monthly: Option<KeepSpan>,
    /// Keep the newest of each quarter within this span
    #[arg(long, value_name = "SPAN")]
    keep_within_quarter_yearly: Option<KeepSpan>,
    /// Keep the newest of each half year within this span
    #[arg(long, value_name = "SPAN")]
    keep_within_half_yearly: Option<KeepSpan>,
    /// Keep the newest of each year within this span
    #[arg(long, value_name = "SPAN")]
    keep_within_yearly: Option<KeepSpan>,
    /// Keep those with all of these tags; may be repeated
    #[arg(long, value_name = "A,B")]
    keep_tag: Vec<Tags>,
    /// Keep those whose id begins so; may be repeated
    #[arg(long, value_name = "ID")]
    keep_id: Vec<String>,
    /// Keep nothing but protected snapshots
    #[arg(long)]
    keep_none: bool,
    /// Remove snapshots that equal the one before
    #[arg(long)]
    delete_unchanged: bool,
    /// A group may lose its last snapshot
    #[arg(long)]
    unsafe_allow_remove_all: bool,
}

impl Keep {
    fn options(&self) -> KeepOptions {
        use Period::{Day, Each, HalfYear, Hour, Minute, Month, Quarter, Week, Year};
        let counts = [
            (Each, self.keep_last),
            (Minute, self.keep_minutely),
            (Hour, self.keep_hourly),
            (Day, self.keep_daily),
            (Week, self.keep_weekly),
            (Month, self.keep_monthly),
            (Quarter, self.keep_quarter_yearly),
            (HalfYear, self.keep_half_yearly),
            (Year, self.keep_yearly),
        ];
        let within = [
            (Each, &self.keep_within),
            (Minute, &self.keep_within_minutely),
            (Hour, &self.keep_within_hourly),
            (Day, &self.keep_within_daily),
            (Week, &self.keep_within_weekly),
            (Month, &self.keep_within_monthly),
            (Quarter, &self.keep_within_quarter_yearly),
            (HalfYear, &self.keep_within_half_yearly),
            (Year, &self.keep_within_yearly),
        ];
        KeepOptions {
            counts: counts
                .into_iter()
                .filter_map(|(period, count)| Some((period, count?)))
                .collect(),
            within: within
                .into_iter()
                .filter_map(|(period, span)| Some((period, (*span)?)))
                .collect(),
            tags: self.keep_tag.clone(),
            ids: self.keep_id.clone(),
            none: self.keep_none,
            delete_unchanged: self.delete_unchanged,
            allow_empty: self.unsafe_allow_remove_all,
        }
    }
}

/// Removes snapshots; with `--prune` also what only they needed.
pub fn run(global: &Global, args: &Args) -> CliResult<()> {
    let (repo, lock) = args.place.open_locked(LockMode::Exclusive)?;
    let removed = if args.ids.is_empty() {
        by_rules(global, args, &repo, &lock)?
    } else {
        by_id(global, args, &repo, &lock)?
    };
    if args.prune && removed > 0 && !args.dry_run {
        return prune::carry_out(
            global,
            &repo,
            &lock,
            &prune::default_options(args.packing)?,
            false,
        );
    }
    Ok(())
}

fn by_rules(global: &Global, args: &Args, repo: &Repository, lock: &Lock) -> CliResult<usize> {
    let options = args.keep.options();
    if options.is_empty() {
        return Err(CliError::usage(
            "no rule says what to keep",
            "Give rules such as --keep-daily 7, name snapshots, or say --keep-none.",
        ));
    }
    let mut snapshots = repo.snapshots()?;
    let host = host(args.host.as_deref());
    snapshots.retain(|snapshot| host.as_ref().is_none_or(|host| *host == snapshot.hostname));
    snapshots.retain(|snapshot| {
        args.tags.is_empty() || args.tags.iter().any(|tags| snapshot.has_tags(tags))
    });
    let plan = plan_forget(&snapshots, args.group_by, &options, Timestamp::now())?;
    let going = plan.to_remove();
    if !args.dry_run {
        lock.check()?;
        remove_snapshots(repo, &going)?;
    }
    show(global, args, &plan)?;
    Ok(going.len())
}

fn show(global: &Global, args: &Args, plan: &ForgetPlan<'_>) -> CliResult<()> {
    if global.json {
        let groups = plan.groups.iter().map(|(key, judged)| {
            let rows = judged.iter().map(|one| {
                let reasons: Vec<String> = one.reasons.iter().map(ToString::to_string).collect();
                json!({ "id": one.snapshot.id, "time": one.snapshot.time, "keep": one.keep, "reasons": reasons })
            });
            json!({ "group": key.to_string(), "snapshots": rows.collect::<Vec<_>>() })
        });
        return output::json(
            &json!({ "dry_run": args.dry_run, "groups": groups.collect::<Vec<_>>() }),
        );
    }
    let mut text = String::new();
    for (key, judged) in &plan.groups {
        text.push_str(&format!("{key}\n"));
        for one in judged {
            let reasons: Vec<String> = one.reasons.iter().map(ToString::to_string).collect();
            let verdict = if one.keep { "keep  " } else { "remove" };
            text.push_str(&format!(
                "  {verdict} {} {}  {}\n",
                one.snapshot.id.0.short(),
                one.snapshot.time,
                reasons.join(", ")
            ));
        }
    }
    let would = if args.dry_run { "would remove" } else { "removed" };
    text.push_str(&format!("{would} {} snapshots\n", plan.to_remove().len()));
    output::print(text.as_bytes())
}

fn by_id(global: &Global, args: &Args, repo: &Repository, lock: &Lock) -> CliResult<usize> {
    let mut named = Vec::new();
    for name in &args.ids {
        let snapshot = args.place.snapshot(repo, name, &Choice::default())?;
        if !named.iter().any(|other: &tintype_repo::SnapshotFile| other.id == snapshot.id) {
            named.push(snapshot);
        }
    }
    let (going, kept) = split_protected(named, Timestamp::now());
    let ids: Vec<_> = going.iter().map(|snapshot| snapshot.id).collect();
    if !args.dry_run {
        lock.check()?;
        remove_snapshots(repo, &ids)?;
    }
    if global.json {
        let kept: Vec<_> = kept.iter().map(|snapshot| snapshot.id).collect();
        output::json(&json!({ "dry_run": args.dry_run, "removed": ids, "protected": kept }))?;
    } else {
        let would = if args.dry_run { "would remove" } else { "removed" };
        output::line(&format!("{would} {} snapshots", ids.len()))?;
    }
    if let Some(first) = kept.first() {
        return Err(CliError::failure(
            format!("snapshot {}: is protected and stays", first.id.0.short()),
            "Its own rule keeps it; `tintype snapshot show --repo` says until when.",
        ));
    }
    Ok(ids.len())
}
