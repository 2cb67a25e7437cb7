//! See `tintype_image::hostile::runs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_image::hostile::runs(data));
