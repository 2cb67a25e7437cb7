//! What is mounted: making mounts, taking them away, remembering them, flushing them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tintype_fs::FsError;
use tintype_model::{VolumeId, VolumeName};
use tintype_store::Volume;

use crate::convert::{fs_error, mount_error, store_error};
use crate::error::{AppError, AppResult, ErrorKind};
use crate::open::App;
use crate::port::Mount;
use crate::trees;
use crate::types::FsInfo;

/// How long a snapshot waits for the removal of files that lost their last name.
const ORPHANS_LIMIT: std::time::Duration = std::time::Duration::from_secs(2);

/// Whether a mount may lie over files of its folder, which are hidden meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Below {
    /// Somebody names the folder now: it must be empty.
    Nothing,
    /// It was mounted there before: better hidden files than no mount.
    Anything,
}

/// A filesystem that programs see.
pub(crate) struct Mounted {
    pub(crate) dir: PathBuf,
    pub(crate) tree: Arc<tintype_fs::Mounted>,
    pub(crate) mount: Box<dyn Mount>,
}

impl App {
    /// Mounts what was mounted when the store was last used; says what could not be.
    pub fn mount_remembered(&self) -> Vec<String> {
        let _one_change = self.admin.lock();
        let mut problems = Vec::new();
        let volumes = self.store().map(|store| store.volumes()).unwrap_or_default();
        for volume in volumes {
            let Some(dir) = volume.meta.mount.clone() else { continue };
            if let Err(error) = self.mount_now(&volume, &dir, Below::Anything) {
                let text = format!("{error}. {}", error.remedy);
                self.problems.lock().insert(volume.id, text.clone());
                problems.push(text);
            }
        }
        problems
    }

    /// Mounts a filesystem, now and at every start.
    pub fn fs_mount(&self, name: &VolumeName, dir: &Path) -> AppResult<FsInfo> {
        let _one_change = self.admin.lock();
        self.revive()?;
        let volume = self.filesystem(name)?;
        check_dir(dir)?;
        if let Some(mounted) = self.mounted(volume.id) {
            if mounted.dir != dir {
                return Err(already(&volume, &mounted.dir));
            }
            if !mounted.tree.is_shut_down() {
                return self.fs_info(&volume);
            }
            self.unmount_now(volume.id, true)?;
        }
        self.mount_now(&volume, dir, Below::Nothing)?;
        let volume = self.remember(&volume, Some(dir.to_owned()))?;
        self.fs_info(&volume)
    }

    /// Unmounts a filesystem, and does not mount it at the next start.
    pub fn fs_unmount(&self, name: &VolumeName, force: bool) -> AppResult<FsInfo> {
        let _one_change = self.admin.lock();
        let volume = self.filesystem(name)?;
        self.unmount_now(volume.id, force)?;
        self.problems.lock().remove(&volume.id);
        let volume = match self.remember(&volume, None) {
            // A store that was shut down forgets nothing new; the mount is gone all the same.
            Err(_) if self.is_shut_down() => volume,
            other => other?,
        };
        self.fs_info(&volume)
    }

    pub(crate) fn remember(&self, volume: &Volume, dir: Option<PathBuf>) -> AppResult<Volume> {
        let object = format!("filesystem {}", volume.meta.name);
        let mut change = |meta: &mut tintype_model::VolumeMeta| meta.mount.clone_from(&dir);
        self.store()?.update_volume(volume.id, &mut change).map_err(|e| store_error(&object, &e))
    }

    /// The mount of a volume, if it is alive.
    pub(crate) fn mounted(&self, id: VolumeId) -> Option<Arc<Mounted>> {
        self.mounts.lock().get(&id).filter(|mounted| mounted.mount.is_alive()).cloned()
    }

    /// The folder of the store has one place for mounts: a mount elsewhere in it would hide what the store needs.
    fn refuse_store(&self, dir: &Path) -> AppResult<()> {
        let inside = place(dir);
        let store = self.store_path();
        if !inside.starts_with(store) || inside.starts_with(store.join("mnt")) {
            return Ok(());
        }
        Err(AppError::invalid(
            format!("mount folder {}", dir.display()),
            format!("lies in the store {}", store.display()),
            format!("Choose a folder elsewhere, or under {}.", store.join("mnt").display()),
        ))
    }

