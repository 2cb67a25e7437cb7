//! Images between us and other programs: QEMU's `qemu-img`, and libvhdi.

use std::path::Path;

use tintype_image::{Codec, Format, ImageError, Qcow2Plan, Stream};
use tintype_testkit::Rng;

use crate::roundtrip::{as_layers, changed, delta, moments, packed, qcow2, vhd};
use crate::world::{Disk, assert_same, qemu_reads, run, take, take_file};

/// Writes an image into a folder.
fn put(dir: &Path, name: &str, image: &[u8]) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, image).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const SIZES: [u64; 5] = [512, 4096 * 3 + 512, 5 << 20, (33 << 20) + 1536, 600 << 20];

fn disks() -> impl Iterator<Item = Disk> {
    let mut rng = Rng::new(11);
    SIZES.into_iter().map(move |size| Disk::random(&mut rng, size, 7))
}

#[test]
fn qemu_reads_our_vhds() {
    let dir = tempfile::tempdir().unwrap();
    for disk in disks().take(4) {
        let path = put(dir.path(), "i.vhd", &vhd(&disk));
        assert_same(&qemu_reads(&path, "vpc"), &disk.bytes, "qemu-img reads VHD");
    }
}

#[test]
fn qemu_reads_and_checks_our_qcow2s() {
    let dir = tempfile::tempdir().unwrap();
    for disk in disks() {
        for (what, image) in [
            ("plain", qcow2(&disk)),
            ("zstd", packed(&disk, Codec::Zstd)),
            ("deflate", packed(&disk, Codec::Deflate)),
        ] {
            let path = put(dir.path(), "i.qcow2", &image);
            let check = run("qemu-img", &["check", "-f", "qcow2", text(&path)]);
            assert!(check.contains("No errors were found"), "{what}: {check}");
            assert_same(&qemu_reads(&path, "qcow2"), &disk.bytes, what);
        }
    }
}

#[test]
fn qemu_sees_every_internal_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..6 {
        let mut rng = Rng::new(seed);
        let (disks, changes) = moments(&mut rng, 4);
        let mut image = Vec::new();
        Qcow2Plan::with_snapshots(as_layers(&disks, &changes)).unwrap().write(&mut image).unwrap();
        let path = put(dir.path(), "s.qcow2", &image);
        let check = run("qemu-img", &["check", "-f", "qcow2", text(&path)]);
        assert!(check.contains("No errors were found"), "{check}");
        assert_same(&qemu_reads(&path, "qcow2"), &disks[3].bytes, "the live disk");
        for (index, disk) in disks.iter().take(3).enumerate() {
            let raw = dir.path().join("s.raw");
            let snapshot = format!("snapshot.name=moment {index}");
            run(
                "qemu-img",
                &["convert", "-f", "qcow2", "-l", &snapshot, "-O", "raw", text(&path), text(&raw)],
            );
            assert_same(&std::fs::read(&raw).unwrap(), &disk.bytes, "a snapshot");
        }
        // QEMU goes back to one, and the image stays sound.
        run("qemu-img", &["snapshot", "-a", "moment 1", text(&path)]);
        assert_same(&qemu_reads(&path, "qcow2"), &disks[1].bytes, "after going back");
        run("qemu-img", &["check", "-f", "qcow2", text(&path)]);
    }
}

/// A program for libvhdi: prints the media of a chain of files, base first.
const PYVHDI: &str = "
import pyvhdi, sys
chain = []
for path in sys.argv[2:]:
    f = pyvhdi.file()
    f.open(path)
    if chain:
        assert f.parent_identifier == chain[-1].identifier, (f.parent_identifier, chain[-1].identifier)
        f.set_parent(chain[-1])
    chain.append(f)
with open(sys.argv[1], 'wb') as out:
    f = chain[-1]
    left = f.media_size
    while left:
        data = f.read(min(left, 1 << 20))
        assert data
        out.write(data)
        left -= len(data)
";

fn libvhdi_reads(dir: &Path, chain: &[&Path]) -> Vec<u8> {
    let out = dir.join("vhdi.raw");
    let mut args = vec!["-c", PYVHDI, text(&out)];
    args.extend(chain.iter().map(|path| text(path)));
    run("/usr/bin/python3", &args);
    std::fs::read(out).unwrap()
}

#[test]
fn libvhdi_reads_our_vhds_and_chains_of_deltas() {
    let dir = tempfile::tempdir().unwrap();
    for (seed, size) in [(1, 512 * 9), (2, (9 << 20) + 512), (3, 40 << 20)] {
        let mut rng = Rng::new(seed);
        let full = Disk::random(&mut rng, size, 6);
        let path = put(dir.path(), "d@a.vhd", &vhd(&full));
        let info = run("vhdiinfo", &[text(&path)]);
        assert!(
            info.contains("Dynamic") && info.contains("05050505-0505-0505-0505-050505050505"),
            "{info}"
        );
        assert_same(&libvhdi_reads(dir.path(), &[&path]), &full.bytes, "full");
        let (new, ranges) = changed(&mut rng, &full, 4);
        let second = put(dir.path(), "d@b.vhd", &delta(&new, ranges));
        let info = run("vhdiinfo", &[text(&second)]);
        assert!(info.contains("Differential") && info.contains("d@a.vhd"), "{info}");
        assert_same(&libvhdi_reads(dir.path(), &[&path, &second]), &new.bytes, "full and delta");
    }
}

