//! What stays: by count, by age, by keep rules, and what is nobody's.

use jiff::{SignedDuration, Timestamp};
use tintype_model::policy::{Attached, Class, Held, Mark, Policy, PolicyName, surplus};

use crate::{at, policy, zone};

const NOW: &str = "2026-05-20T00:00:00Z";

/// One snapshot per day up to now, with ids from 1.
fn daily(policy: &str, class: Class, many: u64) -> Vec<Held> {
    let made = (1..=many).map(|id| {
        let back = SignedDuration::from_hours(24 * i64::try_from(many - id).unwrap());
        let time = at(NOW) - back;
        let mark = Mark { policy: PolicyName::new(policy).unwrap(), class, due: time };
        Held { id, time, marks: vec![mark] }
    });
    made.collect()
}

fn gone(policies: &[&Policy], held: &[Held], by_age: bool) -> Vec<u64> {
    let zone = zone("UTC");
    let attached: Vec<_> = policies
        .iter()
        .map(|policy| Attached { policy, zone: &zone, served: Timestamp::MAX })
        .collect();
    surplus(&attached, held, at(NOW) + SignedDuration::from_secs(1), by_age)
}

#[test]
fn a_count_and_an_age_each_keep() {
    let held = daily("p", Class::Daily, 10);
    let count = policy(r#"{"name":"p","daily":{"time":"0:00","retention":7}}"#);
    assert_eq!(gone(&[&count], &held, true), [1, 2, 3]);
    let age = policy(r#"{"name":"p","daily":{"time":"0:00","retention_age":"5d"}}"#);
    assert_eq!(gone(&[&age], &held, true), [1, 2, 3, 4, 5]);
    let both = policy(r#"{"name":"p","daily":{"time":"0:00","retention":2,"retention_age":"5d"}}"#);
    assert_eq!(gone(&[&both], &held, true), [1, 2, 3, 4, 5]);
    // Nothing is old by a clock that is not trusted.
    assert!(gone(&[&both], &held, false).is_empty());
    let neither = policy(r#"{"name":"p","daily":{"time":"0:00"}}"#);
    assert!(gone(&[&neither], &held, true).is_empty());
    // Also one that is off goes on removing, and a class without a schedule any more keeps all.
    let off = policy(
        r#"{"name":"p","enabled":false,"daily":{"enable":false,"time":"0:00","retention":9}}"#,
    );
    assert_eq!(gone(&[&off], &held, true), [1]);
    let other = policy(r#"{"name":"p","hourly":{"retention":1}}"#);
    assert!(gone(&[&other], &held, true).is_empty());
}

#[test]
fn the_newest_of_a_policy_stays_however_old_it_is() {
    let mut held = daily("p", Class::Daily, 3);
    for snapshot in &mut held {
        snapshot.time -= SignedDuration::from_hours(24 * 1000);
    }
    let age = policy(r#"{"name":"p","daily":{"time":"0:00","retention_age":"5d"}}"#);
    assert_eq!(gone(&[&age], &held, true), [1, 2]);
}

#[test]
fn keep_rules_judge_all_classes_together() {
    let held = daily("p", Class::Daily, 20);
    let keep = policy(r#"{"name":"p","keep":{"last":2,"weekly":3},"daily":{"time":"0:00"}}"#);
    // 20 May 2026 is a Wednesday: the last two days, and the Sundays of the two weeks before.
    assert_eq!(
        gone(&[&keep], &held, true),
        (1..=18).filter(|id| ![10, 17].contains(id)).collect::<Vec<u64>>()
    );
    let within = policy(r#"{"name":"p","keep":{"within":"3d"},"daily":{"time":"0:00"}}"#);
    assert_eq!(gone(&[&within], &held, true), (1..=17).collect::<Vec<u64>>());
    assert!(gone(&[&within], &held, false).is_empty());
}

#[test]
fn a_snapshot_of_two_policies_stays_while_one_keeps_it() {
    let mut held = daily("a", Class::Daily, 5);
    for snapshot in &mut held {
        let mut mark = snapshot.marks[0].clone();
        mark.policy = PolicyName::new("b").unwrap();
        snapshot.marks.push(mark);
    }
    let a = policy(r#"{"name":"a","daily":{"time":"0:00","retention":1}}"#);
    let b = policy(r#"{"name":"b","daily":{"time":"0:00","retention":3}}"#);
    assert_eq!(gone(&[&a, &b], &held, true), [1, 2]);
    // What belongs to a policy that is not attached is not touched.
    assert!(gone(&[&a], &held, true).is_empty());
    held[0].marks.clear();
    assert_eq!(gone(&[&a, &b], &held, true), [2]);
}
