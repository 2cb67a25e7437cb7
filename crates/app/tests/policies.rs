//! Policies on a real store with a clock of the test's: what is made, kept, removed, missed, and what a crash leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tintype_app::types::{FsCreate, PolicyRunRequest, SnapshotCreate, SnapshotUpdate};
use tintype_app::{App, AppOptions, Clock, ErrorKind, NoMounter};
use tintype_model::policy::{Class, PolicyName};
use tintype_model::{Compression, SnapshotFilter, SnapshotLimits, SnapshotRef, VolumeName};

/// A clock that goes when it is told to.
struct Hands(Mutex<(Timestamp, Duration)>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        self.0.lock().0
    }

    fn steady(&self) -> Duration {
        self.0.lock().1
    }
}

struct World {
    dir: tempfile::TempDir,
    app: Option<Arc<App>>,
    clock: Arc<Hands>,
}

impl World {
    fn new() -> Self {
        // Some days ago: marks of the future are not believed when a store is opened.
        let day = Timestamp::now().as_second() / 86_400 - 40;
        let midnight = Timestamp::from_second(day * 86_400).unwrap();
        let clock = Arc::new(Hands(Mutex::new((midnight, Duration::ZERO))));
        let mut world = Self { dir: tempfile::tempdir().unwrap(), app: None, clock };
        world.open(None);
        world.filesystem("home");
        world
    }

    fn open(&mut self, snapshot_limits: Option<SnapshotLimits>) {
        let options = AppOptions {
            store: self.dir.path().join("store"),
            create: true,
            snapshot_limits,
            user: "tester".into(),
        };
        let app = App::open(options, Arc::new(NoMounter)).unwrap();
        app.set_policy_clock(Arc::clone(&self.clock) as Arc<dyn Clock>);
        self.app = Some(app);
    }

    fn close(&mut self) {
        self.app.take().unwrap().close().unwrap();
    }

    fn app(&self) -> &App {
        self.app.as_ref().unwrap()
    }

    fn filesystem(&self, name: &str) {
        let wish = FsCreate {
            name: volume(name),
            quota: None,
            capacity: None,
            compression: Compression::default(),
            mount: None,
        };
        self.app().fs_create(&wish).unwrap();
    }

    fn policy(&self, document: Value) {
        self.app().policy_create(&serde_json::from_value(document).unwrap()).unwrap();
    }

    /// The clock goes on; a run.
    fn pass(&self, minutes: i64) -> Vec<String> {
        self.wind(minutes);
        self.run()
    }

    fn wind(&self, minutes: i64) {
        let mut hands = self.clock.0.lock();
        hands.0 += SignedDuration::from_mins(minutes);
        hands.1 += Duration::from_secs(60 * minutes.unsigned_abs());
    }

    fn run(&self) -> Vec<String> {
        let report = self.app().run_policies(false, &|| true).unwrap();
        assert_eq!(report.failed, []);
        report.made.iter().map(ToString::to_string).collect()
    }

    fn names(&self) -> Vec<String> {
        let list = self.app().snapshot_list(None, &SnapshotFilter::default()).unwrap();
        list.iter().map(|info| info.name.to_string()).collect()
    }

    /// `CLASS.HHMM` for each snapshot.
    fn short(&self) -> Vec<String> {
        let cut = |name: &String| match name.split_once('.') {
            Some((front, time)) => format!("{front}.{}", &time[6..]),
            None => name.clone(),
        };
        self.names().iter().map(cut).collect()
    }

    fn served(&self, minutes: i64) -> usize {
        self.pass(minutes).len()
    }
}

fn volume(name: &str) -> VolumeName {
    VolumeName::new(name).unwrap()
}

fn name(text: &str) -> PolicyName {
    PolicyName::new(text).unwrap()
}

fn hourly(retention: u32) -> Value {
    json!({"name": "p", "time_zone": "UTC", "volumes": ["home"], "hourly": {"retention": retention}})
}

#[test]
fn one_snapshot_per_instant_of_the_highest_class_and_no_more_than_are_kept() {
    let world = World::new();
    world.policy(json!({"name": "p", "time_zone": "UTC", "volumes": ["home"],
        "hourly": {"retention": 2}, "daily": {"time": "2:00", "retention": 1}}));
    assert!(world.run().is_empty());
    for _ in 0..26 {
        assert_eq!(world.served(60), 1);
        assert_eq!(world.served(0), 0);
    }
    assert_eq!(world.short(), ["p-hourly.0000", "p-hourly.0100", "p-daily.0200"]);
    let list = world.app().snapshot_list(None, &SnapshotFilter::default()).unwrap();
    assert_eq!(list[2].policies[0].class, Class::Daily);
    assert_eq!(list[2].policies[0].due, world.clock.now());
}

#[test]
fn policies_share_a_snapshot_and_each_keeps_its_own() {
    let world = World::new();
    world.policy(hourly(1));
    world.policy(json!({"name": "a", "time_zone": "UTC", "volumes": ["home"],
        "daily": {"time": "1:00", "retention": 5}}));
    assert_eq!(world.served(60), 1);
    assert_eq!(world.served(60), 1);
    assert_eq!(world.short(), ["a-daily.0100", "p-hourly.0200"]);
}

