//! Stores of objects, WebDAV servers and machines behind SSH: the contract of places, restic on the same place, and what goes wrong there.
//!
//! Each needs a server of others on this machine: moto_server (S3, and B2 by its S3 interface), azurite-blob, fake-gcs-server, rclone (WebDAV), OpenSSH's.

#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod contract;
mod programs;
mod sharing;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use programs::Running;
use tintype_repo::{
    Access, Backend, BackendError, FileKind, Id, Patience, PlaceOptions, Secret, open_location,
};

/// With variables and options, and without retries.
fn access(variables: &[(&str, &str)], options: &[&str]) -> Access {
    let secret = |(name, value): &(&str, &str)| ((*name).to_owned(), Secret::new(*value));
    Access {
        environment: variables.iter().map(secret).collect::<BTreeMap<_, _>>(),
        options: PlaceOptions::parse(options.iter().copied()).unwrap(),
        patience: Patience::NONE,
        ..Access::default()
    }
}

fn open(place: &str, access: &Access) -> Arc<dyn Backend> {
    open_location(&place.parse().unwrap(), access).unwrap()
}

/// The whole contract, each promise in a place of its own. With retries, as places are used: some of these servers answer threads that write the
/// same file at once with failures that pass.
fn fulfils_the_contract(place: impl Fn(&str) -> String, access: &Access) {
    fulfils_the_contract_but(&[], place, access);
}

fn fulfils_the_contract_but(left_out: &[&str], place: impl Fn(&str) -> String, access: &Access) {
    let patience =
        Patience { total: Duration::from_secs(60), before_first_answer: Duration::from_secs(10) };
    let access = &Access { patience, ..access.clone() };
    for (name, check) in contract::ALL.iter().filter(|(name, _)| !left_out.contains(name)) {
        eprintln!("{name}");
        check(&open(&place(name), access));
    }
}

/// What is said of places where nobody answers, and that it may pass.
fn nobody_is_there(place: &str, access: &Access) {
    let e = open(place, access).list(FileKind::Key).unwrap_err();
    assert!(matches!(e, BackendError::Io { .. }) && !e.is_permanent(), "{e:?}");
    assert!(e.to_string().contains("list folder keys"), "{e}");
}

// S3

const AWS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "secret-of-s3")];

/// A server with a bucket.
fn s3() -> Option<(Running, String)> {
    let mut command = Command::new(programs::find("moto_server")?);
    let port = programs::free_port().to_string();
    let (running, url) = programs::serve(command.args(["-H", "127.0.0.1", "-p", &port]));
    ureq::put(format!("{url}/bucket")).send_empty().unwrap();
    Some((running, format!("s3:{url}/bucket")))
}

#[test]
fn s3_fulfils_the_contract() {
    let Some((_running, place)) = s3() else { return };
    fulfils_the_contract(|name| format!("{place}/some/{name}"), &access(&AWS, &[]));
    // Without a prefix, with the older listing, in pages.
    let access = access(&AWS, &["s3.list-objects-v1=true", "s3.bucket-lookup=path"]);
    let patient = Access { patience: Patience::default(), ..access.clone() };
    let backend = open(&place, &patient);
    assert_eq!(backend.list(FileKind::Pack).unwrap(), []);
    std::thread::scope(|scope| {
        for part in 0..4u32 {
            let backend = &backend;
            scope.spawn(move || {
                for i in (part..1100).step_by(4) {
                    let data = i.to_be_bytes();
                    backend.write(FileKind::Pack, Id::of(&data), &data).unwrap();
                }
            });
        }
    });
    for access in [access.clone(), self::access(&AWS, &[])] {
        let found = open(&place, &access).list(FileKind::Pack).unwrap();
        assert_eq!(found.len(), 1100, "in two pages");
        assert!(found.iter().all(|(_, len)| *len == 4));
    }
}

#[test]
fn restic_reads_s3() {
    let Some((_running, place)) = s3() else { return };
    let place = format!("{place}/with/restic");
    sharing::with_restic_in(&place, &access(&AWS, &[]), &[], &AWS);
}

