//! `/filesystems/{name}/quotas`: the quotas of directories. One of them is named by its path in the query, `?path=/a/b`.

use tintype_app::types::{QuotaInfo, QuotaSet};

use super::asked::Asked;
use super::operation::{Spec, Value, named};
use super::pages::Listed;
use super::resource::Resource;

impl Listed for QuotaInfo {
    const NAMED: bool = false;

    /// By the bytes of the path: names that are no UTF-8 look alike as text.
    fn key(&self) -> String {
        let plain = || self.path.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.path_hex.clone().unwrap_or_else(plain)
    }
}

pub fn resource() -> Resource {
    Resource::new("quotas", "How much directories may hold")
        .list(
            "/filesystems/{name}/quotas",
            named("list_quotas", "The quotas of a filesystem, by path").query(
                "snapshot",
                Value::Text,
                "as they were in this snapshot",
            ),
            |call| call.app.quota_list(&call.asked.volume()?, call.asked.text("snapshot")),
        )
        .get("/filesystems/{name}/quota", one("show_quota", "The quota of a directory"), |call| {
            call.app.quota_show(&call.asked.volume()?, directory(call.asked))
        })
        .put(
            "/filesystems/{name}/quota",
            one("set_quota", "Give a directory a quota, or change it"),
            |call, wish: QuotaSet| {
                call.app.quota_set(&call.asked.volume()?, directory(call.asked), &wish)
            },
        )
        .delete(
            "/filesystems/{name}/quota",
            one("unset_quota", "Take the quota of a directory away"),
            |call| call.app.quota_unset(&call.asked.volume()?, directory(call.asked)),
        )
}

fn one(id: &str, summary: &'static str) -> Spec {
    named(id, summary).must("path", Value::Text, "the directory: /a/b, or / for all")
}

/// The directory that the query names, which an operation upon one must.
fn directory(asked: &Asked) -> &str {
    asked.text("path").unwrap_or_default()
}
