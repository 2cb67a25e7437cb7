//! What our writers write, our readers read: from files and from pipes, for any allocation.

use std::io::{Cursor, Read};

use proptest::prelude::*;
use tintype_image::{
    Codec, Content, Format, Head, Identity, ImageError, Layer, Packer, Parent, Qcow2Plan,
    RunsWriter, Sink, Stream, Uuid, VhdPlan, read, write_raw, write_runs,
};
use tintype_testkit::Rng;

use crate::world::{Disk, Taken, assert_same, take, take_file, united};

fn identity() -> Identity {
    Identity { uuid: Uuid([5; 16]), timestamp: 77, parent: None }
}

pub fn vhd(disk: &Disk) -> Vec<u8> {
    let plan = VhdPlan::new(disk, identity()).unwrap();
    let mut out = Vec::new();
    plan.write(&mut out).unwrap();
    assert_eq!(out.len() as u64, plan.length());
    out
}

pub fn qcow2(disk: &Disk) -> Vec<u8> {
    let plan = Qcow2Plan::new(disk).unwrap();
    let mut out = Vec::new();
    plan.write(&mut out).unwrap();
    assert_eq!(out.len() as u64, plan.length());
    out
}

pub fn packed(disk: &Disk, codec: Codec) -> Vec<u8> {
    let mut runs = Vec::new();
    write_runs(disk, None, 0, &mut runs).unwrap();
    let mut packer = Packer::new(Cursor::new(Vec::new()), codec, disk.size()).unwrap();
    read(&mut Stream::new(&runs[..], None), Some(Format::Runs), &mut packer).unwrap();
    packer.into_inner().into_inner()
}

/// A pipe whose reads are short.
struct Drip<'b>(&'b [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let count = buf.len().min(61_111);
        self.0.read(&mut buf[..count])
    }
}

fn through_pipe(image: &[u8], asked: Option<Format>) -> Result<Taken, ImageError> {
    take(&mut Stream::new(Drip(image), None), asked)
}

fn through_file(image: &[u8], asked: Option<Format>) -> Taken {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, image).unwrap();
    take_file(file.path(), asked)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_disk_comes_back(seed in any::<u64>(), sectors in 1_u64..40_000, ranges in 0_u64..12) {
        let mut rng = Rng::new(seed);
        let disk = Disk::random(&mut rng, sectors * 512, ranges);
        let mut raw = Vec::new();
        write_raw(&disk, &mut raw).unwrap();
        assert_same(&raw, &disk.bytes, "raw");
        let mut runs = Vec::new();
        write_runs(&disk, Some(Uuid([1; 16])), 9, &mut runs).unwrap();
        let images = [
            ("raw", raw, true),
            ("runs", runs, true),
            ("vhd", vhd(&disk), true),
            ("qcow2", qcow2(&disk), true),
            ("qcow2 packed", packed(&disk, Codec::Zstd), false),
            ("qcow2 deflated", packed(&disk, Codec::Deflate), false),
        ];
        for (what, image, pipe) in &images {
            assert_same(&through_file(image, None).bytes, &disk.bytes, what);
            if *pipe {
                assert_same(&through_pipe(image, None).unwrap().bytes, &disk.bytes, what);
            }
        }
    }

    #[test]
    fn deltas_lead_from_one_moment_to_the_next(seed in any::<u64>(), writes in 0_u64..6) {
        let mut rng = Rng::new(seed);
        let old = Disk::random(&mut rng, 12 << 20, 4);
        let (new, changed) = changed(&mut rng, &old, writes);
        let delta = delta(&new, changed);
        for pipe in [false, true] {
            let mut taken = Taken { bytes: old.bytes.clone(), ..Taken::default() };
            let image = &delta[..];
            if pipe {
                read(&mut Stream::new(Drip(image), None), None, &mut taken).unwrap();
            } else {
                read(&mut Stream::new(image, None), Some(Format::Vhd), &mut taken).unwrap();
            }
            assert_same(&taken.bytes, &new.bytes, "delta");
            let parent = taken.head.unwrap().parent.unwrap();
            assert_eq!(parent, Parent { uuid: Uuid([5; 16]), name: "d@a.vhd".to_owned() });
        }
    }

    #[test]
    fn several_moments_share_clusters(seed in any::<u64>(), count in 2_usize..5) {
        let mut rng = Rng::new(seed);
        let (disks, layers) = moments(&mut rng, count);
        let plan = Qcow2Plan::with_snapshots(as_layers(&disks, &layers)).unwrap();
        let mut image = Vec::new();
        plan.write(&mut image).unwrap();
        assert_eq!(image.len() as u64, plan.length());
        assert_same(&through_pipe(&image, None).unwrap().bytes, &disks.last().unwrap().bytes, "the last moment");
    }
}

/// A moment after some writes and discards, and what differs.
pub fn changed(rng: &mut Rng, old: &Disk, writes: u64) -> (Disk, Vec<std::ops::Range<u64>>) {
    let (mut new, mut changed) = (old.clone(), Vec::new());
    for _ in 0..writes {
        let range = new.scribble(rng);
        changed = united(&changed, range.clone());
        if rng.once_in(3) {
            new.bytes[range.start as usize..range.end as usize].fill(0);
        }
    }
    (new, changed)
}

pub fn delta(new: &Disk, changed: Vec<std::ops::Range<u64>>) -> Vec<u8> {
    let parent = Parent { uuid: Uuid([5; 16]), name: "d@a.vhd".to_owned() };
    let identity = Identity { uuid: Uuid([6; 16]), timestamp: 78, parent: Some((parent, 77)) };
    let content = Disk { bytes: new.bytes.clone(), ranges: changed };
    let mut out = Vec::new();
    VhdPlan::new(&content, identity).unwrap().write(&mut out).unwrap();
    out
}

