//! Every decoder against hostile bytes, briefly and the same each time; `make torture` and `fuzz/` go on for longer.

use tintype_testkit::{Meter, hostile_tests};

#[global_allocator]
static METER: Meter = Meter;

hostile_tests!(
    "repo_",
    tintype_repo::hostile,
    config,
    key_file,
    sealed,
    index,
    pack_header,
    tree,
    snapshot,
    lock,
    json,
    polynomial,
    chunks / 20,
    zstd / 4,
    location,
    excludes / 8,
    words,
    go_time,
);
