//! Who may do what: the one table, by the names of operations.
//!
//! An operation that is not in the table is for administrators, and a test fails. docs/api.md shows the same; another test compares.

use tintype_app::types::Role;

/// Who may ask for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, also without a token.
    Open,
    /// Whoever has this role, or one that includes it.
    Needs(Role),
}

const OPEN: &[&str] = &["login", "refresh"];

const READER: &[&str] = &[
    "change_password",
    "create_token",
    "delete_task",
    "delete_token",
    "cancel_task",
    "diff",
    "follow_events",
    "forecast_policy",
    "list_disk_changes",
    "list_disks",
    "list_filesystems",
    "list_policies",
    "list_quotas",
    "list_snapshots",
    "list_tasks",
    "list_tokens",
    "logout",
    "show_disk",
    "show_disk_snapshot",
    "show_filesystem",
    "show_filesystem_snapshot",
    "show_policy",
    "show_quota",
    "show_snapshot",
    "show_store",
    "show_task",
    "space",
    "status",
    "verify_disk",
    "whoami",
];

const OPERATOR: &[&str] = &[
    "attach_policy",
    "clone_disk_snapshot",
    "clone_filesystem_snapshot",
    "clone_snapshot",
    "create_disk",
    "create_filesystem",
    "create_policy",
    "create_snapshot",
    "delete_disk",
    "delete_disk_snapshot",
    "delete_filesystem",
    "delete_filesystem_snapshot",
    "delete_policy",
    "delete_snapshot",
    "delete_snapshots",
    "detach_policy",
    "export_disk",
    "import_disk",
    "restore_disk_snapshot",
    "restore_filesystem_snapshot",
    "restore_snapshot",
    "run_policy",
    "scrub",
    "sync",
    "update_disk",
    "update_disk_snapshot",
    "update_filesystem",
    "update_filesystem_snapshot",
    "update_policy",
    "update_snapshot",
];

/// A mount can hide any folder of the server's machine, so where one goes is an administrator's choice; so is how much others may
/// take: whoever is limited does not lift the limit.
const ADMIN: &[&str] = &[
    "create_user",
    "delete_user",
    "fsck",
    "list_users",
    "mount_filesystem",
    "set_quota",
    "show_support",
    "show_user",
    "shutdown",
    "unmount_filesystem",
    "unset_quota",
    "update_store",
    "update_user",
];

const TABLE: [(Access, &[&str]); 4] = [
    (Access::Open, OPEN),
    (Access::Needs(Role::Reader), READER),
    (Access::Needs(Role::Operator), OPERATOR),
    (Access::Needs(Role::Admin), ADMIN),
];

/// Who may ask for this operation.
pub fn access(id: &str) -> Access {
    let found = TABLE.iter().find(|(_, ids)| ids.contains(&id));
    found.map_or(Access::Needs(Role::Admin), |(access, _)| *access)
}

impl Access {
    /// In one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "everybody",
            Self::Needs(role) => role.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::resources;

    #[test]
    fn every_operation_is_in_the_table_once_and_the_manuals_show_it() {
        let manual = include_str!("../../../../docs/api.md");
        let coverage = include_str!("../../../../docs/api-coverage.md");
        let listed: Vec<&str> = TABLE.iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
        let unique: BTreeSet<&str> = listed.iter().copied().collect();
        assert_eq!(unique.len(), listed.len(), "an operation stands twice");
        let resources = resources();
        let operations = || resources.iter().flat_map(|resource| &resource.operations);
        let served: BTreeSet<&str> = operations().map(|operation| operation.id.as_str()).collect();
        assert_eq!(unique, served);
        for operation in operations() {
            let row = format!(
                "| `{}` | {} `{}` | {} |",
                operation.id,
                operation.method,
                operation.path,
                access(&operation.id).word()
            );
            assert!(manual.contains(&row), "docs/api.md lacks: {row}");
            let row = format!("| `{}` | `", operation.id);
            assert!(coverage.contains(&row), "docs/api-coverage.md lacks: {row}");
        }
    }
}
