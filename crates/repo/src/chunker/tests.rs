//! Cuts against restic's own, and every means against a chunker that does what restic does, byte by byte.

use std::io::{self, Read};

use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};

use super::search::Means;
use super::*;
use crate::Id;

fn polynomial() -> Polynomial {
    "2fad7ab11efe19".parse().unwrap()
}

/// All means of this machine.
fn means() -> Vec<Means> {
    #[cfg(target_arch = "x86_64")]
    let kernels = simd::Kernel::all().map(Means::Kernel);
    #[cfg(not(target_arch = "x86_64"))]
    let kernels = std::iter::empty();
    [Means::Rolling].into_iter().chain(kernels).collect()
}

fn cutter(polynomial: Polynomial, limits: Limits, bits: u32, means: Means) -> Cutter {
    Cutter::with(polynomial, limits, Search::with(polynomial, bits, means))
}

/// The cutters of restic's sizes, by all means.
fn cutters() -> impl Iterator<Item = Cutter> {
    let limits = Limits { min: CHUNK_BYTES_MIN, max: CHUNK_BYTES_MAX };
    means().into_iter().map(move |means| cutter(polynomial(), limits, CUT_BITS, means))
}

/// 24 MiB that anyone can make again.
fn vector() -> Vec<u8> {
    (0..(24_u64 << 20) / 32)
        .flat_map(|n| {
            Sha256::new()
                .chain_update(b"chunk-test-vector")
                .chain_update(n.to_le_bytes())
                .finalize()
        })
        .collect()
}

/// Data of no pattern: xorshift.
fn noise(mut seed: u64, bytes: usize) -> Vec<u8> {
    let mut word = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    let mut noise: Vec<u8> =
        std::iter::repeat_with(&mut word).take(bytes.div_ceil(8)).flatten().collect();
    noise.truncate(bytes);
    noise
}

/// The lengths of all chunks.
fn lengths(cutter: &Cutter, mut data: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while !data.is_empty() {
        let length = cutter.cut(data, true).unwrap();
        lengths.push(length);
        data = &data[length..];
    }
    lengths
}

/// restic's way, without tables: a window that starts with zeros and a 1, `min - 64` bytes passed over, then one byte at a time.
fn naive(
    polynomial: Polynomial,
    Limits { min, max }: Limits,
    bits: u32,
    data: &[u8],
) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let mut window = [0_u8; 64];
        window[63] = 1;
        let mut n = (min - 64).min(rest.len());
        while n < rest.len() {
            window.rotate_left(1);
            window[63] = rest[n];
            n += 1;
            let hash = || {
                window.iter().fold(0, |hash, byte| polynomial.shift_byte(hash) ^ u64::from(*byte))
            };
            if n >= min && (hash() & ((1 << bits) - 1) == 0 || n == max) {
                break;
            }
        }
        lengths.push(n);
        rest = &rest[n..];
    }
    lengths
}

/// A reader of pieces as long as it likes, interrupted now and then.
struct Pieces<'a> {
    data: &'a [u8],
    piece: usize,
    calls: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(7) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = self.piece.min(into.len());
        self.data.read(&mut into[..count])
    }
}

/// The lengths of the chunks of a stream; asserts that they are the data.
fn streamed(cutter: &Cutter, data: &[u8], piece: usize) -> Vec<usize> {
    let mut chunks = Chunks::new(cutter.clone(), Pieces { data, piece, calls: 0 });
    let (mut lengths, mut at) = (Vec::new(), 0);
    while let Some(chunk) = chunks.next_chunk().unwrap() {
        assert!(chunk == &data[at..at + chunk.len()], "other bytes at {at}");
        at += chunk.len();
        lengths.push(chunk.len());
    }
    assert_eq!(at, data.len());
    assert!(chunks.next_chunk().unwrap().is_none());
    lengths
}

