//! `/filesystems`: trees of files, and where they are mounted.

use tintype_app::types::{FsCreate, FsUpdate, MountRequest};

use super::operation::{Value, named};
use super::resource::Resource;

pub fn resource() -> Resource {
    Resource::new("filesystems", "Trees of files, mounted through FUSE")
        .list("/filesystems", named("list_filesystems", "All filesystems, by name"), |call| {
            call.app.fs_list()
        })
        .post(
            "/filesystems",
            named("create_filesystem", "Make a filesystem").once(),
            |call, wish: FsCreate| call.app.fs_create(&wish),
        )
        .get("/filesystems/{name}", named("show_filesystem", "One filesystem"), |call| {
            call.app.fs_show(&call.asked.volume()?)
        })
        .patch(
            "/filesystems/{name}",
            named("update_filesystem", "Rename a filesystem, or change its limits"),
            |call, update: FsUpdate| call.app.fs_update(&call.asked.volume()?, &update),
        )
        .delete(
            "/filesystems/{name}",
            named("delete_filesystem", "Delete a filesystem; snapshots forbid it without force")
                .long()
                .query("force", Value::Flag, "also with its snapshots, and while programs use it"),
            |call| call.app.fs_delete(&call.asked.volume()?, call.asked.flag("force")),
        )
        .put(
            "/filesystems/{name}/mount",
            named("mount_filesystem", "Mount it now and at every start"),
            |call, request: MountRequest| call.app.fs_mount(&call.asked.volume()?, &request.dir),
        )
        .delete(
            "/filesystems/{name}/mount",
            named("unmount_filesystem", "Unmount it, and do not mount it again").query(
                "force",
                Value::Flag,
                "also while programs use it",
            ),
            |call| call.app.fs_unmount(&call.asked.volume()?, call.asked.flag("force")),
        )
}
