//! See `tintype_repo::hostile::sealed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_repo::hostile::sealed(data));
