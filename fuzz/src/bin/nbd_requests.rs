//! See `tintype_nbd::hostile::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_nbd::hostile::requests(data));
