//! Documents of WEKA's command line, as its documentation and templates have them, and what is refused.

use serde_json::{Value, json};
use tintype_model::policy::{Class, PolicyDocument};

const WEKA: &str = r#"{"name":"Policy1","description":"...","enabled":true,"filesystems":["fs1","default"],
 "hourly":{"enable":false,"days":"monday, tuesday, wednesday, thursday, friday","hours":"09, 10, 11, 12, 13, 14, 15, 16, 17, 18","minuteOffset":10,"retention":10,"upload":"none"},
 "daily":{"enable":true,"days":"monday, wednesday, friday","time":"22:05","retention":7,"upload":"local"},
 "weekly":{"enable":false,"days":"saturday","time":"23:05","retention":4,"upload":"local"},
 "monthly":{"enable":false,"days":"07","months":"all","time":"00:05","retention":12,"upload":"local"},
 "periodic":{"enable":false,"days":"monday, sunday","start_time":"09:00","end_time":"18:00","interval":30,"retention":4,"upload":"none"}}"#;

fn refused(document: Value) -> String {
    match serde_json::from_value::<PolicyDocument>(document) {
        Ok(document) => document.policy("UTC").unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_document_of_weka_comes_back_as_it_was() {
    let read: PolicyDocument = serde_json::from_str(WEKA).unwrap();
    assert_eq!(read.volumes.len(), 2);
    let policy = read.policy("Europe/Berlin").unwrap();
    let active: Vec<_> = policy.active().map(|(class, _)| class).collect();
    assert_eq!((active, policy.time_zone.as_str()), (vec![Class::Daily], "Europe/Berlin"));
    let mut written = serde_json::to_value(PolicyDocument::from(&policy)).unwrap();
    let written = written.as_object_mut().unwrap();
    assert_eq!(written.remove("time_zone").unwrap(), "Europe/Berlin");
    let mut wanted: Value = serde_json::from_str(WEKA).unwrap();
    wanted.as_object_mut().unwrap().remove("filesystems");
    assert_eq!(Value::Object(written.clone()), wanted);
}

#[test]
fn what_we_write_we_read() {
    let text = json!({
        "name": "p", "time_zone": "UTC", "name_pattern": "{volume}-{time:%F_%H%M}", "skip_unchanged": true,
        "keep": {"last": 3, "daily": "all", "within": "1y2m", "within_weekly": "10d"},
        "hourly": {"retention_age": "2d", "hours": [1, "3-5"]},
        "cron": {"line": "*/10 8-18 * * mon-fri"},
        "periodic": {"interval": 5},
    });
    let policy = serde_json::from_value::<PolicyDocument>(text).unwrap().policy("UTC").unwrap();
    let again = serde_json::to_string(&PolicyDocument::from(&policy)).unwrap();
    let again: PolicyDocument = serde_json::from_str(&again).unwrap();
    assert_eq!(again.policy("Europe/Berlin").unwrap(), policy);
}

#[test]
fn nonsense_is_refused_with_a_word_about_it() {
    for (document, word) in [
        (json!({"name": "a b", "daily": {"time": "1:00"}}), "letters"),
        (json!({"name": "p"}), "no schedule"),
        (json!({"name": "p", "daily": {}}), "`time` is missing"),
        (json!({"name": "p", "daily": {"time": "24:00"}}), "22:05"),
        (json!({"name": "p", "daily": {"time": "1:00", "hours": "3"}}), "`hours` has no meaning"),
        (json!({"name": "p", "daily": {"time": "1:00", "retention": 0}}), "1 or more"),
        (json!({"name": "p", "daily": {"time": "1:00", "retentoin": 3}}), "retentoin"),
        (json!({"name": "p", "dayly": {"time": "1:00"}}), "dayly"),
        (json!({"name": "p", "weekly": {"time": "1:00"}}), "`days` is missing"),
        (json!({"name": "p", "monthly": {"time": "1:00", "days": "32"}}), "from 1 to 31"),
        (json!({"name": "p", "periodic": {"interval": 0}}), "1 to 1440"),
        (json!({"name": "p", "hourly": {"minuteOffset": 60}}), "0 to 59"),
        (json!({"name": "p", "cron": {"line": "0 0 31 2 *"}}), "never run"),
        (
            json!({"name": "p", "periodic": {"interval": 5, "start_time": "9:00", "end_time": "8:00"}}),
            "never run",
        ),
        (json!({"name": "p", "hourly": {}, "keep": {"dayly": 3}}), "within"),
        (json!({"name": "p", "hourly": {}, "name_pattern": "x"}), "{time}"),
    ] {
        let said = refused(document.clone());
        assert!(said.contains(word), "{document}: {said}");
    }
}
