//! What is known of policies: the policies, what they are attached to, and up to when each pair is served.
//!
//! A policy is the document `policy NAME`; what is served lies in one document `policy-run ID` per volume. Both are written before the book
//! changes. A snapshot carries its mark, so one whose run was not noted before a crash counts all the same, and is not made twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tintype_model::VolumeId;
use tintype_model::policy::{
    Attached, BACK_MAX, Decision, Policy, PolicyDocument, PolicyName, due, next_due,
};
use tintype_store::{DocumentChange, Store};

use crate::convert::store_error;
use crate::error::{AppError, AppResult};

/// Documents of policies.
const POLICY: &str = "policy";
/// Documents of what is served on a volume.
const RUN: &str = "policy-run";

/// A policy as it lies in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    policy: PolicyDocument,
    #[serde(default)]
    attached: BTreeSet<u64>,
}

/// A policy that can be run.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) policy: Policy,
    pub(crate) zone: TimeZone,
    pub(crate) attached: BTreeSet<VolumeId>,
}

/// Up to when each policy is served on a volume.
pub(crate) type Served = BTreeMap<PolicyName, Timestamp>;

/// Everything that is known.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) policies: BTreeMap<PolicyName, Arc<Entry>>,
    /// Why a policy of the store cannot be run.
    pub(crate) unread: BTreeMap<String, String>,
    pub(crate) served: BTreeMap<VolumeId, Served>,
    /// Why a volume was not served at the last run.
    pub(crate) failures: BTreeMap<VolumeId, AppError>,
    /// Volumes whose snapshots are to be judged anew.
    pub(crate) unjudged: BTreeSet<VolumeId>,
    /// Between these two instants a policy is not due.
    quiet: BTreeMap<PolicyName, (Timestamp, Timestamp)>,
}

/// What is to be done on a volume.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) volume: VolumeId,
    pub(crate) policies: Vec<(Arc<Entry>, Timestamp)>,
    /// Policies whose clock starts again.
    pub(crate) again: Vec<PolicyName>,
    pub(crate) due: bool,
}

impl Job {
    /// The policies in the form of the plan.
    pub(crate) fn attached(&self) -> Vec<Attached<'_>> {
        self.policies
            .iter()
            .map(|(entry, served)| Attached {
                policy: &entry.policy,
                zone: &entry.zone,
                served: *served,
            })
            .collect()
    }
}

/// The rules of a zone.
pub(crate) fn zone(name: &str) -> AppResult<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        AppError::invalid(
            format!("time zone {name}"),
            "is not known on this machine",
            "Write one such as Europe/Berlin or UTC; install the time zone database (tzdata) if it is missing.",
        )
    })
}

impl Book {
    /// Reads what the store knows.
    pub(crate) fn load(store: &Store, now: Timestamp) -> AppResult<Self> {
        let mut book = Self::default();
        let fail = |e| store_error("policies", &e);
        for (name, text) in store.documents(POLICY).map_err(fail)? {
            match read(&text) {
                Ok(entry) => {
                    book.policies.insert(entry.policy.name.clone(), Arc::new(entry));
                }
                Err(why) => {
                    tracing::error!(policy = name, %why, "a policy cannot be run");
                    book.unread.insert(name, why);
                }
            }
        }
        for (id, text) in store.documents(RUN).map_err(fail)? {
            let served = serde_json::from_slice::<Served>(&text);
            if let (Ok(id), Ok(served)) = (id.parse(), served) {
                book.served.insert(VolumeId(id), served);
            }
        }
        book.take_marks(store, now);
        book.unjudged = book.policies.values().flat_map(|entry| entry.attached.clone()).collect();
        Ok(book)
    }

    /// Snapshots whose run was not noted. Marks of the future are of a clock that was wrong.
    fn take_marks(&mut self, store: &Store, now: Timestamp) {
        for snapshot in store.snapshots(None) {
            for mark in &snapshot.meta.policies {
                if mark.due.duration_since(now) > BACK_MAX {
                    continue;
                }
                let served = self.served.entry(snapshot.volume).or_default();
                if let Some(until) = served.get_mut(&mark.policy) {
                    *until = mark.due.max(*until);
                }
            }
        }
    }

    /// Writes a policy, or its removal, and what is served with it; then the book says so too.
    pub(crate) fn put(
        &mut self,
        store: &Store,
        name: &PolicyName,
        entry: Option<Entry>,
        now: Timestamp,
    ) -> AppResult<()> {
        let value = entry.as_ref().map(|entry| {
            let attached = entry.attached.iter().map(|id| id.0).collect();
            json(&Row { policy: PolicyDocument::from(&entry.policy), attached })
        });
        let value = value.transpose()?;
        let mut changes = vec![DocumentChange { kind: POLICY, name: name.to_string(), value }];
        let mut served = self.served.clone();
        let old = self.policies.get(name);
        let before = old.map(|old| old.attached.clone()).unwrap_or_default();
        let after = entry.as_ref().map(|entry| entry.attached.clone()).unwrap_or_default();
        // New times make up for nothing that was due by the old ones; other changes leave what is due alone.
        let retimed = match (old, &entry) {
            (Some(old), Some(new)) => !same_times(&old.policy, &new.policy),
            _ => true,
        };
        for id in before.union(&after) {
            let of = served.entry(*id).or_default();
            match (before.contains(id), after.contains(id)) {
                (true, true) if !retimed => continue,
                (_, true) => drop(of.insert(name.clone(), now)),
                (_, false) => drop(of.remove(name)),
            }
            changes.push(run_change(*id, of)?);
        }
        self.write(store, &changes, name)?;
        self.served = served;
        self.quiet.remove(name);
        self.unread.remove(name.as_str());
        self.unjudged.extend(after);
        match entry {
            Some(entry) => drop(self.policies.insert(name.clone(), Arc::new(entry))),
            None => drop(self.policies.remove(name)),
        }
        Ok(())
    }

