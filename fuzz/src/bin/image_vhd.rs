//! See `tintype_image::hostile::vhd`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_image::hostile::vhd(data));
