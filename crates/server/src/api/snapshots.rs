//! `/snapshots`, `/{kind}/{volume}/snapshots/{name}`, `/diff` and `/space`.

use tintype_app::AppResult;
use tintype_app::types::{
    CloneRequest, RestoreRequest, SnapshotCreate, SnapshotSet, SnapshotUpdate,
};
use tintype_model::{SnapshotFilter, Tags};

use super::asked::Asked;
use super::operation::{Value, named};
use super::resource::Resource;

pub fn resource() -> Resource {
    let resource = Resource::new("snapshots", "Named moments of volumes")
        .list(
            "/snapshots",
            named("list_snapshots", "Snapshots, oldest first")
                .query("filesystem", Value::Text, "only of this volume")
                .many("tag", Value::Text, "only with all tags of one of these lists")
                .query("label", Value::Text, "only with exactly this label")
                .query("after", Value::Time, "only those cut then or later")
                .query("before", Value::Time, "only those cut before"),
            |call| {
                let volume = call.asked.parsed("filesystem")?;
                call.app.snapshot_list(volume.as_ref(), &filter(call.asked)?)
            },
        )
        .post(
            "/snapshots",
            named("create_snapshot", "Take a snapshot").once().long(),
            |call, mut wish: SnapshotCreate| {
                // Nobody takes snapshots in the name of somebody else.
                if let Some(name) = call.caller()?.signature() {
                    wish.user = Some(name);
                }
                call.app.snapshot_create(&wish)
            },
        )
        .post(
            "/snapshots/delete",
            named("delete_snapshots", "Delete snapshots: all of them or none").long(),
            |call, set: SnapshotSet| call.app.snapshot_delete(&set.snapshots),
        )
        .get(
            "/diff",
            named("diff", "What differs between two moments")
                .must("from", Value::Text, "the first moment")
                .must("to", Value::Text, "the second")
                .query("ranges", Value::Flag, "also which ranges of files"),
            |call| {
                let (from, to) = (call.asked.moment("from")?, call.asked.moment("to")?);
                call.app.diff(&from, &to, call.asked.flag("ranges"))
            },
        )
        .post(
            "/space",
            named("space", "What deleting exactly these snapshots would free"),
            |call, set: SnapshotSet| call.app.space(&set.snapshots),
        );
    // A snapshot is reached by the kind of its volume, or without knowing it.
    [("volumes", ""), ("filesystems", "filesystem_"), ("disks", "disk_")]
        .iter()
        .fold(resource, |resource, (kind, prefix)| one(resource, kind, prefix))
}

fn one(resource: Resource, kind: &str, prefix: &str) -> Resource {
    let path = format!("/{kind}/{{volume}}/snapshots/{{name}}");
    let id = |verb: &str| format!("{verb}_{prefix}snapshot");
    resource
        .get(&path, named(id("show"), "One snapshot"), |call| {
            call.app.snapshot_show(&call.asked.snapshot()?)
        })
        .patch(
            &path,
            named(id("update"), "Rename a snapshot, or change what is known of it"),
            |call, update: SnapshotUpdate| {
                call.app.snapshot_update(&call.asked.snapshot()?, &update)
            },
        )
        .delete(&path, named(id("delete"), "Delete a snapshot").long(), |call| {
            call.app.snapshot_delete(&[call.asked.snapshot()?])
        })
        .post(
            &format!("{path}/restore"),
            named(id("restore"), "Bring the volume back to this moment").long(),
            |call, request: RestoreRequest| {
                call.app.snapshot_restore(&call.asked.snapshot()?, request.keep.as_ref())
            },
        )
        .post(
            &format!("{path}/clone"),
            named(id("clone"), "Make a volume that starts from this moment").once().long(),
            |call, request: CloneRequest| {
                call.may_mount(request.mount.as_ref())?;
                call.app.snapshot_clone(&call.asked.snapshot()?, &request)
            },
        )
}

fn filter(asked: &Asked) -> AppResult<SnapshotFilter> {
    let tags: Result<Vec<Tags>, _> = asked.all("tag").map(str::parse).collect();
    Ok(SnapshotFilter {
        tags: tags?,
        label: asked.text("label").map(str::to_owned),
        after: asked.parsed("after")?,
        before: asked.parsed("before")?,
    })
}