    fn write(&self, store: &Store, changes: &[DocumentChange], name: &PolicyName) -> AppResult<()> {
        store.put_documents(changes).map_err(|e| store_error(&format!("policy {name}"), &e))
    }

    /// Notes what was served, in the store and here.
    pub(crate) fn note(
        &mut self,
        store: &Store,
        news: &[(VolumeId, PolicyName, Timestamp)],
    ) -> AppResult<()> {
        let mut touched = BTreeSet::new();
        for (id, name, until) in news {
            // A policy that was detached meanwhile is not noted.
            let of = self.served.entry(*id).or_default();
            if let Some(served) = of.get_mut(name) {
                *served = *until;
                touched.insert(*id);
            }
        }
        let changes: Vec<_> = touched
            .iter()
            .filter_map(|id| Some(run_change(*id, self.served.get(id)?)))
            .collect::<AppResult<_>>()?;
        if changes.is_empty() {
            return Ok(());
        }
        store.put_documents(&changes).map_err(|e| store_error("policies", &e))
    }

    /// Forgets volumes that are gone.
    pub(crate) fn forget_gone(
        &mut self,
        store: &Store,
        live: &BTreeSet<VolumeId>,
    ) -> AppResult<()> {
        let gone: Vec<VolumeId> =
            self.served.keys().filter(|id| !live.contains(id)).copied().collect();
        self.failures.retain(|id, _| live.contains(id));
        self.unjudged.retain(|id| live.contains(id));
        if gone.is_empty() {
            return Ok(());
        }
        let removal =
            |id: &VolumeId| DocumentChange { kind: RUN, name: id.0.to_string(), value: None };
        let changes: Vec<_> = gone.iter().map(removal).collect();
        store.put_documents(&changes).map_err(|e| store_error("policies", &e))?;
        self.served.retain(|id, _| live.contains(id));
        Ok(())
    }

    /// The policies on a volume, with what is served.
    pub(crate) fn on(&self, volume: VolumeId, now: Timestamp) -> Vec<(Arc<Entry>, Timestamp)> {
        let served = self.served.get(&volume);
        let all = self.policies.values().filter(|entry| entry.attached.contains(&volume));
        all.map(|entry| {
            let until = served.and_then(|served| served.get(&entry.policy.name));
            (Arc::clone(entry), until.copied().unwrap_or(now))
        })
        .collect()
    }

    /// What is to be done now on these volumes; with `all`, snapshots of each are judged.
    pub(crate) fn jobs(
        &mut self,
        volumes: &BTreeSet<VolumeId>,
        now: Timestamp,
        all: bool,
    ) -> Vec<Job> {
        let attached =
            self.policies.values().flat_map(|entry| entry.attached.intersection(volumes));
        let attached: BTreeSet<VolumeId> = attached.copied().collect();
        let mut jobs = Vec::new();
        for volume in attached {
            let policies = self.on(volume, now);
            let (mut again, mut is_due) = (Vec::new(), false);
            for (entry, served) in &policies {
                match self.decide(entry, *served, now) {
                    Decision::Wait => {}
                    Decision::Make(_) => is_due = true,
                    Decision::StartAgain => again.push(entry.policy.name.clone()),
                }
            }
            if is_due || all || !again.is_empty() || self.unjudged.contains(&volume) {
                jobs.push(Job { volume, policies, again, due: is_due });
            }
        }
        jobs
    }

    /// As `due`; what is known to be quiet is not looked up again.
    fn decide(&mut self, entry: &Entry, served: Timestamp, now: Timestamp) -> Decision {
        let name = &entry.policy.name;
        let quiet = self.quiet.get(name).copied();
        if quiet.is_some_and(|(from, until)| served >= from && served <= now && now < until) {
            return Decision::Wait;
        }
        let one = Attached { policy: &entry.policy, zone: &entry.zone, served };
        let decision = due(one, now);
        if decision == Decision::Wait && served <= now {
            let until = next_due(&entry.policy, &entry.zone, now);
            let until = until.map_or(Timestamp::MAX, |due| due.at);
            self.quiet.insert(name.clone(), (served, until));
        }
        decision
    }
}

/// Are both due at the same instants?
fn same_times(one: &Policy, other: &Policy) -> bool {
    let times = |policy: &Policy| {
        let schedules = policy.schedules.iter();
        schedules.map(|(class, one)| (*class, one.enable, one.when.clone())).collect::<Vec<_>>()
    };
    let head = |policy: &Policy| (policy.enabled, policy.time_zone.clone());
    head(one) == head(other) && times(one) == times(other)
}

fn run_change(id: VolumeId, served: &Served) -> AppResult<DocumentChange> {
    let value = if served.is_empty() { None } else { Some(json(served)?) };
    Ok(DocumentChange { kind: RUN, name: id.0.to_string(), value })
}

fn json<T: Serialize>(value: &T) -> AppResult<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| {
        AppError::invalid("policy", format!("cannot be written: {e}"), "Report this defect.")
    })
}

fn read(text: &[u8]) -> Result<Entry, String> {
    let row: Row = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let policy = row.policy.policy("UTC").map_err(|e| e.to_string())?;
    let zone = zone(&policy.time_zone).map_err(|e| e.to_string())?;
    Ok(Entry { policy, zone, attached: row.attached.into_iter().map(VolumeId).collect() })
}
