//! Images that are cut off, damaged, or ask for what is not given.

use tintype_image::{Format, ImageError, Stream};
use tintype_testkit::Rng;

use crate::roundtrip::{qcow2, vhd};
use crate::world::{Disk, Taken, run, take, take_file};

fn disk() -> Disk {
    Disk::random(&mut Rng::new(9), 9 << 20, 6)
}

/// Reads bytes as a file.
fn read(image: &[u8]) -> Result<Taken, ImageError> {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, image).unwrap();
    take(&mut tintype_image::FileSource::new(file).unwrap().unwrap(), None)
}

#[test]
fn what_is_cut_off_is_never_taken_for_whole() {
    for image in [vhd(&disk()), qcow2(&disk())] {
        for part in [1, 3, 17, 60, 99] {
            let cut = &image[..image.len() / 100 * part];
            for error in [read(cut).err(), take(&mut Stream::new(cut, None), None).err()] {
                let error = error.unwrap_or_else(|| panic!("{part} % was taken for whole"));
                assert!(matches!(error, ImageError::CutOff { .. }), "{part} %: {error}");
            }
        }
    }
    // Of a VHD on a pipe also the last sector counts.
    let image = vhd(&disk());
    let cut = &image[..image.len() - 512];
    assert!(matches!(take(&mut Stream::new(cut, None), None), Err(ImageError::CutOff { .. })));
}

#[test]
fn a_damaged_copy_of_the_footer_is_replaced_by_the_other() {
    let disk = disk();
    let mut image = vhd(&disk);
    image[70] ^= 1;
    assert_eq!(read(&image).unwrap().bytes, disk.bytes);
    let last = image.len() - 440;
    image[last] ^= 1;
    let error = read(&image).unwrap_err();
    assert!(error.to_string().contains("footer checksum"), "{error}");
}

/// Puts a big-endian number.
fn bent(image: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image[at..at + bytes.len()].copy_from_slice(bytes);
    image
}

#[test]
fn every_refusal_names_the_field() {
    let image = qcow2(&disk());
    for (at, bytes, words) in [
        (4, &4_u32.to_be_bytes()[..], "version"),
        (8, &200_u64.to_be_bytes(), "backing file"),
        (20, &8_u32.to_be_bytes(), "cluster bits"),
        (20, &22_u32.to_be_bytes(), "cluster bits"),
        (24, &0_u64.to_be_bytes(), "size"),
        (24, &u64::MAX.to_be_bytes(), "size"),
        (32, &1_u32.to_be_bytes(), "encrypt"),
        (32, &2_u32.to_be_bytes(), "encrypt"),
        (36, &0_u32.to_be_bytes(), "first table"),
        (40, &7_u64.to_be_bytes(), "first table"),
        (72, &1_u64.to_be_bytes(), "dirty"),
        (72, &2_u64.to_be_bytes(), "corrupt"),
        (72, &4_u64.to_be_bytes(), "external data file"),
        (72, &(1_u64 << 40).to_be_bytes(), "bit 40"),
        (96, &9_u32.to_be_bytes(), "refcount order"),
        (100, &99_u32.to_be_bytes(), "header length"),
    ] {
        let error = read(&bent(&image, at, bytes)).unwrap_err();
        assert!(error.to_string().contains(words), "{words}: {error}");
        assert!(!error.remedy().is_empty());
    }
}

#[test]
fn clusters_upon_one_another_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("i.qcow2");
    let name = path.to_str().unwrap();
    run("qemu-img", &["create", "-q", "-f", "qcow2", name, "1T"]);
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 1 0 64k", name]);
    let image = std::fs::read(&path).unwrap();
    let l1 = u64::from_be_bytes(image[40..48].try_into().unwrap()) as usize;
    let entry = image[l1..l1 + 8].to_vec();
    // Every entry of the first table names the same second one.
    let mut bomb = image.clone();
    (0..2048).for_each(|index| bomb[l1 + index * 8..][..8].copy_from_slice(&entry));
    assert!(read(&bomb).unwrap_err().to_string().contains("upon one another"));
    // Every entry of the second table names the same cluster.
    let l2 = (u64::from_be_bytes(entry.try_into().unwrap()) & 0x00ff_ffff_ffff_fe00) as usize;
    let mut bomb = image;
    let data = bomb[l2..l2 + 8].to_vec();
    (0..8192).for_each(|index| bomb[l2 + index * 8..][..8].copy_from_slice(&data));
    assert!(read(&bomb).unwrap_err().to_string().contains("upon one another"));
    // And in a VHD.
    let image = vhd(&disk());
    let first = image[2048..].chunks(4).position(|entry| entry != [0xff; 4]).unwrap() * 4 + 2048;
    let entry = image[first..first + 4].to_vec();
    let bomb = bent(&image, if first == 2048 { 2052 } else { 2048 }, &entry);
    assert!(read(&bomb).unwrap_err().to_string().contains("upon another"));
}

#[test]
fn other_formats_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for (format, words) in [("vmdk", "VMDK"), ("vhdx", "VHDX"), ("vdi", "VDI"), ("qed", "QED")] {
        let path = dir.path().join(format);
        run("qemu-img", &["create", "-q", "-f", format, path.to_str().unwrap(), "8M"]);
        let file = std::fs::File::open(&path).unwrap();
        let error =
            take(&mut tintype_image::FileSource::new(file).unwrap().unwrap(), None).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(take_file(&path, Some(Format::Raw)).size.is_some());
    }
}