const GOLDEN: [(usize, &str); 16] = [
    (921416, "6e64ce06aaaf1c91af9b7e6712bbf82e1e29f56ad1ef2f22238d7e9da98208dd"),
    (676095, "06c0ba18a3f44797c7cdb997374a47eda96ab4e2752c795aba9e8e6456a75cb3"),
    (1989805, "6b07196441274f676e9f5ecb9c3fb5f3a956cf899c21cb4676d0dadd75fdae4f"),
    (3524156, "2ca0df814f3b7b43abac946bb198407fb3e2155f18c54f17ce7b21e15e4f4c66"),
    (1768048, "60d571eb86600b1e2b2c135b890f06427e70799002ccd7826e422960396676c8"),
    (992386, "f810c5e15ab533a166336f8f5ddca1cb8199b4875a0095db0c5753b997830c44"),
    (596827, "98bdec7641417f15632d08fd416263421d2cd263557557bfbf6ccb17d5744b0d"),
    (2011925, "7c2fd49f9394978edd72f1d2302830c9f98f598e5fad92b9bd3d58c15483c332"),
    (1176472, "2327b0bbafd687f6143935f806d6f16257b4c3966e6f413d8c7d1dadbf8579ab"),
    (1001041, "cd30c8b204e5ac8c9c09e9af734aebf2eb1804d9258873437683f1334c9fb1cd"),
    (1088354, "b1b411137270eaf167f3cba0f63b292543fc05f0a054d1327714114bb699e104"),
    (4124270, "142322c0af4d265c8443d67b5997d2baeb7455c419a65beb5d7198b17621b8f0"),
    (934072, "97243c306784f085cb7ff1037ff1e517b43c0f2a94bdf7395ccb6e826582d3ab"),
    (2384218, "8ff4c07c0db2957cfdf46769cb3354b07b6f7c278d88fe887cc45353891ad0d2"),
    (1938399, "dbad368ee0ff0336da243620e8f2ca8c506fa8033fdd23ba7ba4a4ca15d811c2"),
    (38340, "909248f53ecf96eb20a7b60a01ddabea87d8647cafd688004891af1e611f5630"),
];

#[test]
fn restics_cuts() {
    let data = vector();
    assert_eq!(
        Id::of(&data).to_string(),
        "bfae842f99d9ac27d3191668ce7b4e7249b5b838ef9226cef926fc7b94bf05c2"
    );
    let lengths_expected = GOLDEN.map(|(length, _)| length);
    for cutter in cutters() {
        assert_eq!(lengths(&cutter, &data), lengths_expected);
        for piece in [usize::MAX, 1 << 20, 100_003] {
            assert_eq!(streamed(&cutter, &data, piece), lengths_expected);
        }
    }
    let mut rest = &data[..];
    for (length, id) in GOLDEN {
        let (chunk, after) = rest.split_at(length);
        assert_eq!(Id::of(chunk).to_string(), id);
        rest = after;
    }
}

#[test]
fn restics_hashes_before_cuts() {
    let (data, rolling) = (vector(), rolling::Rolling::new(polynomial(), CUT_BITS));
    let hashes =
        [0x16_5bd5_5d20_0000, 0x1f_244d_5560_0000, 0x5_096b_9ff0_0000, 0x16_3f76_2020_0000];
    let mut end = 0;
    for ((length, _), hash) in GOLDEN.iter().zip(hashes) {
        end += length;
        assert_eq!(rolling.of(&data[end - 64..end]), hash);
        assert!(rolling.cuts_at(&data, end));
    }
}

#[test]
fn zeros_are_cut_at_the_minimum() {
    let zeros = vec![0; 2 * CHUNK_BYTES_MIN + 1];
    for cutter in cutters() {
        assert_eq!(lengths(&cutter, &zeros), [CHUNK_BYTES_MIN, CHUNK_BYTES_MIN, 1]);
        assert_eq!(cutter.cut(&zeros[..CHUNK_BYTES_MIN], false), Some(CHUNK_BYTES_MIN));
    }
    let id = "07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541";
    assert_eq!(Id::of(&zeros[..CHUNK_BYTES_MIN]).to_string(), id);
}

#[test]
fn the_longest_chunk_and_unfinished_ones() {
    let same = vec![b'a'; CHUNK_BYTES_MAX + 5];
    for cutter in cutters() {
        assert_eq!(lengths(&cutter, &same), [CHUNK_BYTES_MAX, 5]);
        assert_eq!(cutter.cut(&same, false), Some(CHUNK_BYTES_MAX));
        assert_eq!(cutter.cut(&same[..CHUNK_BYTES_MAX], false), Some(CHUNK_BYTES_MAX));
        assert_eq!(
            cutter.cut_beyond(&same[..CHUNK_BYTES_MAX], CHUNK_BYTES_MAX - 1, false),
            Some(CHUNK_BYTES_MAX)
        );
        assert_eq!(cutter.cut(&same[..CHUNK_BYTES_MAX - 1], false), None);
        assert_eq!(cutter.cut(&same[..9], false), None);
        assert_eq!(cutter.cut(&same[..9], true), Some(9));
        assert_eq!(cutter.cut(&[], false), None);
        assert_eq!(cutter.cut(&[], true), Some(0));
        assert!(streamed(&cutter, &[], 1).is_empty());
        assert_eq!(streamed(&cutter, b"x", 1), [1]);
        assert_eq!(streamed(&cutter, &same, usize::MAX), [CHUNK_BYTES_MAX, 5]);
    }
}

