//! `/disks`: block devices; `/changes` and `/verify`.

use tintype_app::types::{DiskCreate, DiskUpdate, VerifyRequest};

use super::images;
use super::operation::{Value, named};
use super::resource::Resource;

/// The unit of ranges when nobody asks for one.
const GRANULARITY: u64 = 4096;

pub fn resource() -> Resource {
    let resource = Resource::new("disks", "Block devices, served over NBD")
        .list("/disks", named("list_disks", "All disks, by name"), |call| call.app.disk_list())
        .post("/disks", named("create_disk", "Make a disk").once(), |call, wish: DiskCreate| {
            call.app.disk_create(&wish)
        })
        .get("/disks/{name}", named("show_disk", "One disk"), |call| {
            call.app.disk_show(&call.asked.volume()?)
        })
        .patch(
            "/disks/{name}",
            named("update_disk", "Rename or resize a disk, or change its limits"),
            |call, update: DiskUpdate| call.app.disk_update(&call.asked.volume()?, &update),
        )
        .delete(
            "/disks/{name}",
            named("delete_disk", "Delete a disk; snapshots forbid it without force").long().query(
                "force",
                Value::Flag,
                "also with its snapshots, and while clients use it",
            ),
            |call| call.app.disk_delete(&call.asked.volume()?, call.asked.flag("force")),
        )
        .get(
            "/changes",
            named("list_disk_changes", "What differs between two moments of a disk")
                .must("from", Value::Text, "the first moment")
                .must("to", Value::Text, "the second")
                .query(
                    "granularity",
                    Value::Number,
                    "unit of ranges: a power of two from 4096 to 1073741824",
                ),
            |call| {
                let unit = call.asked.parsed("granularity")?.unwrap_or(GRANULARITY);
                call.app.disk_changes(&call.asked.moment("from")?, &call.asked.moment("to")?, unit)
            },
        )
        .post(
            "/verify",
            named("verify_disk", "Read a moment of a disk and check all checksums").long(),
            |call, request: VerifyRequest| call.app.disk_verify(&request.moment),
        );
    images::add(resource)
}