#[test]
fn what_was_missed_is_made_up_for_once() {
    let mut world = World::new();
    world.policy(hourly(5));
    assert_eq!(world.served(60), 1);
    world.close();
    world.wind(60 * 50 + 7);
    world.open(None);
    // Late, so it is named by when it came.
    assert_eq!(world.run().len(), 1);
    assert_eq!(world.short(), ["p-hourly.0100", "p-hourly.0307"]);
    assert_eq!(world.served(52), 0);
    assert_eq!(world.served(1), 1);
}

#[test]
fn a_crash_between_a_snapshot_and_its_note_makes_nothing_twice() {
    let mut world = World::new();
    world.filesystem("other");
    world.policy(
        json!({"name": "p", "time_zone": "UTC", "volumes": ["home", "other"], "hourly": {}}),
    );
    world.wind(60);
    let looks = AtomicU32::new(0);
    let dies = || {
        assert_eq!(looks.fetch_add(1, Ordering::Relaxed), 0, "it dies before the second volume");
        true
    };
    let died =
        std::panic::catch_unwind(AssertUnwindSafe(|| world.app().run_policies(false, &dies)));
    assert!(died.is_err());
    assert_eq!(world.names().len(), 1);
    world.close();
    world.open(None);
    let made = world.run();
    assert_eq!(made.len(), 1);
    assert!(made[0].starts_with("other@"), "{made:?}");
    assert_eq!(world.served(0), 0);
    assert_eq!(world.served(60), 2);
}

fn plain(text: &str) -> SnapshotCreate {
    SnapshotCreate::plain(text.parse().unwrap())
}

#[test]
fn protected_renamed_writable_and_foreign_ones_leave_rotation() {
    let world = World::new();
    world.policy(hourly(1));
    world.app().snapshot_create(&plain("home@mine")).unwrap();
    let mut kept = Vec::new();
    for change in [json!({"delete": "never"}), json!({"name": "kept"}), json!({"writable": true})] {
        let made = world.pass(60).remove(0);
        let update: SnapshotUpdate = serde_json::from_value(change).unwrap();
        let info =
            world.app().snapshot_update(&made.parse::<SnapshotRef>().unwrap(), &update).unwrap();
        kept.push(info.name.to_string());
    }
    for _ in 0..3 {
        assert_eq!(world.served(60), 1);
    }
    let names = world.names();
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(names.contains(&"mine".to_owned()) && kept.iter().all(|name| names.contains(name)));
    // Once it may go again, it counts again.
    let update = serde_json::from_value(json!({"delete": null})).unwrap();
    let unprotected: SnapshotRef = format!("home@{}", kept[0]).parse().unwrap();
    world.app().snapshot_update(&unprotected, &update).unwrap();
    world.pass(60);
    assert!(!world.names().contains(&kept[0]));
}

#[test]
fn nothing_is_made_of_nothing_and_the_old_one_counts_for_more() {
    let world = World::new();
    world.policy(
        json!({"name": "p", "time_zone": "UTC", "volumes": ["home"], "skip_unchanged": true,
        "hourly": {"retention": 2}, "daily": {"time": "3:00", "retention": 2}}),
    );
    assert_eq!(world.served(60), 1);
    assert_eq!(world.served(60), 0);
    assert_eq!(world.served(60), 0);
    let list = world.app().snapshot_list(None, &SnapshotFilter::default()).unwrap();
    assert_eq!((list.len(), list[0].policies[0].class), (1, Class::Daily));
    // A snapshot by hand may be deleted by hand: it does not stand for one of a policy.
    world.app().snapshot_create(&plain("home@mine")).unwrap();
    assert_eq!(world.served(60), 1);
    assert_eq!(world.served(60), 0);
}

#[test]
fn a_failure_is_told_and_tried_again_and_stops_nobody_else() {
    let mut world = World::new();
    world.filesystem("other");
    world.close();
    world.open(Some(SnapshotLimits { total: 1, weighted: 28_672 }));
    world.policy(json!({"name": "p", "time_zone": "UTC", "volumes": ["home", "other"], "hourly": {"retention": 3}}));
    world.wind(60);
    let report = world.app().run_policies(false, &|| true).unwrap();
    assert_eq!((report.made.len(), report.failed.len()), (1, 1));
    assert_eq!(report.failed[0].kind, ErrorKind::Limit);
    let problems = world.app().status().unwrap().problems;
    assert!(
        problems[0].contains("policies of other") && problems[0].contains("--snapshot-limits"),
        "{problems:?}"
    );
    assert_eq!(world.app().policy_show(&name("p")).unwrap().problems.len(), 1);
    world.close();
    world.open(Some(SnapshotLimits::default()));
    assert_eq!(world.pass(1).len(), 1);
    assert!(world.app().status().unwrap().problems.is_empty());
    assert_eq!(world.served(1), 0);
}

