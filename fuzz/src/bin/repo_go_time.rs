//! See `tintype_repo::hostile::go_time`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_repo::hostile::go_time(data));
