//! What is measured: a plain folder, the real program, the floor, or folders that others mounted.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use crate::options::{Cold, Options};
use crate::server::Server;
use crate::usage;

/// A folder to work in, and the way to make it cold.
pub(crate) struct Subject {
    pub dir: PathBuf,
    cold: Cold,
    server: Option<Server>,
    floor: Option<Child>,
}

/// Names of all subjects that were asked for.
pub(crate) fn names(options: &Options) -> Vec<String> {
    let own = ["ext4", "tintype", "tintype-dev", "floor", "floor-dev"].map(str::to_owned);
    let others = options.dirs.iter().map(|(name, _)| name.clone());
    let all = own.into_iter().chain(others);
    let on = options.on.clone();
    all.filter(|name| on.as_ref().is_none_or(|on| on.contains(name))).collect()
}

impl Subject {
    /// Sets one up, empty.
    pub(crate) fn start(options: &Options, name: &str) -> Result<Self, String> {
        let home = options.base.join(name);
        let mut subject =
            Self { dir: home.join("mnt"), cold: options.cold, server: None, floor: None };
        match name {
            "tintype" => subject.serve(options, &home, "auto")?,
            "tintype-dev" => subject.serve(options, &home, "dev")?,
            "floor" => subject.floor("auto")?,
            "floor-dev" => subject.floor("dev")?,
            _ => match options.dirs.iter().find(|(known, _)| known == name) {
                Some((_, dir)) => subject.dir = dir.join("tintype-bench"),
                None => subject.dir = home,
            },
        }
        std::fs::create_dir_all(&subject.dir).map_err(|e| e.to_string())?;
        Ok(subject)
    }

    fn serve(&mut self, options: &Options, home: &Path, way: &'static str) -> Result<(), String> {
        let mut server = Server::start(options, home, way)?;
        self.dir = server.mount()?;
        eprintln!("{}: over {}", home.display(), server.transport()?);
        self.server = Some(server);
        Ok(())
    }

    fn floor(&mut self, transport: &str) -> Result<(), String> {
        std::fs::create_dir_all(&self.dir).map_err(|e| e.to_string())?;
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let device = |dir: &Path| {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(dir).map_or(0, |meta| meta.dev())
        };
        let before = device(&self.dir);
        let child = Command::new(program)
            .args(["floor", "--transport", transport, "--mount"])
            .arg(&self.dir)
            .spawn()
            .map_err(|e| e.to_string())?;
        self.floor = Some(child);
        for _ in 0..200 {
            if device(&self.dir) != before {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Err("the floor does not come up".to_owned())
    }

    /// Nothing of it is in a cache afterwards (the floor lives in memory, all the same).
    pub(crate) fn cold(&mut self) -> Result<(), String> {
        match (&mut self.server, self.cold) {
            (Some(server), Cold::Restart) => server.restart(),
            _ => usage::drop_caches(),
        }
    }

    /// Ends it and removes what it left.
    pub(crate) fn stop(mut self, options: &Options, name: &str) -> Result<(), String> {
        if self.server.is_none() && self.floor.is_none() {
            drop(std::fs::remove_dir_all(&self.dir));
        }
        self.end()?;
        if options.dirs.iter().all(|(known, _)| known != name) {
            drop(std::fs::remove_dir_all(options.base.join(name)));
        }
        usage::sync();
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        if let Some(mut server) = self.server.take() {
            server.stop()?;
        }
        if let Some(mut floor) = self.floor.take() {
            usage::terminate(floor.id())?;
            floor.wait().map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        drop(self.end());
    }
}
