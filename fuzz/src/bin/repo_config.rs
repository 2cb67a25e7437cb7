//! See `tintype_repo::hostile::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_repo::hostile::config(data));
