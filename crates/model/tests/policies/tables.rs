//! Instants of each kind of schedule, written down by hand.

use jiff::Timestamp;
use tintype_model::policy::{Class, Instants, last_between, next_due};

use crate::{at, policy, zone};

/// The next instants of the one schedule of a policy, as its zone's wall clock shows them.
fn next(schedule: &str, name: &str, after: &str, many: usize) -> Vec<String> {
    let policy = policy(&format!(r#"{{"name":"p",{schedule}}}"#));
    let (_, schedule) = policy.schedules.iter().next().unwrap();
    let zone = zone(name);
    let found = Instants::new(&schedule.when, &zone, at(after)).take(many);
    found.map(|time| time.to_zoned(zone.clone()).strftime("%m-%d %H:%M %z").to_string()).collect()
}

#[test]
fn each_kind_of_schedule() {
    // 1 May 2026 is a Friday.
    let from = "2026-05-01T10:10:00Z";
    assert_eq!(
        next(r#""hourly":{"days":"fri","hours":"9-11","minuteOffset":10}"#, "UTC", from, 2),
        ["05-01 11:10 +0000", "05-08 09:10 +0000"]
    );
    assert_eq!(
        next(r#""daily":{"days":"monday, wednesday","time":"22:05"}"#, "UTC", from, 3),
        ["05-04 22:05 +0000", "05-06 22:05 +0000", "05-11 22:05 +0000"]
    );
    assert_eq!(
        next(r#""weekly":{"days":"sat","time":"00:00"}"#, "Asia/Kolkata", from, 2),
        ["05-02 00:00 +0530", "05-09 00:00 +0530"]
    );
    // A day that a month has not is its last one, and two of them are one.
    assert_eq!(
        next(r#""monthly":{"days":"30, 31","time":"01:00"}"#, "UTC", "2026-01-01T00:00:00Z", 5),
        [
            "01-30 01:00 +0000",
            "01-31 01:00 +0000",
            "02-28 01:00 +0000",
            "03-30 01:00 +0000",
            "03-31 01:00 +0000"
        ]
    );
    assert_eq!(
        next(r#""monthly":{"days":1,"months":"feb, aug","time":"01:00"}"#, "UTC", from, 2),
        ["08-01 01:00 +0000", "02-01 01:00 +0000"]
    );
    assert_eq!(
        next(
            r#""periodic":{"start_time":"09:00","end_time":"10:00","interval":40}"#,
            "UTC",
            "2026-05-01T09:00:00Z",
            3
        ),
        ["05-01 09:40 +0000", "05-02 09:00 +0000", "05-02 09:40 +0000"]
    );
    assert_eq!(
        next(r#""cron":{"line":"30 4 13 * fri"}"#, "UTC", from, 3),
        ["05-08 04:30 +0000", "05-13 04:30 +0000", "05-15 04:30 +0000"]
    );
    let leap = r#""cron":{"line":"0 0 29 2 *"}"#;
    assert_eq!(next(leap, "UTC", "2096-03-01T00:00:00Z", 1), ["02-29 00:00 +0000"]);
}

#[test]
fn a_clock_that_is_put_forward_delays_one_and_leaves_out_the_others() {
    // Berlin, 29 March 2026: 02:00 is 03:00.
    let night = "2026-03-29T00:10:00Z";
    assert_eq!(
        next(r#""daily":{"time":"02:15"}"#, "Europe/Berlin", night, 2),
        ["03-29 03:15 +0200", "03-30 02:15 +0200"]
    );
    assert_eq!(
        next(r#""hourly":{"minuteOffset":15}"#, "Europe/Berlin", night, 3),
        ["03-29 01:15 +0100", "03-29 03:15 +0200", "03-29 04:15 +0200"]
    );
    assert_eq!(
        next(
            r#""periodic":{"interval":15,"start_time":"00:15"}"#,
            "Europe/Berlin",
            "2026-03-29T00:30:00Z",
            4
        ),
        ["03-29 01:45 +0100", "03-29 03:00 +0200", "03-29 03:15 +0200", "03-29 03:30 +0200"]
    );
    assert_eq!(
        next(r#""cron":{"line":"15-45/15 2,3 * * *"}"#, "Europe/Berlin", night, 3),
        ["03-29 03:15 +0200", "03-29 03:30 +0200", "03-29 03:45 +0200"]
    );
    // New York, 8 March 2026; Lord Howe jumps by half an hour, 4 October 2026.
    assert_eq!(
        next(r#""daily":{"time":"02:15"}"#, "America/New_York", "2026-03-08T05:00:00Z", 1),
        ["03-08 03:15 -0400"]
    );
    assert_eq!(
        next(r#""daily":{"time":"02:15"}"#, "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 1),
        ["10-04 02:45 +1100"]
    );
}

#[test]
fn a_clock_that_is_put_back_repeats_nothing() {
    // Berlin, 25 October 2026: 03:00 is 02:00.
    let night = "2026-10-24T23:50:00Z";
    assert_eq!(
        next(r#""hourly":{"minuteOffset":15}"#, "Europe/Berlin", night, 3),
        ["10-25 02:15 +0200", "10-25 03:15 +0100", "10-25 04:15 +0100"]
    );
    assert_eq!(
        next(r#""daily":{"time":"02:15"}"#, "Europe/Berlin", "2026-10-25T00:30:00Z", 1),
        ["10-26 02:15 +0100"]
    );
    assert_eq!(
        next(r#""daily":{"time":"01:45"}"#, "Australia/Lord_Howe", "2026-04-04T12:00:00Z", 2),
        ["04-05 01:45 +1100", "04-06 01:45 +1030"]
    );
}

#[test]
fn the_last_one_before_is_found_however_far_away() {
    let policy = policy(
        r#"{"name":"p","monthly":{"days":"1","months":"jan","time":"00:00"},"periodic":{"interval":1}}"#,
    );
    let zone = zone("Europe/Berlin");
    let last = |class: Class, after: Timestamp, until: &str| {
        let when = &policy.schedules[&class].when;
        last_between(when, &zone, after, at(until)).map(|time| time.to_string())
    };
    let old = Timestamp::UNIX_EPOCH;
    let year = Some("2025-12-31T23:00:00Z".to_owned());
    assert_eq!(last(Class::Monthly, old, "2026-12-31T22:59:00Z"), year);
    assert_eq!(last(Class::Monthly, at("2025-12-31T23:00:00Z"), "2026-12-31T22:59:00Z"), None);
    assert_eq!(last(Class::Periodic, old, "2026-06-01T00:00:30Z").unwrap(), "2026-06-01T00:00:00Z");
    // Of two at one instant the higher class comes.
    let due = next_due(&policy, &zone, at("2025-12-31T22:59:00Z")).unwrap();
    assert_eq!((due.class, due.at), (Class::Monthly, at("2025-12-31T23:00:00Z")));
}
