//! Policies: tables for each kind of schedule, documents as others write them, and two years against a naive model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod documents;
mod naive;
mod rotation;
mod tables;
mod years;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tintype_model::policy::{Policy, PolicyDocument};

fn policy(json: &str) -> Policy {
    serde_json::from_str::<PolicyDocument>(json).unwrap().policy("UTC").unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
