//! The shared fixtures, with the program under test.

use std::ops::{Deref, DerefMut};
use std::path::Path;

pub use tintype_testkit::world::{fuse, transports};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tintype");

/// A folder, perhaps with a running server.
pub struct World(tintype_testkit::World);

impl World {
    /// A folder and no server.
    pub fn empty() -> Self {
        Self(tintype_testkit::World::empty(PROGRAM))
    }

    /// With a server.
    pub fn up() -> Self {
        Self(tintype_testkit::World::up(PROGRAM))
    }

    /// With a server that uses this transport.
    pub fn over(transport: &'static str) -> Self {
        Self(tintype_testkit::World::over(PROGRAM, transport))
    }

    /// With a server over this transport and a filesystem `home`, mounted at `home`.
    pub fn home(transport: &'static str) -> Self {
        let world = Self::over(transport);
        world.ok("fs create home --mount home");
        world
    }
}

impl Deref for World {
    type Target = tintype_testkit::World;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// Is anything mounted below this folder?
pub fn mounted_below(dir: &Path) -> bool {
    !tintype_testkit::world::mounts_below(dir).is_empty()
}
