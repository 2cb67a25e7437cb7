//! Decoders against hostile bytes, on stable and the same in every run: real files, cut, spliced and bent.
//!
//! The targets are functions that take bytes and panic when something is wrong; the crate of a decoder has them in its module
//! `hostile`. `fuzz/` gives the same functions to a fuzzer that learns from the paths that inputs take. Here a bounded number of
//! inputs is tried: `TINTYPE_FUZZ_INPUTS` of them for each target, fewer for slow ones, from the seed `TINTYPE_FUZZ_SEED`.

use std::path::{Path, PathBuf};

use crate::Rng;
use crate::meter::peak;

/// Longest input in bytes.
const INPUT_MAX: usize = 64 << 10;
/// What a target may take beside a multiple of its input, in bytes: tables and patterns that are compiled.
const MEMORY: usize = 24 << 20;
/// What it may take for each byte of input.
const MEMORY_PER_BYTE: usize = 1024;

/// Bytes that mean something in many formats.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"/",
    b"..",
    b"\0",
    b"-",
    b"+",
    b"%",
    b"*",
    b"?",
    b"!",
    b"null",
    b"true",
    b"1e999",
    b"0.1",
    b"-0",
    b"18446744073709551616",
    b"9999-12-31T23:59:60Z",
    b"\\u0000",
    b"\\ud800",
    b"\\xff",
    b"\xc3",
    b"\xef\xbf\xbd",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"\x28\xb5\x2f\xfd",
];

/// The folder of the fuzz targets, seen from a crate.
fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// Tries a target on its seeds, `fuzz/seeds/NAME/*`, and on what becomes of them. One input in `slow` of the usual number is tried.
///
/// # Panics
/// When the target does, after the input was printed; when it takes too much memory; when there are no seeds.
pub fn run(name: &str, target: fn(&[u8]), slow: u64) {
    let seeds = seeds(&fuzz().join("seeds").join(name));
    for seed in &seeds {
        try_one(name, target, seed);
    }
    let mut rng = Rng::new(crate::amount("TINTYPE_FUZZ_SEED", 1));
    for _ in 0..crate::amount("TINTYPE_FUZZ_INPUTS", 200_000) / slow.max(1) {
        try_one(name, target, &bend(&mut rng, &seeds));
    }
}

/// Every fuzz target whose name begins with `prefix` is one call of a function that the tests run too: `listed` are their names.
///
/// # Panics
/// When one is missing on either side.
pub fn agrees(prefix: &str, module: &str, listed: &[&str]) {
    let mut there = Vec::new();
    for entry in std::fs::read_dir(fuzz().join("src/bin")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if let Some(function) = name.strip_prefix(prefix) {
            let call = format!("{module}::{function}(data)");
            assert!(
                std::fs::read_to_string(&path).unwrap().contains(&call),
                "{name} does not call {call}"
            );
            there.push(function.to_owned());
        }
    }
    there.sort();
    let mut listed = listed.to_vec();
    listed.sort_unstable();
    assert_eq!(there, listed, "targets in fuzz/src/bin and in the tests");
}

fn seeds(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} has no seeds", folder.display());
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn try_one(name: &str, target: fn(&[u8]), input: &[u8]) {
    let input = &input[..input.len().min(INPUT_MAX)];
    let shown = || format!("{name} with b\"{}\"", input.escape_ascii());
    let (done, bytes) = peak(|| std::panic::catch_unwind(|| target(input)));
    if let Err(panic) = done {
        eprintln!("{}", shown());
        std::panic::resume_unwind(panic);
    }
    let most = MEMORY + MEMORY_PER_BYTE * input.len();
    assert!(bytes <= most, "{} took {bytes} bytes of memory", shown());
}

/// A seed with one to eight changes.
fn bend(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = rng.pick(seeds).clone();
    for _ in 0..=rng.below(8) {
        change(rng, &mut bytes, seeds);
    }
    bytes
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let len = bytes.len() as u64;
    let at = rng.below(len + 1) as usize;
    let until = (at + rng.below(32) as usize).min(bytes.len());
    match rng.below(9) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.number() as u8;
            }
        }
        2 => drop(bytes.drain(at..until)),
        3 => bytes.truncate(at),
        4 => {
            let again = bytes[at..until].to_vec();
            put(bytes, at, &again.repeat(1 + rng.below(20) as usize));
        }
        5 => {
            let other = rng.pick(seeds);
            let from = rng.below(other.len() as u64 + 1) as usize;
            let to = (from + rng.below(200) as usize).min(other.len());
            put(bytes, at, &other[from..to]);
        }
        6 => {
            let token = *rng.pick(TOKENS);
            put(bytes, at, token);
        }
        7 => {
            let token = *rng.pick(TOKENS);
            let until = (at + token.len()).min(bytes.len());
            bytes.splice(at..until, token.iter().copied());
        }
        _ => {
            let noise = rng.bytes(until - at);
            bytes[at..until].copy_from_slice(&noise);
        }
    }
    bytes.truncate(INPUT_MAX);
}

fn put(bytes: &mut Vec<u8>, at: usize, more: &[u8]) {
    bytes.splice(at..at, more.iter().copied());
}

/// One test for each target of a module, and one that says that `fuzz/` has the same. Names in `fuzz/` are `PREFIX` + function.
/// `name / 10`: each input takes so much longer than usual.
#[macro_export]
macro_rules! hostile_tests {
    ($prefix:literal, $module:ident :: $hostile:ident, $($name:ident $(/ $slow:literal)?),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                $crate::hostile::run(concat!($prefix, stringify!($name)), $module::$hostile::$name, 1 $(* $slow)?);
            }
        )+

        #[test]
        fn the_fuzzer_has_the_same_targets() {
            let module = concat!(stringify!($module), "::", stringify!($hostile));
            $crate::hostile::agrees($prefix, module, &[$(stringify!($name)),+]);
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_the_same_each_time_and_not_the_seeds() {
        let seeds = vec![b"{\"a\":1}".to_vec(), b"other".to_vec()];
        let make = || {
            let mut rng = Rng::new(5);
            (0..200).map(|_| bend(&mut rng, &seeds)).collect::<Vec<_>>()
        };
        assert_eq!(make(), make());
        let changed = make().iter().filter(|input| !seeds.contains(input)).count();
        assert!(changed > 150, "{changed}");
    }

    #[test]
    #[should_panic(expected = "seen")]
    fn a_panic_of_the_target_comes_out() {
        try_one("x", |bytes| assert!(bytes.is_empty(), "seen"), b"1");
    }
}
