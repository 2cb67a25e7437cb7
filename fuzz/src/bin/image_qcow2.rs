//! See `tintype_image::hostile::qcow2`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tintype_image::hostile::qcow2(data));
