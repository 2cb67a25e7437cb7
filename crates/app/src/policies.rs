//! Use cases of policies: make, list, show, change, attach, detach, run, foretell, delete.
//!
//! `tintype_model::policy` decides; here it is read, written and carried out. Parts: `book` (what is known), `run` (one run), `driver` (the
//! thread), `clock` (the port).

mod book;
mod clock;
mod driver;
mod run;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, RwLock};
use tintype_model::policy::{
    Attached, Class, EventKind, Mark, Policy, PolicyDocument, PolicyError, PolicyName, forecast,
    next_due,
};
use tintype_model::{SnapshotRef, VolumeId, VolumeName};
use tintype_store::{Store, Volume};

use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::types::{PolicyEvent, PolicyForecast, PolicyInfo, PolicyRun, PolicyRunRequest};
use book::{Book, Entry, zone};

pub use clock::{Clock, SystemClock};
pub use driver::PolicyRunner;
pub use run::RunReport;

/// How many policies a store may have: the book is held in memory.
const POLICIES_MAX: usize = 10_000;
/// How far is foretold, and how much at most.
const DAYS_MAX: u32 = 3660;
const EVENTS_MAX: usize = 20_000;

/// What the app keeps of policies.
pub(crate) struct Policies {
    /// Locked briefly, and while a policy is written.
    pub(crate) book: Mutex<Book>,
    /// Held during a run.
    running: Mutex<()>,
    trust: Mutex<clock::Trust>,
    clock: RwLock<Arc<dyn Clock>>,
}

impl Policies {
    pub(crate) fn load(store: &Store, now: Timestamp) -> AppResult<Self> {
        Ok(Self {
            book: Mutex::new(Book::load(store, now)?),
            running: Mutex::default(),
            trust: Mutex::default(),
            clock: RwLock::new(Arc::new(SystemClock::default())),
        })
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock.read())
    }
}

impl From<PolicyError> for AppError {
    fn from(error: PolicyError) -> Self {
        Self::invalid("policy", error.to_string(), "docs/policies.md describes policies.")
    }
}

impl App {
    /// Lets policies go by another clock.
    pub fn set_policy_clock(&self, clock: Arc<dyn Clock>) {
        *self.policies.clock.write() = clock;
    }

    /// Makes a policy, and attaches it to the volumes that its document names.
    pub fn policy_create(&self, document: &PolicyDocument) -> AppResult<PolicyInfo> {
        let policy = document.policy(&local_zone())?;
        let zone = zone(&policy.time_zone)?;
        let attached = document.volumes.iter().map(|name| Ok(self.volume(name)?.id));
        let attached = attached.collect::<AppResult<BTreeSet<VolumeId>>>()?;
        let (name, now) = (policy.name.clone(), self.policies.clock().now());
        let store = self.store()?;
        let mut book = self.policies.book.lock();
        let taken = book.policies.contains_key(&name) || book.unread.contains_key(name.as_str());
        if taken {
            return Err(AppError::new(
                ErrorKind::Exists,
                format!("policy {name}"),
                "exists already",
                "Choose another name, or change it with `tintype policy set`.",
            ));
        }
        if book.policies.len() >= POLICIES_MAX {
            return Err(AppError::new(
                ErrorKind::Limit,
                self.store_object(),
                format!("has {POLICIES_MAX} policies, as many as it may have"),
                "Attach one policy to several volumes instead.",
            ));
        }
        book.put(&store, &name, Some(Entry { policy, zone, attached }), now)?;
        drop(book);
        self.policy_show(&name)
    }

    /// All policies, by name.
    pub fn policy_list(&self) -> AppResult<Vec<PolicyInfo>> {
        let book = self.policies.book.lock();
        let entries: Vec<Arc<Entry>> = book.policies.values().cloned().collect();
        drop(book);
        entries.iter().map(|entry| self.policy_info(entry)).collect()
    }

    /// One policy.
    pub fn policy_show(&self, name: &PolicyName) -> AppResult<PolicyInfo> {
        self.policy_info(&*self.policy(name)?)
    }

    fn policy(&self, name: &PolicyName) -> AppResult<Arc<Entry>> {
        let found = self.policies.book.lock().policies.get(name).cloned();
        found.ok_or_else(|| {
            AppError::new(
                ErrorKind::NotFound,
                format!("policy {name}"),
                "does not exist",
                "`tintype policy list` shows the policies; `tintype policy create` makes one.",
            )
        })
    }

