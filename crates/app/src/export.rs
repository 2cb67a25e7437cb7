//! Images of disks: whole, with snapshots inside, or only what differs from a base.
//!
//! Everything that can be refused is refused before the first byte. The moments are kept for as long as it takes, whatever is deleted or
//! written meanwhile.

use std::io::{self, Write};
use std::ops::Range;

use parking_lot::Mutex;
use tintype_disk::{Allocation, Blocks, ByteRange, DiskView, Equal, Kept, Run};
use tintype_image::{
    Content, Format, Identity, ImageError, Layer, Output, Parent, Qcow2Plan, Uuid, VhdPlan,
    write_raw, write_runs,
};
use tintype_model::{MomentName, SnapshotName, SnapshotRef, VolumeName};
use tintype_store::{MomentRef, Snapshot, Store, Volume};
use xxhash_rust::xxh3::xxh3_128;

use crate::convert::{disk_error, random};
use crate::error::{AppError, AppResult};
use crate::import::image_error;
use crate::open::App;
use crate::types::{ImageHead, ImageWish};

/// Runs that are asked for at once.
const RUNS: usize = 1024;
/// Seconds from 1970-01-01 to 2000-01-01, from where VHD counts.
const VHD_EPOCH: i64 = 946_684_800;

impl App {
    /// Writes an image to what `begin` answers, once it is known what it will be.
    pub fn disk_export<W: Output>(
        &self,
        wish: &ImageWish,
        begin: impl FnOnce(ImageHead) -> AppResult<W>,
    ) -> AppResult<()> {
        refuse_impossible(wish)?;
        let store = self.store()?;
        let object = format!("disk {}", wish.moment);
        let at = self.disk_moment(&wish.moment)?;
        if !wish.snapshots.is_empty() {
            return self.export_many(&store, wish, begin);
        }
        let base = wish.base.as_ref().map(|base| self.base(base)).transpose()?;
        let kept = Kept::new(&store, base.as_ref().map_or(at, |base| base.at), at);
        let kept = kept.map_err(|e| disk_error(&object, &e))?;
        let [old, view] = kept.views();
        let uuid = self.image_of(&wish.moment, view)?;
        let mut content = DiskContent::new(view);
        if let Some(base) = &base {
            let changes = kept.changes(Equal::Bytes).map_err(|e| {
                disk_error(&format!("changes from {} to {}", base.name, wish.moment), &e)
            })?;
            content.changes = Some(ranges(&changes));
        }
        let parent = base.as_ref().map(|base| base.as_parent(old));
        let write = |error| self.export_error(&object, &content, error);
        match wish.format {
            Format::Vhd => {
                let timestamp = self.vhd_time(&wish.moment)?;
                let plan =
                    VhdPlan::new(&content, Identity { uuid, timestamp, parent }).map_err(write)?;
                let mut out = begin(head(wish, &content, uuid, Some(plan.length()), 0))?;
                plan.write(&mut out).and_then(|()| flush(&mut out)).map_err(write)
            }
            Format::Qcow2 => {
                let plan = Qcow2Plan::new(&content).map_err(write)?;
                let mut out = begin(head(wish, &content, uuid, Some(plan.length()), 0))?;
                plan.write(&mut out).and_then(|()| flush(&mut out)).map_err(write)
            }
            Format::Raw => {
                let mut out = begin(head(wish, &content, uuid, Some(content.size()), 0))?;
                write_raw(&content, &mut out).and_then(|()| flush(&mut out)).map_err(write)
            }
            Format::Runs => {
                let data = data_bytes(&content).map_err(|e| write(ImageError::Content(e)))?;
                let mut out = begin(head(wish, &content, uuid, None, data))?;
                write_runs(&content, Some(uuid), data, &mut out)
                    .and_then(|()| flush(&mut out))
                    .map_err(write)
            }
        }
    }