#[test]
fn a_reader_that_fails_loses_nothing_and_the_buffer_serves_again() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => (&b"abc"[..]).read(into),
                2 => Err(io::ErrorKind::TimedOut.into()),
                3 => (&b"def"[..]).read(into),
                _ => Ok(0),
            }
        }
    }
    let mut chunks = Chunks::new(Cutter::new(polynomial()), Failing(0));
    assert_eq!(chunks.next_chunk().unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(chunks.next_chunk().unwrap(), Some(&b"abcdef"[..]));
    assert_eq!(chunks.next_chunk().unwrap(), None);
    let mut chunks = chunks.restart(&b"xyz"[..]);
    assert_eq!(chunks.next_chunk().unwrap(), Some(&b"xyz"[..]));
    assert_eq!(chunks.next_chunk().unwrap(), None);
}

/// Candidates of the kernels at every position, with as many bits as they look at.
#[cfg(target_arch = "x86_64")]
#[test]
fn kernels_see_exactly_the_low_bits() {
    let polynomials = [polynomial(), Polynomial::random().unwrap(), Polynomial::random().unwrap()];
    for (seed, polynomial) in (1..).zip(polynomials) {
        let data = noise(seed, 64 << 10);
        let (blocks, _) = data.as_chunks::<64>();
        for (bits, kernel) in
            (0..=16).flat_map(|bits| simd::Kernel::all().map(move |kernel| (bits, kernel)))
        {
            let (taps, rolling) =
                (taps::Taps::new(polynomial, bits), rolling::Rolling::new(polynomial, bits));
            for block in 2..blocks.len().min(if bits < 8 { 40 } else { 1024 }) {
                let expected = (0..64).fold(0, |sum, i| {
                    sum | u64::from(rolling.cuts_at(&data, block * 64 + i + 1)) << i
                });
                let found = kernel.candidates(&taps, &blocks[block - 2..=block]);
                assert_eq!(
                    found,
                    Some((2, expected)).filter(|_| expected != 0),
                    "{kernel:?}, {bits} bits, block {block}"
                );
            }
        }
    }
}

/// Makes the hash of the window before `n` what is wished, by the window's last 8 bytes.
fn place(rolling: &rolling::Rolling, data: &mut [u8], n: usize, hash: u64) {
    data[n - 8..n].fill(0);
    let last = rolling.of(&data[n - 64..n]) ^ hash;
    data[n - 8..n].copy_from_slice(&last.to_be_bytes());
    assert_eq!(rolling.of(&data[n - 64..n]), hash);
}

#[test]
fn sixteen_zeros_are_no_cut_and_do_not_hide_one() {
    let rolling = rolling::Rolling::new(polynomial(), CUT_BITS);
    let searches = means().into_iter().map(|means| Search::with(polynomial(), CUT_BITS, means));
    let searches: Vec<Search> = searches.collect();
    for n in 64..400 {
        let mut data = noise(n as u64, 2000);
        let almost = [(n, 1 << 16), (n + 9, 1 << 19), (n + 80, 3 << 17), (n + 100, 15 << 16)];
        for (n, hash) in almost.into_iter().chain([(n + 109, 1 << 20)]) {
            place(&rolling, &mut data, n, hash);
        }
        for (means, search) in means().iter().zip(&searches) {
            assert_eq!(search.first(&data, 64, data.len() + 1), Some(n + 109), "{means:?}");
            assert_eq!(search.first(&data, 64, n + 109), None, "{means:?}");
        }
    }
}