#[test]
fn a_clock_that_is_put_back_does_no_harm() {
    let world = World::new();
    world.policy(hourly(50));
    assert_eq!(world.served(60), 1);
    // A little: what was made is not made again.
    assert_eq!(world.served(-30), 0);
    assert_eq!(world.served(30), 0);
    assert_eq!(world.served(60), 1);
    // Years ahead, and back again: it goes on from where the clock is.
    assert_eq!(world.served(60 * 24 * 365 * 5), 1);
    assert_eq!(world.served(-60 * 24 * 365 * 5), 0);
    assert_eq!(world.served(60), 1);
    assert_eq!(world.served(60), 1);
    assert_eq!(world.names().len(), 5);
}

#[test]
fn nothing_is_old_by_a_clock_that_was_just_set() {
    let world = World::new();
    world.policy(json!({"name": "p", "time_zone": "UTC", "volumes": ["home"],
        "hourly": {"retention_age": "7d"}}));
    for _ in 0..3 {
        assert_eq!(world.served(60), 1);
    }
    world.clock.0.lock().0 += SignedDuration::from_hours(24 * 365);
    world.app().run_policies(true, &|| true).unwrap();
    assert_eq!(world.names().len(), 4);
    // It goes on evenly for an hour: then it is believed.
    world.pass(61);
    world.app().run_policies(true, &|| true).unwrap();
    assert!(world.names().len() < 4, "{:?}", world.names());
}

#[test]
fn policies_are_changed_detached_and_deleted() {
    let world = World::new();
    world.policy(hourly(2));
    let p = name("p");
    let taken = serde_json::from_value(hourly(2)).unwrap();
    assert_eq!(world.app().policy_create(&taken).unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(world.served(60), 1);
    // A change makes up for nothing, takes parts away, and refuses what makes no sense.
    let change = json!({"hourly": {"minuteOffset": 30}, "daily": {"time": "1:10", "retention": 1}});
    let info = world.app().policy_update(&p, &change).unwrap();
    assert_eq!(info.next_class, Some(Class::Daily));
    assert_eq!(world.served(5), 0);
    world.app().policy_update(&p, &json!({"daily": null})).unwrap();
    for bad in [
        json!({"name": "q"}),
        json!({"hourly": null}),
        json!({"hourly": {"retention": 0}}),
        json!(7),
    ] {
        let error = world.app().policy_update(&p, &bad).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{bad}");
    }
    assert_eq!(world.served(30), 1);
    // By hand, and with a foretelling.
    let run = world.app().policy_run(&p, &PolicyRunRequest { class: None }).unwrap();
    assert_eq!((run.made.len(), run.failed.len()), (1, 0));
    assert_eq!(world.names().len(), 2);
    let told = world.app().policy_forecast(&p, 1).unwrap();
    let count = |action: &str| told.events.iter().filter(|event| event.action == action).count();
    assert_eq!((count("make"), count("remove"), told.complete), (24, 24, true));
    assert!(world.app().policy_forecast(&p, 0).is_err());
    assert_eq!(world.app().policy_delete(&p, false).unwrap_err().kind, ErrorKind::Busy);
    world.app().policy_detach(&p, &volume("home")).unwrap();
    assert_eq!(
        world.app().policy_detach(&p, &volume("home")).unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert_eq!(world.served(600), 0);
    world.app().policy_attach(&p, &volume("home")).unwrap();
    assert_eq!(world.served(10), 0);
    // A volume that goes takes its attachment along; the policy goes with force.
    world.app().fs_delete(&volume("home"), true).unwrap();
    world.run();
    world.app().policy_delete(&p, false).unwrap();
    assert_eq!(world.app().policy_show(&p).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn changes_beside_the_times_lose_nothing_that_is_due() {
    let world = World::new();
    world.filesystem("other");
    world.policy(hourly(2));
    world.wind(60);
    world.app().policy_attach(&name("p"), &volume("other")).unwrap();
    let change = json!({"description": "d", "hourly": {"retention": 3}});
    world.app().policy_update(&name("p"), &change).unwrap();
    let made = world.run();
    assert_eq!(made.len(), 1);
    assert!(made[0].starts_with("home@"), "{made:?}");
    assert_eq!(world.served(60), 2);
}

#[test]
fn an_unknown_zone_is_refused_and_policies_outlive_a_restart() {
    let mut world = World::new();
    world.policy(hourly(2));
    let bad = json!({"name": "q", "time_zone": "Mars/Olympus", "hourly": {}});
    let error = world.app().policy_create(&serde_json::from_value(bad).unwrap()).unwrap_err();
    assert!(error.object.contains("Mars/Olympus"), "{error}");
    world.close();
    world.open(None);
    assert_eq!(world.app().policy_list().unwrap().len(), 1);
    assert!(world.app().status().unwrap().problems.is_empty());
}

#[test]
fn the_thread_does_what_is_due_and_ends_when_it_is_let_go() {
    let world = World::new();
    world.policy(hourly(2));
    world.wind(60);
    let runner = world.app.as_ref().unwrap().start_policies().unwrap();
    while world.names().is_empty() {
        std::thread::yield_now();
    }
    drop(runner);
    world.wind(60);
    assert_eq!(world.run().len(), 1);
}