    /// Changes what a document names; a `null` takes a part away. What was due before is not made up for.
    pub fn policy_update(
        &self,
        name: &PolicyName,
        patch: &serde_json::Value,
    ) -> AppResult<PolicyInfo> {
        let object = format!("policy {name}");
        let refuse = |text: String| {
            AppError::invalid(object.clone(), text, "docs/policies.md describes the document.")
        };
        // Whatever the policy is, this has to be a document.
        let mut alone = serde_json::json!({ "name": name });
        merge(&mut alone, patch);
        serde_json::from_value::<PolicyDocument>(alone).map_err(|e| refuse(e.to_string()))?;
        let entry = self.policy(name)?;
        let mut whole = serde_json::to_value(PolicyDocument::from(&entry.policy))
            .map_err(|e| refuse(e.to_string()))?;
        merge(&mut whole, patch);
        let document: PolicyDocument =
            serde_json::from_value(whole).map_err(|e| refuse(e.to_string()))?;
        if document.name != *name || !document.volumes.is_empty() {
            let text = "its name stays; volumes are attached and detached".to_owned();
            return Err(refuse(text));
        }
        let policy = document.policy(&entry.policy.time_zone).map_err(|e| refuse(e.to_string()))?;
        let zone = zone(&policy.time_zone)?;
        self.replace(name, |old| {
            let attached = old.attached.clone();
            Entry { policy: policy.clone(), zone: zone.clone(), attached }
        })
    }

    /// Attaches it to a volume. What was due before is not made up for.
    pub fn policy_attach(&self, name: &PolicyName, volume: &VolumeName) -> AppResult<PolicyInfo> {
        let id = self.volume(volume)?.id;
        if self.policy(name)?.attached.contains(&id) {
            return self.policy_show(name);
        }
        self.replace(name, |old| {
            let mut attached = old.attached.clone();
            attached.insert(id);
            Entry { policy: old.policy.clone(), zone: old.zone.clone(), attached }
        })
    }

    /// Detaches it from a volume. Its snapshots stay, and nobody removes them any more.
    pub fn policy_detach(&self, name: &PolicyName, volume: &VolumeName) -> AppResult<PolicyInfo> {
        let id = self.volume(volume)?.id;
        if !self.policy(name)?.attached.contains(&id) {
            return Err(AppError::new(
                ErrorKind::NotFound,
                format!("policy {name}"),
                format!("is not attached to {volume}"),
                format!("`tintype policy show {name}` tells what it is attached to."),
            ));
        }
        self.replace(name, |old| {
            let mut attached = old.attached.clone();
            attached.remove(&id);
            Entry { policy: old.policy.clone(), zone: old.zone.clone(), attached }
        })
    }

    fn replace(
        &self,
        name: &PolicyName,
        change: impl Fn(&Entry) -> Entry,
    ) -> AppResult<PolicyInfo> {
        let (store, now) = (self.store()?, self.policies.clock().now());
        let mut book = self.policies.book.lock();
        let Some(old) = book.policies.get(name).cloned() else {
            drop(book);
            return self.policy_show(name);
        };
        book.put(&store, name, Some(change(&old)), now)?;
        drop(book);
        self.policy_show(name)
    }

    /// Deletes it. Its snapshots stay.
    pub fn policy_delete(&self, name: &PolicyName, force: bool) -> AppResult<PolicyInfo> {
        let (entry, info) = (self.policy(name)?, self.policy_show(name)?);
        if !force && !info.volumes.is_empty() {
            return Err(AppError::new(
                ErrorKind::Busy,
                format!("policy {name}"),
                "is attached to volumes",
                "Detach it first, or use --force. Its snapshots stay in both cases.",
            ));
        }
        let (store, now) = (self.store()?, self.policies.clock().now());
        self.policies.book.lock().put(&store, &entry.policy.name, None, now)?;
        Ok(info)
    }

    /// Makes a snapshot of every volume that it is attached to now, in one of its classes.
    pub fn policy_run(
        &self,
        name: &PolicyName,
        request: &PolicyRunRequest,
    ) -> AppResult<PolicyRun> {
        let entry = self.policy(name)?;
        let class = class_of(&entry.policy, request.class)?;
        let now = self.policies.clock().now();
        let mark = Mark { policy: name.clone(), class, due: now };
        let mut run = PolicyRun { made: Vec::new(), failed: Vec::new() };
        {
            let _one_run = self.policies.running.lock();
            for volume in self.attached_volumes(&entry)? {
                match self.make_for(&volume, &entry, &mark, vec![mark.clone()], now) {
                    Ok(made) => {
                        let name = SnapshotRef { volume: made.volume, snapshot: made.name };
                        run.made.push(name);
                    }
                    Err(error) => run.failed.push(error),
                }
            }
            self.policies.book.lock().unjudged.extend(&entry.attached);
        }
        // What it made may push out what it made before.
        self.run_policies(false, &|| true)?;
        Ok(run)
    }

    fn attached_volumes(&self, entry: &Entry) -> AppResult<Vec<Volume>> {
        let store = self.store()?;
        Ok(entry.attached.iter().filter_map(|id| store.volume_by_id(*id)).collect())
    }