    /// Several moments in one qcow2, oldest first.
    fn export_many<W: Output>(
        &self,
        store: &Store,
        wish: &ImageWish,
        begin: impl FnOnce(ImageHead) -> AppResult<W>,
    ) -> AppResult<()> {
        let object = format!("disk {}", wish.moment);
        let fail = |e| disk_error(&object, &e);
        let mut snapshots = self.in_order(wish.moment.volume(), &wish.snapshots)?;
        if let MomentName::Snapshot(last) = &wish.moment {
            snapshots.retain(|snapshot| snapshot.meta.name != last.snapshot);
        }
        let mut moments: Vec<MomentRef> =
            snapshots.iter().map(|snapshot| MomentRef::Snapshot(snapshot.id)).collect();
        moments.push(self.disk_moment(&wish.moment)?);
        // Each moment with the one before it; the first one with itself.
        let mut kept = Vec::new();
        let mut before = moments.first().copied();
        for moment in &moments {
            kept.push(Kept::new(store, before.unwrap_or(*moment), *moment).map_err(fail)?);
            before = Some(*moment);
        }
        let contents: Vec<DiskContent<'_>> = kept
            .iter()
            .map(|kept| {
                let [_, view] = kept.views();
                DiskContent::new(view)
            })
            .collect();
        let mut layers = Vec::new();
        for (index, (content, kept)) in contents.iter().zip(&kept).enumerate() {
            let changed = match index {
                0 => Vec::new(),
                _ => ranges(&kept.changes(Equal::Place).map_err(fail)?),
            };
            let meta = snapshots.get(index).map(|snapshot| &snapshot.meta);
            let time = meta.map_or(jiff::Timestamp::UNIX_EPOCH, |meta| meta.time);
            layers.push(Layer {
                content,
                changed,
                name: meta.map_or_else(String::new, |meta| meta.name.to_string()),
                seconds: u32::try_from(time.as_second()).unwrap_or(0),
                nanoseconds: u32::try_from(time.subsec_nanosecond()).unwrap_or(0),
            });
        }
        let Some(last) = contents.last() else { return Ok(()) };
        let uuid = self.image_of(&wish.moment, last.view)?;
        let write = |error| self.export_error(&object, last, error);
        let plan = Qcow2Plan::with_snapshots(layers).map_err(write)?;
        let mut out = begin(head(wish, last, uuid, Some(plan.length()), 0))?;
        plan.write(&mut out).and_then(|()| flush(&mut out)).map_err(write)
    }

    /// Snapshots by time.
    fn in_order(
        &self,
        volume: &VolumeName,
        names: &[SnapshotName],
    ) -> AppResult<Vec<std::sync::Arc<Snapshot>>> {
        let mut list = Vec::new();
        for name in names {
            let name = SnapshotRef { volume: volume.clone(), snapshot: name.clone() };
            list.push(self.snapshot(&name)?.1);
        }
        list.sort_by_key(|snapshot| (snapshot.meta.time, snapshot.id));
        list.dedup_by_key(|snapshot| snapshot.id);
        Ok(list)
    }

    /// What the disk failed with, rather than that the writer did not get it.
    fn export_error(&self, object: &str, content: &DiskContent<'_>, error: ImageError) -> AppError {
        let failure = content.failure.lock().take();
        failure.unwrap_or_else(|| image_error(object, &error))
    }

    /// A base has a name of its own, so it must not change.
    fn base(&self, name: &MomentName) -> AppResult<Base> {
        let refuse = || {
            AppError::invalid(
                format!("base {name}"),
                "can still be written to, so a delta cannot say what it goes upon",
                "Name a read-only snapshot: NAME@SNAPSHOT.",
            )
        };
        let MomentName::Snapshot(of) = name else { return Err(refuse()) };
        let at = self.disk_moment(name)?;
        let (volume, snapshot) = self.snapshot(of)?;
        if snapshot.writable() {
            return Err(refuse());
        }
        Ok(Base { name: name.clone(), at, volume, snapshot })
    }

    /// The name of a moment's image: that of the image that it still is, else one that follows from the snapshot; what can change gets a new
    /// one each time.
    fn image_of(&self, moment: &MomentName, view: &DiskView) -> AppResult<Uuid> {
        if let Some(image) = view.image() {
            return Ok(Uuid(image));
        }
        if let MomentName::Snapshot(name) = moment {
            let (volume, snapshot) = self.snapshot(name)?;
            if !snapshot.writable() {
                return Ok(derived(&volume, &snapshot));
            }
        }
        Ok(Uuid::from_bits(u128::from_be_bytes(random()?)))
    }

    fn vhd_time(&self, moment: &MomentName) -> AppResult<u32> {
        Ok(vhd_seconds(match moment {
            MomentName::Live(_) => jiff::Timestamp::now(),
            MomentName::Snapshot(name) => self.snapshot(name)?.1.meta.time,
        }))
    }
}

/// What a delta goes upon.
struct Base {
    name: MomentName,
    at: MomentRef,
    volume: Volume,
    snapshot: std::sync::Arc<Snapshot>,
}

