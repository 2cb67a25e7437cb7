//! `tintype demo`: the main job on a temporary store, with real files through a real mount.
//!
//! Everything lies in one temporary folder and is gone at the end, also after an error or Ctrl-C.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tintype_app::types::{CloneRequest, FsCreate, SnapshotCreate};
use tintype_app::{App, AppOptions};
use tintype_model::{ByteSize, MomentName, SnapshotFilter, SnapshotName, SnapshotRef, VolumeName};
use tintype_server::{FuseMounter, TransportChoice};

use super::snapshot::diff_line;
use crate::error::{CliError, CliResult};
use crate::options::Global;
use crate::{output, paths};

/// Plays all steps.
pub fn run(global: &Global) -> CliResult<()> {
    let stage = Stage::set(global.json)?;
    let played = stage.play();
    let ended = stage.clear();
    let steps = played?;
    ended?;
    if global.json {
        return output::json(&serde_json::json!({"ok": true, "steps": steps}));
    }
    output::print(b"\nThat was it; the temporary store is gone. Now for real: tintype up\n")
}

/// The temporary store and where it is mounted.
struct Stage {
    folder: PathBuf,
    app: Arc<App>,
    json: bool,
    stopped: Arc<AtomicBool>,
}

impl Stage {
    fn set(json: bool) -> CliResult<Self> {
        let folder = std::env::temp_dir().join(format!("tintype-demo-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|e| broken(&folder, &e))?;
        let options = AppOptions {
            store: folder.join("store"),
            create: true,
            snapshot_limits: None,
            user: paths::user_name(),
        };
        let mounter = Arc::new(FuseMounter::new(TransportChoice::Auto));
        let opened = App::open(options, mounter);
        let app = opened.inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        Ok(Self { folder, app, json, stopped: watch_interrupt() })
    }

    fn clear(self) -> CliResult<()> {
        // Only a closed store and an empty mount point may be removed.
        self.app.close()?;
        fs::remove_dir_all(&self.folder).map_err(|e| broken(&self.folder, &e))
    }

    fn play(&self) -> CliResult<Vec<String>> {
        let mut steps = Vec::new();
        let mut step = |title: &str, act: &dyn Fn() -> CliResult<()>| {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(CliError::failure("demo: interrupted", "Everything is cleaned up."));
            }
            steps.push(title.to_owned());
            self.say(&format!("\n== {title}"))?;
            act()
        };
        step("Make a filesystem and write into it", &|| self.write())?;
        step("Keep this moment", &|| self.snapshot())?;
        step("Go on: change, add and delete files", &|| self.change())?;
        step("Look into the past, in .snapshots", &|| self.look())?;
        step("What differs?", &|| self.diff())?;
        step("A second, independent filesystem from that moment", &|| self.clone_it())?;
        step("Go back, keeping what is there now", &|| self.restore())?;
        step("What would deleting the snapshots free?", &|| self.space())?;
        Ok(steps)
    }

    fn say(&self, text: &str) -> CliResult<()> {
        if self.json { Ok(()) } else { output::line(text) }
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    fn put(&self, name: &str, text: &str) -> CliResult<()> {
        let path = self.home().join(name);
        self.say(&format!("$ echo {text:?} > home/{name}"))?;
        fs::write(&path, format!("{text}\n")).map_err(|e| broken(&path, &e))
    }

    fn show(&self, name: &str) -> CliResult<()> {
        let path = self.home().join(name);
        let text = fs::read_to_string(&path).map_err(|e| broken(&path, &e))?;
        self.say(&format!("$ cat home/{name}\n{}", text.trim_end()))
    }

    fn write(&self) -> CliResult<()> {
        self.say("$ tintype fs create home --mount home")?;
        self.app.fs_create(&FsCreate {
            name: VolumeName::new("home")?,
            quota: None,
            capacity: None,
            compression: tintype_model::Compression::default(),
            mount: Some(self.home()),
        })?;
        self.put("letter.txt", "Dear friend, this is my first draft.")?;
        self.put("recipe.txt", "flour, water, salt")?;
        self.put("old.txt", "something to be deleted")
    }

    fn snapshot(&self) -> CliResult<()> {
        self.say("$ tintype snapshot create home@draft")?;
        let info = self.app.snapshot_create(&SnapshotCreate::plain(draft()?))?;
        self.say(&format!("created home@draft, to be seen in .snapshots/{}", info.access_point))
    }

    fn change(&self) -> CliResult<()> {
        self.put("letter.txt", "Dear friend, this is a much better letter.")?;
        self.put("new.txt", "a new thought")?;
        self.say("$ rm home/old.txt\n$ mv home/recipe.txt home/bread.txt")?;
        let home = self.home();
        fs::remove_file(home.join("old.txt")).map_err(|e| broken(&home, &e))?;
        fs::rename(home.join("recipe.txt"), home.join("bread.txt")).map_err(|e| broken(&home, &e))
    }

    fn look(&self) -> CliResult<()> {
        let point = self.app.snapshot_show(&draft()?)?.access_point;
        let past = format!(".snapshots/{point}");
        self.say(&format!("$ ls home/{past}\n{}", names(&self.home().join(&past))?.join("  ")))?;
        self.show(&format!("{past}/letter.txt"))?;
        self.show("letter.txt")
    }

    fn diff(&self) -> CliResult<()> {
        self.say("$ tintype snapshot diff home@draft home")?;
        let live = MomentName::Live(VolumeName::new("home")?);
        let diff = self.app.diff(&MomentName::Snapshot(draft()?), &live, false)?;
        let lines: String = diff.entries.iter().map(diff_line).collect();
        self.say(lines.trim_end())
    }

    fn clone_it(&self) -> CliResult<()> {
        self.say("$ tintype snapshot clone home@draft copy --mount copy")?;
        let copy = self.folder.join("copy");
        let request = CloneRequest { name: VolumeName::new("copy")?, mount: Some(copy.clone()) };
        self.app.snapshot_clone(&draft()?, &request)?;
        self.say(&format!("$ ls copy\n{}", names(&copy)?.join("  ")))
    }

    fn restore(&self) -> CliResult<()> {
        self.say("$ tintype snapshot restore home@draft --keep better")?;
        self.app.snapshot_restore(&draft()?, Some(&SnapshotName::new("better")?))?;
        self.say(&format!("$ ls home\n{}", names(&self.home())?.join("  ")))?;
        self.show("letter.txt")
    }

    fn space(&self) -> CliResult<()> {
        let list = self.app.snapshot_list(None, &SnapshotFilter::default())?;
        let all: Vec<SnapshotRef> = list
            .iter()
            .map(|info| SnapshotRef { volume: info.volume.clone(), snapshot: info.name.clone() })
            .collect();
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        self.say(&format!("$ tintype snapshot space {}", names.join(" ")))?;
        let space = self.app.space(&all)?;
        self.say(&format!("deleting these frees {}", ByteSize(space.bytes)))
    }
}

fn draft() -> CliResult<SnapshotRef> {
    Ok("home@draft".parse::<SnapshotRef>()?)
}

fn names(dir: &Path) -> CliResult<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| broken(dir, &e))? {
        let entry = entry.map_err(|e| broken(dir, &e))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Ctrl-C ends the demo between two steps, so that no mount stays behind.
fn watch_interrupt() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stopped);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime
            && runtime.block_on(tokio::signal::ctrl_c()).is_ok()
        {
            seen.store(true, Ordering::Relaxed);
        }
    });
    stopped
}

fn broken(path: &Path, error: &std::io::Error) -> CliError {
    CliError::failure(
        format!("demo: {}: {error}", path.display()),
        "Check that the temporary folder (TMPDIR) can be written to.",
    )
}
