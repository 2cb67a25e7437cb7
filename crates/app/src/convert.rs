//! From the many errors of the layers below to the few kinds of the app.

use std::path::Path;

use tintype_disk::DiskError;
use tintype_fs::FsError;
use tintype_history::HistoryError;
use tintype_kv::KvError;
use tintype_segments::SegmentsError;
use tintype_store::StoreError;
use tintype_store::limits::Refusal;

use crate::error::{AppError, AppResult, ErrorKind};
use crate::port::MountError;

const FSCK: &str = "Run `tintype fsck`, and put what is damaged back from a copy.";
const DISK: &str = "Check the disk below the store and its free space, then restart the server.";
const ROOM: &str = "Make room on the disk below the store, or delete snapshots. What waits is written then; \
                    nothing has to be restarted.";
const SHUT_DOWN: &str = "Mount the filesystem that was shut down again, where it was mounted (`tintype fs mount FS DIR`), \
                         or restart the server.";
const IN_USE: &str = "Unmount it first: `tintype fs unmount`.";
const DISK_IN_USE: &str = "End the programs that have its block device open, and try again.";
const LIST: &str =
    "`tintype fs list`, `tintype disk list` and `tintype snapshot list` show what exists.";

/// An error of the store, about `object`.
pub(crate) fn store_error(object: &str, error: &StoreError) -> AppError {
    let (kind, remedy) = match store_kind(error) {
        (kind, IN_USE) if object.starts_with("disk ") => (kind, DISK_IN_USE),
        told => told,
    };
    let told = match error {
        StoreError::Exists { what } => taken(object, what),
        // What to do is the remedy's.
        StoreError::HasSnapshots { .. } | StoreError::Protected { .. } | StoreError::Unrelated => {
            error.to_string().split("; ").next().unwrap_or_default().to_owned()
        }
        _ => chain(error),
    };
    AppError::new(kind, object, told, remedy)
}

/// What is taken, unless the object says it already.
fn taken(object: &str, what: &str) -> String {
    let name = what.split_once(' ').map_or(what, |(_, name)| name);
    let own = what.starts_with("snapshot ") && object.ends_with(&format!("@{name}"));
    if own { "exists already".to_owned() } else { format!("{what} exists already") }
}

fn store_kind(error: &StoreError) -> (ErrorKind, &'static str) {
    if error.is_full() {
        return (ErrorKind::NoSpace, ROOM);
    }
    match error {
        StoreError::Kv(error) | StoreError::History(HistoryError::Kv(error)) => kv_kind(error),
        StoreError::Segments(error) => segments_kind(error),
        StoreError::History(_) | StoreError::Damaged { .. } => (ErrorKind::Damaged, FSCK),
        StoreError::Moved(_) => (ErrorKind::Busy, "Try again."),
        StoreError::TooMuchWaits { .. } => (ErrorKind::NoSpace, ROOM),
        StoreError::Poisoned { .. } => (ErrorKind::Unavailable, DISK),
        StoreError::Shutdown => (ErrorKind::Unavailable, SHUT_DOWN),
        StoreError::Stopped => (ErrorKind::Unavailable, "Ask again."),
        StoreError::NotFound { .. } => (ErrorKind::NotFound, LIST),
        StoreError::Exists { .. } => {
            (ErrorKind::Exists, "Choose another name; `tintype snapshot list` shows those in use.")
        }
        StoreError::HasSnapshots { .. } => {
            (ErrorKind::Busy, "Delete them first, or use --force to delete them with it.")
        }
        StoreError::Protected { .. } => (
            ErrorKind::Protected,
            "Change the rule first: `tintype snapshot update FS@NAME --delete-anytime`.",
        ),
        StoreError::Invalid { .. } => (ErrorKind::Invalid, "See --help of the command."),
        StoreError::Unrelated => {
            (ErrorKind::Invalid, "Compare the files themselves, for example with `diff -r`.")
        }
        StoreError::Busy { .. } => (ErrorKind::Busy, IN_USE),
    }
}