    /// One folder shows one filesystem: a second mount would hide the first.
    fn refuse_shown(&self, dir: &Path) -> AppResult<()> {
        let wanted = place(dir);
        let shows = |mounted: &Mounted| {
            mounted.mount.is_alive() && (mounted.dir == dir || place(&mounted.dir) == wanted)
        };
        let found = self.mounts.lock().iter().find(|(_, other)| shows(other)).map(|(id, _)| *id);
        let Some(id) = found else { return Ok(()) };
        let other = self.store()?.volumes().into_iter().find(|volume| volume.id == id);
        let name = other.map_or_else(|| id.to_string(), |other| other.meta.name.to_string());
        Err(AppError::new(
            ErrorKind::Busy,
            format!("mount folder {}", dir.display()),
            format!("shows filesystem {name} already"),
            format!(
                "Choose another folder, or unmount that one first: `tintype fs unmount {name}`."
            ),
        ))
    }

    /// Mounts; the caller holds `admin`.
    pub(crate) fn mount_now(&self, volume: &Volume, dir: &Path, below: Below) -> AppResult<()> {
        let name = &volume.meta.name;
        let object = format!("filesystem {name}");
        if below == Below::Nothing {
            self.refuse_store(dir)?;
        }
        // Somebody else may have unmounted it: let go of what is left.
        self.let_go(volume.id)?;
        self.refuse_shown(dir)?;
        // Before anything else looks at the folder: what hangs there would take us with it.
        self.mounter.repair(dir).map_err(|e| mount_error(&object, dir, &e))?;
        let made = make_dir(dir)?;
        self.mount_on(volume, dir, below).inspect_err(|_| {
            // Only while they are empty; somebody may have put something there.
            let removed = made.iter().try_for_each(std::fs::remove_dir);
            tracing::debug!(?removed, ?made, "folders made for a mount that failed");
        })
    }

    /// As [`App::mount_now`], on a folder that is there.
    fn mount_on(&self, volume: &Volume, dir: &Path, below: Below) -> AppResult<()> {
        let name = &volume.meta.name;
        let object = format!("filesystem {name}");
        if below == Below::Nothing {
            refuse_files(dir)?;
        }
        let tree = trees::open(&self.store()?, volume.id, self.space_probe()?)
            .map_err(|e| fs_error(&object, &e))?;
        let mount = match self.mounter.mount(name, dir, Arc::clone(&tree) as _) {
            Ok(mount) => mount,
            Err(error) => {
                drop(tree.close());
                return Err(mount_error(&object, dir, &error));
            }
        };
        tree.set_invalidator(mount.invalidate());
        let mounted = Mounted { dir: dir.to_owned(), tree, mount };
        self.mounts.lock().insert(volume.id, Arc::new(mounted));
        self.problems.lock().remove(&volume.id);
        Ok(())
    }

    fn let_go(&self, id: VolumeId) -> AppResult<()> {
        let left = self.mounts.lock().remove(&id);
        let closed =
            left.map_or(Ok(()), |left| left.tree.close().map_err(|e| fs_error("filesystem", &e)));
        self.at_rest.forget(id);
        closed
    }

    /// Unmounts if mounted; the caller holds `admin`.
    pub(crate) fn unmount_now(&self, id: VolumeId, force: bool) -> AppResult<()> {
        let found = self.mounts.lock().get(&id).cloned();
        let Some(mounted) = found else { return Ok(()) };
        let object = format!("mount {}", mounted.dir.display());
        if force && (self.is_shut_down() || mounted.tree.is_shut_down()) {
            // Programs that hold files open would hold the store too, and nobody could open it again.
            mounted.mount.abort();
        }
        mounted.mount.unmount(force).map_err(|e| mount_error(&object, &mounted.dir, &e))?;
        self.mounts.lock().remove(&id);
        let closed = mounted.tree.close();
        self.at_rest.forget(id);
        match closed {
            Err(_) if self.is_shut_down() => Ok(()),
            other => other.map_err(|e| fs_error(&object, &e)),
        }
    }

