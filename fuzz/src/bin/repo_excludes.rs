//! See `tintype_repo::hostile::excludes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_repo::hostile::excludes(data));
