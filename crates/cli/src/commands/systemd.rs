//! `tintype systemd-unit`: prints a unit with which systemd runs the server.

use crate::error::{CliError, CliResult};
use crate::output;

/// Prints it, with the path of this program.
pub fn run() -> CliResult<()> {
    let program = std::env::current_exe().map_err(|error| {
        CliError::failure(
            format!("this program: its path is not known: {error}"),
            "Write the unit by hand, as docs/operations.md shows it.",
        )
    })?;
    output::print(unit(&program.display().to_string()).as_bytes())
}

/// Mounts have to be seen by others, so no option that gives the service a view of its own of the filesystem is in it.
fn unit(program: &str) -> String {
    format!(
        "[Unit]
Description=Tintype: filesystems and disks with every moment
Documentation=man:tintype(1)
After=network-online.target local-fs.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart=\"{program}\" up --config /etc/tintype/config.toml
Restart=on-failure
RestartSec=2
# Flushing, unmounting and closing; what is cut off here is repaired at the next start.
TimeoutStopSec=150
KillMode=mixed
RuntimeDirectory=tintype
RuntimeDirectoryMode=0700
StateDirectory=tintype
StateDirectoryMode=0700
UMask=0077
LimitNOFILE=1048576
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"
    )
}
