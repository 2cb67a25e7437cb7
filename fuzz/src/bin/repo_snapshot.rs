//! See `tintype_repo::hostile::snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_repo::hostile::snapshot(data));