#[test]
fn a_cut_is_found_wherever_it_is() {
    let rolling = rolling::Rolling::new(polynomial(), CUT_BITS);
    let (clean, limits) = (noise(5, 40_000), Limits { min: 64, max: 40_000 });
    assert!((64..=clean.len()).all(|n| !rolling.cuts_at(&clean, n)));
    let cutters = means().into_iter().map(|means| cutter(polynomial(), limits, CUT_BITS, means));
    let cutters: Vec<Cutter> = cutters.collect();
    for placed in (64..2500).chain(32_820..32_850) {
        let mut data = clean[..placed + 700].to_vec();
        place(&rolling, &mut data, placed, 0);
        // The 8 bytes that make this cut may by chance make others, in the windows that hold some of them.
        let touched = (placed - 7).max(64)..placed + 64;
        let cuts: Vec<usize> = touched.filter(|n| rolling.cuts_at(&data, *n)).collect();
        let n = cuts[0];
        assert!(n <= placed && placed - n < 8);
        for (means, cutter) in means().iter().zip(&cutters) {
            assert_eq!(cutter.cut(&data, false), Some(n), "{means:?}");
            assert_eq!(cutter.cut(&data[..n], false), Some(n), "{means:?}");
            assert_eq!(cutter.cut(&data[..n - 1], false), None, "{means:?}");
            assert_eq!(cutter.cut_beyond(&data, n - 1, false), Some(n), "{means:?}");
            assert_eq!(cutter.cut_beyond(&data, n, false), cuts.get(1).copied(), "{means:?}");
        }
    }
}

/// Noise, patterns and runs, so that there are cuts everywhere, in a row and nowhere.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        3 => (any::<u64>(), 0..3000_usize).prop_map(|(seed, bytes)| noise(seed | 1, bytes)),
        1 => (any::<u8>(), 0..700_usize).prop_map(|(byte, bytes)| vec![byte; bytes]),
        1 => (any::<[u8; 5]>(), 0..200_usize).prop_map(|(bytes, times)| bytes.repeat(times)),
        1 => proptest::collection::vec(any::<u8>(), 0..200),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn all_means_cut_like_restic(
        data in contents(), random: u64, bits in 0..21_u32,
        min in 64..400_usize, more in 0..4000_usize, piece in 1..5000_usize,
    ) {
        let limits = Limits { min, max: min + more };
        let polynomial = (0..).step_by(2).find_map(|n| Polynomial::new((random >> 11 | 1 << 53 | 1) ^ n).ok()).unwrap();
        let expected = naive(polynomial, limits, bits, &data);
        for means in means() {
            let cutter = cutter(polynomial, limits, bits, means);
            prop_assert_eq!(&lengths(&cutter, &data), &expected, "{:?}", means);
            prop_assert_eq!(&streamed(&cutter, &data, piece), &expected, "{:?}", means);
        }
    }

    #[test]
    fn any_question_has_an_answer_within_the_data(data in contents(), searched: usize, near in 0..9000_usize, last: bool) {
        for means in means() {
            let cutter = cutter(polynomial(), Limits { min: 64, max: 4096 }, 6, means);
            for searched in [searched, near] {
                if let Some(length) = cutter.cut_beyond(&data, searched, last) {
                    prop_assert!(length <= data.len().min(4096) && (length > 0 || data.is_empty()));
                }
            }
        }
    }
}

/// Seconds that this thread has computed, whatever else the machine does.
fn seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// GB/s of one core by each means on noise: every position of it, and its chunks in memory and read. Run with `--release --
/// --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn speed() {
    let data = noise(7, 64 << 20);
    for means in means() {
        let limits = Limits { min: CHUNK_BYTES_MIN, max: CHUNK_BYTES_MAX };
        let (whole, real) =
            (Search::with(polynomial(), 40, means), cutter(polynomial(), limits, CUT_BITS, means));
        let rate = |work: &dyn Fn()| {
            let runs = (0..9).map(|_| {
                let start = seconds();
                work();
                data.len() as f64 / (seconds() - start) / 1e9
            });
            runs.fold(0.0, f64::max)
        };
        let searched = rate(&|| assert_eq!(whole.first(&data, 64, data.len() + 1), None));
        let small = rate(&|| {
            (0..256).for_each(|_| assert_eq!(whole.first(&data[..256 << 10], 64, 256 << 10), None))
        });
        let cut = rate(&|| drop(lengths(&real, &data)));
        let streamed = rate(&|| {
            let mut chunks = Chunks::new(real.clone(), &data[..]);
            while chunks.next_chunk().unwrap().is_some() {}
        });
        println!(
            "{means:?}: every position {searched:.2} GB/s (in cache {small:.2}), chunks {cut:.2}, streamed {streamed:.2}"
        );
    }
}