    /// What would be made and removed on the volumes of a policy in the next days, by all of their policies, if they change all the time.
    pub fn policy_forecast(&self, name: &PolicyName, days: u32) -> AppResult<PolicyForecast> {
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(AppError::invalid(
                format!("policy {name}"),
                format!("cannot be foretold for {days} days"),
                format!("Give a number of days from 1 to {DAYS_MAX}."),
            ));
        }
        let (entry, store) = (self.policy(name)?, self.store()?);
        let now = self.policies.clock().now();
        let until = now.checked_add(SignedDuration::from_hours(24 * i64::from(days)));
        let until = until.unwrap_or(Timestamp::MAX);
        let mut events = Vec::new();
        for volume in self.attached_volumes(&entry)? {
            let policies = self.policies.book.lock().on(volume.id, now);
            let attached: Vec<Attached<'_>> = policies
                .iter()
                .map(|(entry, served)| Attached {
                    policy: &entry.policy,
                    zone: &entry.zone,
                    served: *served,
                })
                .collect();
            let snapshots = store.snapshots(Some(volume.id));
            let in_rotation = || snapshots.iter().filter(|one| run::rotates(one, now));
            let held: Vec<_> = in_rotation().map(|one| run::held(one)).collect();
            let names = in_rotation().map(|one| (one.id.0, one.meta.name.clone())).collect();
            let name = &volume.meta.name;
            let found = forecast(&attached, name, &held, &names, (now, until), EVENTS_MAX);
            events.extend(found.into_iter().map(|event| PolicyEvent {
                time: event.time,
                action: if event.kind == EventKind::Make { "make" } else { "remove" }.to_owned(),
                snapshot: SnapshotRef { volume: name.clone(), snapshot: event.name },
                policies: event.marks,
            }));
        }
        events.sort_by_key(|event| event.time);
        let complete = events.len() < EVENTS_MAX;
        events.truncate(EVENTS_MAX);
        Ok(PolicyForecast { policy: name.clone(), from: now, until, events, complete })
    }

    fn policy_info(&self, entry: &Entry) -> AppResult<PolicyInfo> {
        let now = self.policies.clock().now();
        let volumes = self.attached_volumes(entry)?;
        let next = next_due(&entry.policy, &entry.zone, now);
        let book = self.policies.book.lock();
        let failure = |volume: &Volume| {
            let error = book.failures.get(&volume.id)?;
            Some(format!("{}: {error}", volume.meta.name))
        };
        let policy = &entry.policy;
        Ok(PolicyInfo {
            name: policy.name.clone(),
            enabled: policy.enabled,
            description: policy.description.clone(),
            problems: volumes.iter().filter_map(failure).collect(),
            volumes: volumes.into_iter().map(|volume| volume.meta.name).collect(),
            next: next.map(|due| due.at),
            next_class: next.map(|due| due.class),
            policy: PolicyDocument::from(policy),
            notes: notes(policy),
        })
    }

    /// What stands between policies and what they should do, for `status`.
    pub(crate) fn policy_problems(&self, volumes: &[Volume]) -> Vec<String> {
        let book = self.policies.book.lock();
        let unread =
            book.unread.iter().map(|(name, why)| format!("policy {name}: cannot be run: {why}"));
        let failed = book.failures.iter().filter_map(|(id, error)| {
            let volume = &volumes.iter().find(|volume| volume.id == *id)?.meta.name;
            Some(format!(
                "policies of {volume}: {error}; tried again at the next run. {}",
                error.remedy
            ))
        });
        unread.chain(failed).collect()
    }
}

/// The class that a run by hand counts for.
fn class_of(policy: &Policy, wish: Option<Class>) -> AppResult<Class> {
    let object = format!("policy {}", policy.name);
    let names: Vec<_> = policy.schedules.keys().map(|class| class.as_str()).collect();
    let remedy = format!("It has: {}.", names.join(", "));
    match (wish, policy.schedules.keys().next()) {
        (Some(class), _) if policy.schedules.contains_key(&class) => Ok(class),
        (Some(class), _) => {
            Err(AppError::invalid(object, format!("has no {class} schedule"), remedy))
        }
        (None, Some(only)) if policy.schedules.len() == 1 => Ok(*only),
        (None, _) => Err(AppError::invalid(
            object,
            "has several schedules; say for which with --class",
            remedy,
        )),
    }
}

/// What a document asks for that nothing here does.
fn notes(policy: &Policy) -> Vec<String> {
    let uploads = policy.schedules.iter().filter(|(_, one)| one.upload != "none");
    uploads
        .map(|(class, one)| {
            format!("{class}: upload {:?} is remembered, but nothing is uploaded", one.upload)
        })
        .collect()
}

/// As RFC 7396 has it.
fn merge(whole: &mut serde_json::Value, patch: &serde_json::Value) {
    let Some(changes) = patch.as_object() else {
        *whole = patch.clone();
        return;
    };
    if !whole.is_object() {
        *whole = serde_json::Value::Object(serde_json::Map::new());
    }
    let Some(members) = whole.as_object_mut() else { return };
    for (key, value) in changes {
        if value.is_null() {
            members.remove(key);
        } else {
            merge(members.entry(key.clone()).or_insert(serde_json::Value::Null), value);
        }
    }
}

/// The zone of the machine, by name.
fn local_zone() -> String {
    let zone = TimeZone::system();
    let name = if zone.is_unknown() { None } else { zone.iana_name() };
    name.unwrap_or("UTC").to_owned()
}
