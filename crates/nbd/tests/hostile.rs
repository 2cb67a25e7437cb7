//! What reads clients' bytes against hostile ones, briefly and the same each time; `make torture` and `fuzz/` go on for longer. Whole sessions
//! with changed messages are in `all/hostile.rs`.

use tintype_testkit::{Meter, hostile_tests};

#[global_allocator]
static METER: Meter = Meter;

hostile_tests!("nbd_", tintype_nbd::hostile, options, requests, session / 100);