fn io_kind(error: &std::io::Error) -> (ErrorKind, &'static str) {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            (ErrorKind::NoSpace, "Make room on the disk below the store, then restart the server.")
        }
        _ => (ErrorKind::Unavailable, DISK),
    }
}

fn kv_kind(error: &KvError) -> (ErrorKind, &'static str) {
    match error {
        KvError::InUse { .. } => {
            (ErrorKind::Busy, "Use the server that holds it, or stop it with `tintype down`.")
        }
        KvError::Damaged { .. } => (ErrorKind::Damaged, FSCK),
        KvError::Io { source, .. } => io_kind(source),
        KvError::NoSpace { .. } => io_kind(&std::io::ErrorKind::StorageFull.into()),
        KvError::Poisoned => (ErrorKind::Unavailable, DISK),
        _ => (ErrorKind::Internal, "Report this defect."),
    }
}

fn segments_kind(error: &SegmentsError) -> (ErrorKind, &'static str) {
    match error {
        SegmentsError::Io { source, .. } => io_kind(source),
        SegmentsError::Poisoned => (ErrorKind::Unavailable, DISK),
        SegmentsError::Refused { .. } => (ErrorKind::Internal, "Report this defect."),
        _ => (ErrorKind::Damaged, FSCK),
    }
}

/// The message with those of its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// An error of a filesystem, about `object`.
pub(crate) fn fs_error(object: &str, error: &FsError) -> AppError {
    match error {
        FsError::Store(error) => store_error(object, error),
        FsError::Damaged(_) => AppError::new(ErrorKind::Damaged, object, error.to_string(), FSCK),
        FsError::NoSuchVolume => {
            AppError::new(ErrorKind::NotFound, object, error.to_string(), LIST)
        }
        FsError::Nested | FsError::NoQuota => {
            AppError::invalid(object, error.to_string(), "`tintype fs quota list` shows quotas.")
        }
        FsError::ShutDown => {
            AppError::new(ErrorKind::Unavailable, object, error.to_string(), SHUT_DOWN)
        }
        FsError::Refused(code) => {
            let system = std::io::Error::from_raw_os_error(*code);
            AppError::new(ErrorKind::Unavailable, object, system.to_string(), FSCK)
        }
    }
}

/// An error of a disk, about `object`.
pub(crate) fn disk_error(object: &str, error: &DiskError) -> AppError {
    let (kind, remedy) = match error {
        DiskError::Store(error) => return store_error(object, error),
        DiskError::Damaged(_) => (ErrorKind::Damaged, FSCK),
        DiskError::OutOfBounds { .. } => (
            ErrorKind::Invalid,
            "`tintype disk show` tells the size; `tintype disk resize` changes it.",
        ),
        DiskError::Size { .. } => (ErrorKind::Invalid, "Write it like 10G or 512M."),
        DiskError::NoRoom(refusal) => (ErrorKind::NoSpace, no_room(*refusal)),
        DiskError::NoDisk | DiskError::Gone => {
            (ErrorKind::NotFound, "`tintype disk list` shows the disks.")
        }
        DiskError::Closed => (ErrorKind::Unavailable, "Try again: it is opened again then."),
    };
    AppError::new(kind, object, error.to_string(), remedy)
}

/// What gives a disk room again, which depends on what has none.
const fn no_room(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Quota => {
            "It limits live data: discard what is not needed (`fstrim` in the guest), or raise it: `tintype disk set --quota`."
        }
        Refusal::Capacity => {
            "It limits live data and snapshots: delete snapshots, or raise it: `tintype disk set --capacity`."
        }
        Refusal::Room => ROOM,
    }
}

