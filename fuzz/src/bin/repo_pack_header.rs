//! See `tintype_repo::hostile::pack_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_repo::hostile::pack_header(data));
