//! What a configuration file may say: the one list, from which files are read and the reference is made.

/// What stands behind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A path; a relative one counts from the folder of the file.
    Path,
    /// `true` or `false`.
    Flag,
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// With its table: `listen.address`.
    pub name: &'static str,
    /// The option of `tintype up` that says the same.
    pub option: &'static str,
    /// What stands behind it.
    pub kind: Kind,
    /// As it is written in TOML.
    pub example: &'static str,
    /// What it means.
    pub text: &'static str,
}

const fn key(
    name: &'static str,
    option: &'static str,
    kind: Kind,
    example: &'static str,
    text: &'static str,
) -> Key {
    Key { name, option, kind, example, text }
}

/// All of them, in the order of the reference.
pub const KEYS: &[Key] = &[
    key(
        "store",
        "--store",
        Kind::Path,
        "\"/var/lib/tintype/store\"",
        "folder of the store; made when it is not there",
    ),
    key(
        "socket",
        "--socket",
        Kind::Path,
        "\"/run/tintype/socket\"",
        "the server's socket; clients are told with `--socket` or `TINTYPE_SOCKET`",
    ),
    key(
        "transport",
        "--transport",
        Kind::Text,
        "\"auto\"",
        "how the kernel reaches the server: `auto`, `dev` or `uring`",
    ),
    key(
        "snapshot_limits",
        "--snapshot-limits",
        Kind::Text,
        "\"24576,28672\"",
        "at most so many snapshots, and so many with writable ones counting twice; or `off`. Kept in the store",
    ),
    key(
        "listen.address",
        "--listen",
        Kind::Text,
        "\"0.0.0.0:8400\"",
        "also answer the API on this address",
    ),
    key(
        "listen.tls_cert",
        "--tls-cert",
        Kind::Path,
        "\"/etc/tintype/cert.pem\"",
        "encrypt with this certificate",
    ),
    key(
        "listen.tls_key",
        "--tls-key",
        Kind::Path,
        "\"/etc/tintype/key.pem\"",
        "the private key of that certificate",
    ),
    key(
        "listen.tls_self_signed",
        "--tls-self-signed",
        Kind::Flag,
        "true",
        "encrypt with a certificate of the server's own making",
    ),
    key(
        "listen.insecure",
        "--insecure-listen",
        Kind::Flag,
        "false",
        "listen anywhere without TLS: something in front encrypts",
    ),
    key(
        "disks.address",
        "--listen-disks",
        Kind::Text,
        "\"127.0.0.1:10809\"",
        "also serve disks to NBD clients on this address",
    ),
    key(
        "disks.tls_cert",
        "--nbd-cert",
        Kind::Path,
        "\"/etc/tintype/nbd-cert.pem\"",
        "encrypt with this certificate",
    ),
    key(
        "disks.tls_key",
        "--nbd-key",
        Kind::Path,
        "\"/etc/tintype/nbd-key.pem\"",
        "the private key of that certificate",
    ),
    key(
        "disks.client_ca",
        "--nbd-client-ca",
        Kind::Path,
        "\"/etc/tintype/nbd-ca.pem\"",
        "let in only clients whose certificates this authority has signed",
    ),
    key(
        "log.filter",
        "--log",
        Kind::Text,
        "\"warn,access=info\"",
        "what is logged: a level, or `TARGET=LEVEL` with commas between them; `access` is a line per request",
    ),
    key(
        "log.format",
        "--log-format",
        Kind::Text,
        "\"json\"",
        "`text` or `json`: one object a line",
    ),
];