/// An error of a mount of `object` at `dir`.
pub(crate) fn mount_error(object: &str, dir: &Path, error: &MountError) -> AppError {
    let (kind, remedy) = match error {
        MountError::BadFolder(_) => (
            ErrorKind::Unavailable,
            format!("Make {} an empty folder that you may enter.", dir.display()),
        ),
        MountError::Busy(_) => (
            ErrorKind::Busy,
            format!("Close what uses {} (`fuser -m` shows it), or use --force.", dir.display()),
        ),
        MountError::Unsupported(_) => (
            ErrorKind::Unavailable,
            "Check that /dev/fuse exists, that this user may open it, and that the package fuse3 is installed."
                .to_owned(),
        ),
        MountError::Hangs(_) => (
            ErrorKind::Busy,
            format!(
                "Wait until its server answers; or end the wait as root with `umount -f {0}` and \
                 `umount -l {0}`, and try again.",
                dir.display()
            ),
        ),
        MountError::System(_) => (
            ErrorKind::Unavailable,
            "Look into the log of the server and of the kernel.".to_owned(),
        ),
    };
    let told = match error {
        // The object or the remedy says where.
        MountError::Busy(_) => "is in use: programs have files or folders open there".to_owned(),
        _ => error.to_string(),
    };
    AppError::new(kind, object, told, remedy)
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name of `2 * N` hexadecimal digits that nobody else has.
pub(crate) fn random_name<const N: usize>() -> AppResult<String> {
    random::<N>().map(|bytes| hex(&bytes))
}

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> AppResult<[u8; N]> {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    filled.map(|()| bytes).map_err(|e| {
        let detail = format!("has no random bytes: {e}");
        AppError::new(ErrorKind::Unavailable, "system", detail, "Try again.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        let io = |code| {
            StoreError::from(KvError::Io {
                doing: "write",
                path: "/x".into(),
                source: std::io::Error::from_raw_os_error(code),
            })
        };
        assert_eq!(store_error("store", &io(28)).kind, ErrorKind::NoSpace);
        let broken = store_error("store", &io(5));
        assert_eq!(broken.kind, ErrorKind::Unavailable);
        assert!(broken.detail.contains("cannot write the records"), "{broken}");
    }

    #[test]
    fn what_helps_a_full_disk_depends_on_what_is_full() {
        for (refusal, helps, not) in [
            (Refusal::Quota, "--quota", "snapshots"),
            (Refusal::Capacity, "delete snapshots", "--quota"),
            (Refusal::Room, "disk below the store", "--capacity"),
        ] {
            let error = disk_error("disk d", &DiskError::NoRoom(refusal));
            assert_eq!(error.kind, ErrorKind::NoSpace);
            assert!(error.remedy.contains(helps) && !error.remedy.contains(not), "{error:?}");
        }
    }

    #[test]
    fn what_to_do_is_told_once() {
        let exists = |what: &str| StoreError::Exists { what: what.to_owned() };
        let error = store_error("snapshot home@a", &exists("snapshot a"));
        assert_eq!(error.to_string(), "snapshot home@a: exists already");
        let error = store_error("snapshot home@a", &exists("access point p"));
        assert_eq!(error.to_string(), "snapshot home@a: access point p exists already");
        let error = store_error("diff of a and b", &StoreError::Unrelated);
        assert!(!error.detail.contains("compare") && error.remedy.contains("diff -r"), "{error}");
        let busy = MountError::Busy("/h is busy".to_owned());
        let error = mount_error("mount /h", Path::new("/h"), &busy);
        assert_eq!(error.to_string().matches("/h").count(), 1, "{error}");
    }

    #[test]
    fn what_uses_a_disk_is_no_mount() {
        let busy = || StoreError::Busy { what: "v".to_owned() };
        let told = |object| {
            let error = store_error(object, &busy());
            assert_eq!(error.kind, ErrorKind::Busy);
            format!("{error} {}", error.remedy)
        };
        assert!(told("filesystem v").contains("tintype fs unmount"));
        assert!(!told("disk v").to_lowercase().contains("unmount"));
        let closed = disk_error("disk v", &DiskError::Closed);
        assert!(!closed.to_string().contains("deleted"), "{closed}");
        assert_eq!(disk_error("disk v", &DiskError::Gone).kind, ErrorKind::NotFound);
    }

    #[test]
    fn causes_are_told_once() {
        let error = store_error("s", &StoreError::from(KvError::Poisoned));
        assert_eq!(error.detail.matches("an earlier write").count(), 1, "{error}");
    }
}
