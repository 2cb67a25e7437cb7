//! See `tintype_nbd::hostile::options`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_nbd::hostile::options(data));
