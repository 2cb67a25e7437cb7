//! Two years with all changes of clocks, down times and jumps: the engine and the naive model make and remove the same.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use tintype_model::policy::{
    Attached, Class, Decision, Held, Instants, Policy, due, surplus, together,
};

use crate::naive::{self, Fits, Naive};
use crate::{at, policy, zone};

const FROM: &str = "2026-01-01T00:00:00Z";
const TO: &str = "2028-01-01T00:00:00Z";
const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "UTC", "Australia/Lord_Howe"];

const LONG: &str = r#"{"name":"long",
    "hourly":{"days":"mon-fri, sun","hours":"1-4, 9-17","minuteOffset":15,"retention":10},
    "daily":{"time":"02:15","retention":7},
    "weekly":{"days":"saturday, sunday","time":"02:40","retention":4},
    "monthly":{"days":"1, 31","time":"00:05","retention":12}}"#;
const SHORT: &str = r#"{"name":"short",
    "periodic":{"start_time":"00:10","end_time":"05:00","interval":25,"retention":4},
    "cron":{"line":"*/20 2 1,15 * sun","retention":3}}"#;

fn weekday(wall: DateTime) -> i8 {
    wall.weekday().to_monday_one_offset()
}

/// The same schedules in other words.
fn rules() -> [(&'static str, Class, usize, Fits); 6] {
    [
        ("long", Class::Hourly, 10, |w| {
            weekday(w) != 6 && w.minute() == 15 && matches!(w.hour(), 1..=4 | 9..=17)
        }),
        ("long", Class::Daily, 7, |w| (w.hour(), w.minute()) == (2, 15)),
        ("long", Class::Weekly, 4, |w| weekday(w) >= 6 && (w.hour(), w.minute()) == (2, 40)),
        ("long", Class::Monthly, 12, |w| {
            let last = w.date().last_of_month() == w.date();
            (w.day() == 1 || last) && (w.hour(), w.minute()) == (0, 5)
        }),
        ("short", Class::Periodic, 4, |w| {
            let minutes = i32::from(w.hour()) * 60 + i32::from(w.minute());
            (10..=300).contains(&minutes) && (minutes - 10) % 25 == 0
        }),
        ("short", Class::Cron, 3, |w| {
            (weekday(w) == 7 || w.day() == 1 || w.day() == 15)
                && w.hour() == 2
                && w.minute() % 20 == 0
        }),
    ]
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn minutes(&mut self, most: u64) -> SignedDuration {
        SignedDuration::from_mins(i64::try_from(self.throw(most)).unwrap())
    }
}

#[test]
fn instants_are_those_of_a_walk_through_all_minutes() {
    for name in ZONES {
        let zone = zone(name);
        for (of, class, _, fits) in rules() {
            let policy = policy(if of == "long" { LONG } else { SHORT });
            let wanted = naive::walk(&zone, fits, at(FROM), at(TO));
            let first = at(FROM) - SignedDuration::from_secs(1);
            let found: Vec<Timestamp> = Instants::new(&policy.schedules[&class].when, &zone, first)
                .take_while(|time| *time < at(TO))
                .collect();
            assert!(wanted.len() > 40, "{name} {class}");
            assert_eq!(found, wanted, "{name} {class}");
            // From any instant on the rest is the same.
            let mut dice = Dice(7);
            for _ in 0..200 {
                let start = wanted[usize::try_from(dice.throw(wanted.len() as u64)).unwrap()]
                    - dice.minutes(90);
                let next = Instants::new(&policy.schedules[&class].when, &zone, start).next();
                let place = wanted.partition_point(|time| *time <= start);
                if place < wanted.len() {
                    assert_eq!(next, Some(wanted[place]), "{name} {class} after {start}");
                }
            }
        }
    }
}

/// The engine with what it would keep in a store.
struct World<'p> {
    policies: Vec<(&'p Policy, Timestamp)>,
    held: Vec<Held>,
}

impl World<'_> {
    fn tick(&mut self, zone: &jiff::tz::TimeZone, now: Timestamp, id: u64) -> bool {
        let attached: Vec<Attached<'_>> = self
            .policies
            .iter()
            .map(|(policy, served)| Attached { policy, zone, served: *served })
            .collect();
        let made = together(&attached, now).map(|(marks, _)| marks);
        let again: Vec<bool> =
            attached.iter().map(|one| due(*one, now) == Decision::StartAgain).collect();
        if let Some(marks) = &made {
            self.held.push(Held { id, time: now, marks: marks.clone() });
        }
        let gone = surplus(&attached, &self.held, now, true);
        self.held.retain(|snapshot| !gone.contains(&snapshot.id));
        for ((policy, served), again) in self.policies.iter_mut().zip(again) {
            if again {
                *served = now;
            }
            let mark = made.iter().flatten().find(|mark| mark.policy == policy.name);
            *served = mark.map_or(*served, |mark| mark.due);
        }
        made.is_some()
    }
}

fn two_years(name: &str, seed: u64) {
    let zone = zone(name);
    let (from, to) = (at(FROM), at(TO));
    let (long, short) = (policy(LONG), policy(SHORT));
    let mut world = World { policies: vec![(&long, from), (&short, from)], held: Vec::new() };
    let naive = |of: &'static str| {
        let own = rules().into_iter().filter(|rule| rule.0 == of);
        let own = own.map(|(_, class, count, fits)| {
            let margin = SignedDuration::from_hours(24 * 40);
            (class, (naive::walk(&zone, fits, from - margin, to + margin), count))
        });
        Naive { name: of, classes: own.collect::<BTreeMap<_, _>>(), served: from }
    };
    let mut other = vec![naive("long"), naive("short")];
    let (mut snapshots, mut dice, mut now, mut id) = (Vec::new(), Dice(seed), from, 0);
    let mut made = 0;
    while now < to {
        now += match dice.throw(4000) {
            // Down for hours, days or weeks; the clock is put forward.
            0..=2 => dice.minutes(300),
            3 => dice.minutes(20 * 24 * 60),
            // The clock is put back a little, or far.
            4 => -dice.minutes(59),
            5 => -dice.minutes(10 * 24 * 60),
            _ => SignedDuration::from_secs(i64::try_from(30 + dice.throw(900)).unwrap()),
        };
        id += 1;
        let one = world.tick(&zone, now, id);
        let two = naive::tick(&mut other, &mut snapshots, now, id);
        assert_eq!(one, two, "{name}, seed {seed}, at {now}");
        if one {
            made += 1;
            let ids: Vec<u64> = world.held.iter().map(|snapshot| snapshot.id).collect();
            let wanted: Vec<u64> = snapshots.iter().map(|(id, _)| *id).collect();
            assert_eq!(ids, wanted, "{name}, seed {seed}, at {now}");
        }
    }
    assert!(made > 5000, "{made}");
}

#[test]
fn two_years_in_berlin() {
    two_years("Europe/Berlin", 1);
}

#[test]
fn two_years_in_new_york() {
    two_years("America/New_York", 2);
}

#[test]
fn two_years_without_a_change() {
    two_years("UTC", 3);
}

#[test]
fn two_years_on_lord_howe() {
    two_years("Australia/Lord_Howe", 4);
}