#[test]
fn what_s3_refuses_is_said() {
    let nobody = format!("s3:http://127.0.0.1:{}/bucket", programs::free_port());
    nobody_is_there(&nobody, &access(&AWS, &[]));
    let e = open(&nobody, &access(&AWS, &["s3.bucket-lookup=x"])).create().unwrap_err();
    assert!(e.is_permanent() && e.to_string().contains("s3.bucket-lookup"), "{e}");
    let Some((_running, place)) = s3() else { return };
    let backend = open(&place.replace("/bucket", "/no-such-bucket"), &access(&AWS, &[]));
    let e = backend.write(FileKind::Key, Id::of(b"x"), b"x").unwrap_err();
    assert!(e.is_permanent(), "{e:?}");
    assert!(e.to_string().contains("no-such-bucket"), "{e}");
    for text in [format!("{e:?}"), format!("{backend:p}"), e.to_string()] {
        assert!(!text.contains("secret-of-s3"));
    }
    assert!(!format!("{:?}", access(&AWS, &[])).contains("secret-of-s3"));
}

// B2, by its S3 interface.

#[test]
fn b2_fulfils_the_contract() {
    let Some((_running, place)) = s3() else { return };
    let endpoint = place.strip_prefix("s3:").unwrap().strip_suffix("/bucket").unwrap();
    let option = format!("b2.endpoint={endpoint}");
    let b2 = access(&[("B2_ACCOUNT_ID", "id"), ("B2_ACCOUNT_KEY", "key")], &[&option]);
    fulfils_the_contract(|name| format!("b2:bucket:b2/{name}"), &b2);
    let e = open("b2:bucket:p", &access(&[], &[])).create().unwrap_err();
    assert!(e.is_permanent() && e.to_string().contains("B2_ACCOUNT_ID is not set"), "{e}");
}

// WebDAV

/// A server for a folder.
fn webdav(folder: &Path) -> Option<(Running, String)> {
    let mut command = Command::new(programs::find("rclone")?);
    command.args(["serve", "webdav", "--addr", "127.0.0.1:0", "--config", "/dev/null", "-v"]);
    // Else what is removed shows for a while.
    command.args(["--dir-cache-time", "0", "--user", "me", "--pass", "p:w"]);
    let (running, url) = programs::serve(command.arg(folder));
    Some((running, url.replacen("http://", "webdav:http://", 1)))
}

#[test]
fn webdav_fulfils_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_running, place)) = webdav(folder.path()) else { return };
    let with_login = place.replacen("http://", "http://me:p%3Aw@", 1);
    // Replacing a file is removing and renaming in this server, so that threads miss a file that others write again at that moment.
    let place = |name: &str| format!("{with_login}/not%20yet/{name}/");
    fulfils_the_contract_but(&["many_threads"], place, &access(&[], &[]));
    let left: Vec<_> = walk(folder.path()).into_iter().filter(|p| p.contains("-tmp-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn restic_reads_the_folder_behind_webdav() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_running, place)) = webdav(folder.path()) else { return };
    let access = access(&[("WEBDAV_USERNAME", "me"), ("WEBDAV_PASSWORD", "p:w")], &[]);
    let for_restic = folder.path().join("repo");
    let for_restic = for_restic.to_str().unwrap();
    sharing::with_restic_at(&format!("{place}/repo"), &access, for_restic, &[], &[]);
}

#[test]
fn what_webdav_refuses_is_said() {
    let nobody = format!("webdav:http://127.0.0.1:{}/x", programs::free_port());
    nobody_is_there(&nobody, &access(&[], &[]));
    let folder = tempfile::tempdir().unwrap();
    let Some((_running, place)) = webdav(folder.path()) else { return };
    let wrong = place.replacen("http://", "http://me:wrong-one@", 1);
    let e = open(&format!("{wrong}/x"), &access(&[], &[])).list(FileKind::Key).unwrap_err();
    assert!(e.is_permanent(), "{e:?}");
    assert!(!format!("{e} {e:?}").contains("wrong-one"), "{e:?}");
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path.display().to_string());
        }
    }
    found
}

// Azure