/// Converts a raw disk with `qemu-img`.
fn made(dir: &Path, disk: &Disk, format: &str, options: &[&str]) -> std::path::PathBuf {
    let (raw, image) = (put(dir, "in.raw", &disk.bytes), dir.join("made"));
    drop(std::fs::remove_file(&image));
    let mut args = vec!["convert", "-f", "raw", "-O", format];
    args.extend(options);
    args.extend([text(&raw), text(&image)]);
    run("qemu-img", &args);
    image
}

#[test]
fn we_read_the_vhds_of_qemu() {
    let dir = tempfile::tempdir().unwrap();
    for disk in disks().take(4) {
        for options in [
            "subformat=dynamic,force_size=on",
            "subformat=fixed,force_size=on",
            "subformat=dynamic",
            "subformat=fixed",
        ] {
            let path = made(dir.path(), &disk, "vpc", &["-o", options]);
            let theirs = qemu_reads(&path, "vpc");
            let image = std::fs::read(&path).unwrap();
            assert_same(&take_file(&path, None).bytes, &theirs, options);
            let pipe = take(&mut Stream::new(&image[..], None), None).unwrap();
            assert_same(&pipe.bytes, &theirs, options);
            // QEMU rounds sizes to its geometry unless it is told not to.
            assert_same(&theirs[..disk.bytes.len()], &disk.bytes, options);
        }
    }
}

#[test]
fn we_read_every_qcow2_of_qemu() {
    let dir = tempfile::tempdir().unwrap();
    let variants: [&[&str]; 14] = [
        &["-o", "compat=0.10"],
        &["-o", "compat=0.10", "-c"],
        &["-o", "compat=1.1"],
        &["-c"],
        &["-c", "-o", "compression_type=zstd"],
        &["-c", "-o", "compression_type=zstd,cluster_size=2M"],
        &["-o", "cluster_size=512"],
        &["-c", "-o", "cluster_size=512"],
        &["-o", "cluster_size=2M"],
        &["-o", "extended_l2=on,cluster_size=128k"],
        &["-o", "extended_l2=on,cluster_size=16k"],
        &["-o", "lazy_refcounts=on,refcount_bits=1"],
        &["-o", "preallocation=metadata"],
        &["-o", "preallocation=full,refcount_bits=64"],
    ];
    for disk in disks().take(4) {
        for options in variants {
            let path = made(dir.path(), &disk, "qcow2", options);
            assert_same(&take_file(&path, None).bytes, &disk.bytes, &format!("{options:?}"));
            let image = std::fs::read(&path).unwrap();
            match take(&mut Stream::new(&image[..], None), None) {
                Ok(taken) => {
                    assert_same(&taken.bytes, &disk.bytes, &format!("{options:?}, a pipe"))
                }
                Err(error) => {
                    assert!(matches!(error, ImageError::NeedsFile { .. }), "{options:?}: {error}")
                }
            }
        }
    }
}

#[test]
fn pipes_bring_what_qemu_usually_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Rng::new(8);
    let disk = Disk::random(&mut rng, 600 << 20, 30);
    for options in [&["-o", "compat=1.1"][..], &["-c"], &["-c", "-o", "compression_type=zstd"]] {
        let path = made(dir.path(), &disk, "qcow2", options);
        let image = std::fs::File::open(&path).unwrap();
        let taken = take(&mut Stream::new(image, None), None)
            .unwrap_or_else(|e| panic!("{options:?}: {e}"));
        assert_same(&taken.bytes, &disk.bytes, &format!("{options:?}"));
    }
}

#[test]
fn we_read_what_was_written_into_a_qcow2_later() {
    // Writes of a guest: parts of clusters, zeroes, discards, an internal snapshot that shares clusters.
    let dir = tempfile::tempdir().unwrap();
    for options in
        ["cluster_size=64k", "cluster_size=4k", "extended_l2=on,cluster_size=64k", "compat=0.10"]
    {
        let path = dir.path().join("g.qcow2");
        run("qemu-img", &["create", "-f", "qcow2", "-o", options, text(&path), "64M"]);
        let mut rng = Rng::new(21);
        for round in 0..3 {
            let mut args =
                vec!["-f".to_owned(), "qcow2".to_owned(), "-d".to_owned(), "unmap".to_owned()];
            for _ in 0..30 {
                let (at, length) = (rng.below(120_000) * 512, (1 + rng.below(400)) * 512);
                let command = match rng.below(4) {
                    0 => format!("write -z {at} {length}"),
                    1 => format!("discard {at} {length}"),
                    _ => format!("write -P {} {at} {length}", 1 + rng.below(255)),
                };
                args.extend(["-c".to_owned(), command]);
            }
            args.push(text(&path).to_owned());
            run("qemu-io", &args.iter().map(String::as_str).collect::<Vec<_>>());
            assert_same(&take_file(&path, None).bytes, &qemu_reads(&path, "qcow2"), options);
            run("qemu-img", &["snapshot", "-c", &format!("s{round}"), text(&path)]);
        }
        assert_same(
            &take_file(&path, Some(Format::Qcow2)).bytes,
            &qemu_reads(&path, "qcow2"),
            options,
        );
    }
}
