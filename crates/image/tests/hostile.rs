//! Every decoder against hostile bytes, briefly and the same each time; `make torture` and `fuzz/` go on for longer.

use tintype_testkit::{Meter, hostile_tests};

#[global_allocator]
static METER: Meter = Meter;

hostile_tests!("image_", tintype_image::hostile, vhd / 4, qcow2 / 20, runs / 2, any / 20);