const ACCOUNT: &str = "devstoreaccount1";
/// The one key that this server is made with; everybody knows it.
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A server with a container, and the access to it.
fn azure(folder: &Path) -> Option<(Running, Access)> {
    let mut command = Command::new(programs::find("azurite-blob")?);
    let port = programs::free_port().to_string();
    command.args(["--blobHost", "127.0.0.1", "--blobPort", &port, "--skipApiVersionCheck"]);
    let (running, url) = programs::serve(command.arg("--location").arg(folder));
    let endpoint = format!("{url}/{ACCOUNT}");
    make_container(&endpoint);
    let option = format!("azure.endpoint={endpoint}");
    let login = [("AZURE_ACCOUNT_NAME", ACCOUNT), ("AZURE_ACCOUNT_KEY", ACCOUNT_KEY)];
    Some((running, access(&login, &[&option])))
}

fn make_container(endpoint: &str) {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let now = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let signed = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{now}\nx-ms-version:2021-12-02\n/{ACCOUNT}/{ACCOUNT}/container\nrestype:container"
    );
    let key = STANDARD.decode(ACCOUNT_KEY).unwrap();
    let signature = STANDARD.encode(hmac_sha256(&key, signed.as_bytes()));
    let answer = ureq::put(format!("{endpoint}/container?restype=container"))
        .header("x-ms-date", &now)
        .header("x-ms-version", "2021-12-02")
        .header("Authorization", format!("SharedKey {ACCOUNT}:{signature}"))
        .send_empty();
    answer.unwrap();
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ with).collect()
    };
    let inner = Id::of(&[&pad(0x36), text].concat());
    Id::of(&[&pad(0x5c)[..], &inner.0].concat()).0
}

#[test]
fn azure_fulfils_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_running, access)) = azure(folder.path()) else { return };
    fulfils_the_contract(|name| format!("azure:container:/some/{name}"), &access);
}

#[test]
fn what_azure_refuses_is_said() {
    let e = open("azure:c:/", &access(&[], &[])).create().unwrap_err();
    assert!(e.is_permanent() && e.to_string().contains("AZURE_ACCOUNT_NAME is not set"), "{e}");
    let folder = tempfile::tempdir().unwrap();
    let Some((_running, good)) = azure(folder.path()) else { return };
    let mut bad = good.clone();
    let wrong = Secret::new(ACCOUNT_KEY.replacen("Eby8", "Abc8", 1));
    bad.environment.insert("AZURE_ACCOUNT_KEY".to_owned(), wrong);
    let e = open("azure:container:/x", &bad).list(FileKind::Key).unwrap_err();
    assert!(e.is_permanent(), "{e:?}");
    assert!(!format!("{e} {e:?}").contains("Abc8"), "{e:?}");
    let e = open("azure:nowhere:/x", &good).write(FileKind::Key, Id::of(b""), b"").unwrap_err();
    assert!(e.is_permanent(), "{e:?}");
}

// Google

/// A server with a bucket, and the access to it.
fn google() -> Option<(Running, Access)> {
    let mut command = Command::new(programs::find("fake-gcs-server")?);
    let port = programs::free_port();
    let url = format!("http://127.0.0.1:{port}");
    command.args(["-scheme", "http", "-host", "127.0.0.1", "-backend", "memory"]);
    command.args(["-port", &port.to_string(), "-external-url", &url, "-log-level", "error"]);
    let running = programs::start(&mut command);
    until_somebody_listens(port);
    let made = ureq::post(format!("{url}/storage/v1/b?project=test"))
        .header("Content-Type", "application/json")
        .send(r#"{"name":"bucket"}"#);
    made.unwrap();
    let option = format!("gs.endpoint={url}");
    Some((running, access(&[("GOOGLE_ACCESS_TOKEN", "token-of-google")], &[&option])))
}

#[test]
fn google_fulfils_the_contract() {
    let Some((_running, access)) = google() else { return };
    fulfils_the_contract(|name| format!("gs:bucket:/some/{name}"), &access);
}

fn until_somebody_listens(port: u16) {
    let until = Instant::now() + Duration::from_secs(60);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "nobody listens");
        std::thread::sleep(Duration::from_millis(20));
    }
}

// SFTP

/// A server without ssh, in its two forms: as it is, and as those are that know no extensions.
fn sftp_server() -> Option<String> {
    let there = "/usr/lib/openssh/sftp-server";
    if Path::new(there).exists() {
        return Some(format!("sftp.command={there}"));
    }
    tintype_testkit::programs::skipped(&format!("{there} is not installed"));
    None
}