    /// Unmounts everything, by force where programs do not let go.
    pub(crate) fn unmount_all(&self) {
        let ids: Vec<VolumeId> = self.mounts.lock().keys().copied().collect();
        for id in ids {
            if let Err(error) = self.unmount_now(id, true) {
                tracing::error!(%error, "cannot unmount");
            }
        }
    }

    /// Brings what programs wrote to the tree, if the volume is mounted.
    pub(crate) fn flush(&self, volume: &Volume) -> AppResult<()> {
        let Some(mounted) = self.mounted(volume.id) else { return Ok(()) };
        let object = format!("filesystem {}", volume.meta.name);
        mounted.mount.flush().map_err(|e| {
            if mounted.tree.is_shut_down() || self.is_shut_down() {
                return shut_down(volume, &mounted.dir);
            }
            mount_error(&object, &mounted.dir, &e)
        })?;
        mounted.tree.settle_orphans(ORPHANS_LIMIT);
        Ok(())
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.store().and_then(|store| store.check().map_err(|e| store_error("store", &e))).is_err()
    }

    /// After a shutdown request of a program, mounting means opening the store anew. Other mounts come back too.
    fn revive(&self) -> AppResult<()> {
        if !self.is_shut_down() {
            return Ok(());
        }
        let others: Vec<(VolumeId, PathBuf)> =
            self.mounts.lock().iter().map(|(id, mounted)| (*id, mounted.dir.clone())).collect();
        self.unmount_all();
        self.reopen()?;
        for (id, dir) in others {
            let volume = self.store()?.volumes().into_iter().find(|volume| volume.id == id);
            if let Some(volume) = volume {
                self.mount_now(&volume, &dir, Below::Anything)?;
            }
        }
        Ok(())
    }
}

/// Where a folder really is. Only the folder above is asked: asking a mount itself could hang.
fn place(dir: &Path) -> PathBuf {
    match (dir.parent().and_then(|above| above.canonicalize().ok()), dir.file_name()) {
        (Some(above), Some(name)) => above.join(name),
        _ => dir.to_owned(),
    }
}

/// Makes the folder, and those above it, if nothing is there. Answers what was made, innermost first.
fn make_dir(dir: &Path) -> AppResult<Vec<PathBuf>> {
    let absent = |dir: &&Path| {
        let found = std::fs::symlink_metadata(dir);
        found.is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
    };
    let missing: Vec<_> = dir.ancestors().take_while(absent).map(Path::to_owned).collect();
    if !missing.is_empty() {
        std::fs::create_dir_all(dir).map_err(|e| AppError::io(dir, "make the mount folder", &e))?;
    }
    Ok(missing)
}

/// What a mount would hide is seldom meant to be hidden. A folder that cannot be listed is told of by mounting.
fn refuse_files(dir: &Path) -> AppResult<()> {
    match std::fs::read_dir(dir).ok().and_then(|mut entries| entries.next()) {
        Some(Ok(entry)) => Err(AppError::new(
            ErrorKind::Busy,
            format!("mount folder {}", dir.display()),
            format!("is not empty: a mount would hide {:?}", entry.file_name()),
            "Choose an empty or a new folder, or move its files away.",
        )),
        _ => Ok(()),
    }
}

fn check_dir(dir: &Path) -> AppResult<()> {
    if dir.is_absolute() {
        return Ok(());
    }
    Err(AppError::invalid(
        format!("mount folder {}", dir.display()),
        "is not an absolute path",
        "Write the path from the root on.",
    ))
}

fn shut_down(volume: &Volume, dir: &Path) -> AppError {
    let name = &volume.meta.name;
    AppError::new(
        ErrorKind::Unavailable,
        format!("filesystem {name}"),
        FsError::ShutDown.to_string(),
        format!("Mount it again: `tintype fs mount {name} {}`.", dir.display()),
    )
}

fn already(volume: &Volume, dir: &Path) -> AppError {
    AppError::new(
        ErrorKind::Busy,
        format!("filesystem {}", volume.meta.name),
        format!("is mounted at {} already", dir.display()),
        format!("Unmount it there first: `tintype fs unmount {}`.", volume.meta.name),
    )
}