type Changes = Vec<std::ops::Range<u64>>;

pub fn moments(rng: &mut Rng, count: usize) -> (Vec<Disk>, Vec<Changes>) {
    let mut disks = vec![Disk::random(rng, 10 << 20, 5)];
    let mut all = vec![Vec::new()];
    while disks.len() < count {
        let (mut next, mut changes) = changed(rng, disks.last().unwrap(), 3);
        if rng.once_in(2) {
            // Something is discarded: clusters that no range names any more.
            let at = rng.below(9 << 20) / 65536 * 65536;
            let end = at + 65536 * (1 + rng.below(15));
            next.ranges = next
                .ranges
                .iter()
                .flat_map(|range| [range.start..range.end.min(at), range.start.max(end)..range.end])
                .filter(|range| range.start < range.end)
                .collect();
            next.bytes[at as usize..(end as usize).min(10 << 20)].fill(0);
            changes = united(&changes, at..end.min(10 << 20));
        }
        disks.push(next);
        all.push(changes);
    }
    (disks, all)
}

pub fn as_layers<'c>(disks: &'c [Disk], changes: &[Changes]) -> Vec<Layer<'c>> {
    let layer = |(index, (disk, changed)): (usize, (&'c Disk, &Changes))| Layer {
        content: disk as &dyn Content,
        changed: changed.clone(),
        name: format!("moment {index}"),
        seconds: 1_700_000_000,
        nanoseconds: 5,
    };
    disks.iter().zip(changes).enumerate().map(layer).collect()
}

#[test]
fn a_pipe_says_at_its_end_that_it_was_a_fixed_vhd() {
    let mut rng = Rng::new(3);
    let disk = Disk::random(&mut rng, 3 << 20, 9);
    let mut image = disk.bytes.clone();
    // The footer of a dynamic image, bent into that of a fixed one.
    let mut footer = vhd(&disk)[..512].to_vec();
    footer[63] = 2;
    footer[64..68].fill(0);
    let sum = !footer.iter().fold(0_u32, |sum, byte| sum + u32::from(*byte));
    footer[64..68].copy_from_slice(&sum.to_be_bytes());
    image.extend_from_slice(&footer);
    for asked in [None, Some(Format::Vhd)] {
        assert_same(&through_pipe(&image, asked).unwrap().bytes, &disk.bytes, "pipe");
        assert_same(&through_file(&image, asked).bytes, &disk.bytes, "file");
    }
    let raw = through_pipe(&image, Some(Format::Raw)).unwrap();
    assert_same(&raw.bytes, &image, "what is said to be raw is raw");
}

#[test]
fn holes_are_not_told() {
    let mut rng = Rng::new(4);
    let mut disk = Disk::random(&mut rng, 64 << 20, 0);
    disk.scribble(&mut rng);
    let held: u64 = disk.ranges.iter().map(|range| range.end - range.start).sum();
    for image in [vhd(&disk), qcow2(&disk), packed(&disk, Codec::Zstd)] {
        assert!(through_file(&image, None).told <= held + (4 << 20));
    }
}

#[test]
fn a_file_without_data_costs_nothing() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 40).unwrap();
    struct Counts(u64, u64);
    impl Sink for Counts {
        fn begin(&mut self, _: &Head) -> std::io::Result<()> {
            Ok(())
        }
        fn data(&mut self, _: u64, bytes: &[u8]) -> std::io::Result<()> {
            self.0 += bytes.len() as u64;
            Ok(())
        }
        fn zeroes(&mut self, _: u64, _: u64) -> std::io::Result<()> {
            Ok(())
        }
        fn end(&mut self, size: u64) -> std::io::Result<()> {
            self.1 = size;
            Ok(())
        }
    }
    let mut source = tintype_image::FileSource::new(file.reopen().unwrap()).unwrap().unwrap();
    let mut counts = Counts(0, 0);
    read(&mut source, None, &mut counts).unwrap();
    assert_eq!((counts.0, counts.1), (0, 1 << 40));
}

#[test]
fn a_failure_reaches_the_other_side() {
    let mut out = Vec::new();
    let mut writer = RunsWriter::new(&mut out, 0);
    let head = Head { format: Format::Runs, size: Some(1 << 20), uuid: None, parent: None };
    writer.begin(&head).unwrap();
    writer.data(0, &[1; 4096]).unwrap();
    writer.fail("disk d: data is damaged").unwrap();
    let error = through_pipe(&out, None).unwrap_err();
    assert!(error.to_string().contains("disk d: data is damaged"), "{error}");
    // And what is simply cut off is no whole image.
    assert!(matches!(through_pipe(&out[..500], None), Err(ImageError::CutOff { .. })));
}

#[test]
fn what_is_too_large_for_vhd_is_refused() {
    struct Huge;
    impl Content for Huge {
        fn size(&self) -> u64 {
            (2040 << 30) + 512
        }
        fn next_data(&self, _: u64) -> std::io::Result<Option<std::ops::Range<u64>>> {
            Ok(None)
        }
        fn read(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = VhdPlan::new(&Huge, identity()).err().unwrap();
    assert!(matches!(error, ImageError::TooLarge { limit, .. } if limit == 2040 << 30));
    assert!(error.remedy().contains("qcow2"));
    assert!(Qcow2Plan::new(&Huge).is_ok());
}