#[test]
fn sftp_fulfils_the_contract() {
    let Some(option) = sftp_server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    let plain = access(&[], &[&option]);
    fulfils_the_contract(|name| format!("sftp:host:{root}/not/yet/{name}"), &plain);
    // A server that renames over nothing.
    let denied = format!("{option} -P posix-rename,fsync");
    let denied = access(&[], &[&denied]);
    fulfils_the_contract(|name| format!("sftp://host/{root}/second/{name}/"), &denied);
    let left: Vec<_> = walk(folder.path()).into_iter().filter(|p| p.contains("-tmp-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_broken_sftp_connection_is_made_again() {
    let Some(option) = sftp_server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = format!("sftp:host:{}", folder.path().display());
    let word = folder.path().to_str().unwrap();
    // A word that names this test's process.
    let option = format!("{option} -d {word}");
    let access = Access { patience: Patience::default(), ..access(&[], &[&option]) };
    let backend = open(&place, &access);
    backend.create().unwrap();
    let id = Id::of(b"data");
    backend.write(FileKind::Pack, id, b"data").unwrap();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let Ok(pid) = entry.unwrap().file_name().to_str().unwrap_or("").parse::<i32>() else {
            continue;
        };
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&words).contains(word) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }
    assert_eq!(backend.read(FileKind::Pack, id).unwrap(), b"data");
}

#[test]
fn what_ssh_refuses_is_said() {
    let e = open("sftp:host:x", &access(&[], &["sftp.command=/nowhere/ssh -x"])).create();
    let e = e.unwrap_err();
    assert!(e.is_permanent() && e.to_string().contains("no program `/nowhere/ssh`"), "{e:?}");
    let e = open("sftp:host:x", &access(&[], &["sftp.command=echo hello there"])).create();
    assert!(matches!(e.unwrap_err(), BackendError::Io { .. }));
    if programs::find("ssh").is_none() {
        return;
    }
    let args = "sftp.args=-F /dev/null -o BatchMode=yes -o ConnectTimeout=5";
    let port = programs::free_port();
    let place = format!("sftp://me@127.0.0.1:{port}//x");
    let e = open(&place, &access(&[], &[args])).create().unwrap_err();
    assert!(!e.is_permanent() && e.to_string().contains("refused"), "{e:?}");
}

/// A real ssh to this machine, with keys of its own.
struct Machine {
    _running: Running,
    port: u16,
    args: String,
}

fn machine(folder: &Path) -> Option<Machine> {
    let sshd = "/usr/sbin/sshd";
    if !Path::new(sshd).exists() || programs::find("ssh").is_none() {
        tintype_testkit::programs::skipped("sshd or ssh is not installed");
        return None;
    }
    let _ = std::fs::create_dir("/run/sshd");
    let file = |name: &str| folder.join(name).display().to_string();
    for key in ["host", "user"] {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "", "-f", &file(key)]);
        assert!(command.status().unwrap().success());
    }
    let port = programs::free_port();
    let config = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\nSubsystem sftp internal-sftp\n",
        file("host"),
        file("user.pub"),
    );
    std::fs::write(folder.join("config"), config).unwrap();
    let running = programs::start(Command::new(sshd).args(["-D", "-e", "-f", &file("config")]));
    until_somebody_listens(port);
    let args = format!(
        "-F /dev/null -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile={}",
        file("user"),
        file("known"),
    );
    Some(Machine { _running: running, port, args })
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(output).unwrap().trim().to_owned()
}

#[test]
fn ssh_to_a_machine_with_restic_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(machine) = machine(folder.path()) else { return };
    let (user, port) = (user(), machine.port);
    let root = folder.path().display();
    let option = format!("sftp.args={}", machine.args);
    let access = access(&[], &[&option]);
    let place = format!("sftp://{user}@127.0.0.1:{port}/{root}/repo");
    let command =
        format!("sftp.command=ssh {} -p {port} -l {user} -s 127.0.0.1 sftp", machine.args);
    sharing::with_restic(&place, &access, &["-o", &command]);
    // A key that the machine does not know.
    std::fs::write(folder.path().join("user.pub"), "").unwrap();
    let e = open(&place, &access).list(FileKind::Key).unwrap_err();
    assert!(e.is_permanent() && e.to_string().contains("Permission denied"), "{e:?}");
}
