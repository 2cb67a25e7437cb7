//! See `tintype_repo::hostile::key_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_repo::hostile::key_file(data));