impl Base {
    fn as_parent(&self, view: &DiskView) -> (Parent, u32) {
        let uuid = view.image().map_or_else(|| derived(&self.volume, &self.snapshot), Uuid);
        let name = format!("{}.vhd", self.name);
        (Parent { uuid, name }, vhd_seconds(self.snapshot.meta.time))
    }
}

fn vhd_seconds(time: jiff::Timestamp) -> u32 {
    u32::try_from(time.as_second() - VHD_EPOCH).unwrap_or(0)
}

/// The same for the same snapshot, in every store: ids are of one store, so times and the machine count too.
fn derived(volume: &Volume, snapshot: &Snapshot) -> Uuid {
    let text = format!(
        "tintype image: {} {} {} {} {}",
        volume.id, volume.meta.created, snapshot.id, snapshot.meta.time, snapshot.meta.host
    );
    Uuid::from_bits(xxh3_128(text.as_bytes()))
}

fn flush(out: &mut dyn Write) -> Result<(), ImageError> {
    out.flush().map_err(ImageError::Write)
}

fn refuse_impossible(wish: &ImageWish) -> AppResult<()> {
    if wish.base.is_some() && wish.format != Format::Vhd {
        return Err(AppError::invalid(
            format!("format {}", wish.format),
            "cannot say what a delta goes upon",
            "Use `--format vhd` with --base; without --base the image is whole.",
        ));
    }
    if !wish.snapshots.is_empty() && wish.format != Format::Qcow2 {
        return Err(AppError::invalid(
            format!("format {}", wish.format),
            "holds one moment only",
            "Use `--format qcow2` with --with-snapshot, or export each snapshot by itself.",
        ));
    }
    Ok(())
}

fn head(
    wish: &ImageWish,
    content: &DiskContent<'_>,
    uuid: Uuid,
    length: Option<u64>,
    data: u64,
) -> ImageHead {
    ImageHead {
        length,
        size: content.size(),
        data,
        file_name: format!("{}.{}", wish.moment, wish.format.extension()),
        uuid: uuid.to_string(),
    }
}

fn ranges(changes: &[ByteRange]) -> Vec<Range<u64>> {
    changes.iter().map(|change| change.offset..change.offset + change.length).collect()
}

fn data_bytes(content: &DiskContent<'_>) -> io::Result<u64> {
    let (mut at, mut bytes) = (0, 0);
    while let Some(range) = content.next_data(at)? {
        bytes += range.end - range.start;
        at = range.end;
    }
    Ok(bytes)
}

/// A moment of a disk as writers of images want it.
struct DiskContent<'v> {
    view: &'v DiskView,
    /// Only these ranges are told; all data when absent.
    changes: Option<Vec<Range<u64>>>,
    /// The last runs that were asked for.
    runs: Mutex<Vec<Run>>,
    failure: Mutex<Option<AppError>>,
}

impl<'v> DiskContent<'v> {
    fn new(view: &'v DiskView) -> Self {
        Self { view, changes: None, runs: Mutex::default(), failure: Mutex::default() }
    }

    fn fail(&self, error: &tintype_disk::DiskError) -> io::Error {
        let error = disk_error("disk", error);
        let text = error.to_string();
        *self.failure.lock() = Some(error);
        io::Error::other(text)
    }
}

impl Content for DiskContent<'_> {
    fn size(&self) -> u64 {
        self.view.size()
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        if let Some(changes) = &self.changes {
            let next = changes.partition_point(|range| range.end <= from);
            return Ok(changes.get(next).map(|range| range.start.max(from)..range.end));
        }
        let size = self.view.size();
        let mut runs = self.runs.lock();
        let mut at = from;
        while at < size {
            let known = runs.first().is_some_and(|run| run.offset <= at)
                && runs.last().is_some_and(|run| at < run.offset + run.length);
            if !known {
                *runs = self.view.extents(at, size - at, RUNS).map_err(|e| self.fail(&e))?;
            }
            let first = runs.partition_point(|run| run.offset + run.length <= at);
            let rest = runs.get(first..).unwrap_or(&[]);
            if let Some(run) = rest.iter().find(|run| run.allocation == Allocation::Data) {
                return Ok(Some(run.offset.max(at)..run.offset + run.length));
            }
            let Some(last) = rest.last() else { break };
            at = last.offset + last.length;
        }
        Ok(None)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.view.read_at(offset, into).map_err(|e| self.fail(&e))
    }
}
