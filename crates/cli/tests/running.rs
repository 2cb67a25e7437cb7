//! Repository commands while they run: locks, signals, what is shown of their progress, and servers with certificates of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod repository;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::Arc;

use repository::{Fixture, has_restic};
use serde_json::Value;
use tintype_repo::{
    BlobId, BlobKind, BlobOptions, BlobWriter, GoMode, LocalFolder, Moment, Node, Repository,
    Scratch, SnapshotFile, encode_tree,
};
use tintype_testkit::programs;

const TINTYPE: &str = env!("CARGO_BIN_EXE_tintype");

/// A program that runs until the test lets it go on or ends it.
struct Running {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Running {
    fn start(fixture: &Fixture, args: &[&str]) -> Self {
        let mut child = fixture
            .command(TINTYPE)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said }
    }

    fn input(&mut self) -> &mut ChildStdin {
        self.child.stdin.as_mut().unwrap()
    }

    /// The first line on standard error that fits.
    fn line(&mut self, fits: impl Fn(&str) -> bool) -> String {
        self.line_before_end(fits).unwrap_or_else(|all| panic!("ended; it said: {all}"))
    }

    /// As `line`; what was said when it ended without one.
    fn line_before_end(&mut self, fits: impl Fn(&str) -> bool) -> Result<String, String> {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if self.said.read_line(&mut line).unwrap() == 0 {
                return Err(all);
            }
            if fits(&line) {
                return Ok(line);
            }
            all += &line;
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// The exit status, and what else was said on standard error.
    fn end(mut self) -> (Option<i32>, String) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A backup that has its lock and waits for more to save.
fn holder(fixture: &Fixture) -> Running {
    let mut holder = Running::start(fixture, &["backup", "--stdin", "--json"]);
    holder.input().write_all(b"begun").unwrap();
    holder.line(|line| line.contains("\"progress\""));
    holder
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn sound(fixture: &Fixture) {
    assert_eq!(fixture.ok(&["repo", "list", "locks"]), "");
    fixture.ok(&["check", "--read-data"]);
    if has_restic() {
        fixture.restic(&["check", "--read-data"]);
    }
}

#[test]
fn who_waits_for_a_lock_gets_it() {
    let fixture = Fixture::new();
    let holding = holder(&fixture);
    assert_eq!(fixture.run(&["check"]).status.code(), Some(11));
    let mut waiting = Running::start(&fixture, &["check", "--retry-lock", "3600"]);
    let notice = waiting.line(|line| line.contains("waiting"));
    assert!(notice.contains("locked by"), "{notice}");
    assert_eq!(holding.end().0, Some(0));
    assert_eq!(waiting.end().0, Some(0));
    // Who waits can also be told to stop, and leaves no lock.
    let holding = holder(&fixture);
    let mut waiting = Running::start(&fixture, &["check", "--retry-lock", "3600"]);
    waiting.line(|line| line.contains("waiting"));
    waiting.signal("-INT");
    assert_eq!(waiting.end().0, Some(130));
    assert_eq!(fixture.ok(&["repo", "list", "locks"]).lines().count(), 1);
    drop(holding);
}

#[test]
fn locks_of_killed_programs_go_on_request() {
    let fixture = Fixture::new();
    let mut killed = holder(&fixture);
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert_eq!(fixture.run(&["check"]).status.code(), Some(11));
    assert_eq!(fixture.json(&["repo", "unlock"])["removed"], 1);
    fixture.ok(&["check"]);
    // One that is held stays, unless all are to go; then its holder writes no snapshot.
    let holding = holder(&fixture);
    assert_eq!(fixture.json(&["repo", "unlock"])["removed"], 0);
    assert_eq!(fixture.json(&["repo", "unlock", "--remove-all"])["removed"], 1);
    drop(holding);
}

#[test]
fn an_interrupted_backup_leaves_a_sound_repository() {
    let fixture = Fixture::new();
    for signal in ["-INT", "-TERM"] {
        let mut saving = Running::start(&fixture, &["backup", "--stdin", "--json"]);
        saving.input().write_all(&vec![7; 3 << 20]).unwrap();
        let event = saving.line(|line| line.contains("\"progress\""));
        let event: Value = serde_json::from_str(&event).unwrap();
        assert!(event["seconds"].is_number() && event["bytes_read"].is_number(), "{event}");
        saving.signal(signal);
        // Its input goes on: it is not the end of the input that ends it.
        saving.line(|line| line.contains("stopping"));
        let input = saving.child.stdin.take();
        let status = saving.child.wait().unwrap();
        assert_eq!(status.code(), Some(130));
        drop(input);
        assert_eq!(fixture.ok(&["repo", "list", "snapshots"]), "");
        sound(&fixture);
    }
    // A whole one works as ever.
    fixture.backup(&[]);
}

/// Puts a pipe in the place of a file, so that who reads the file waits; interrupts, lets go, and puts the file back.
fn interrupted_while_reading(
    fixture: &Fixture,
    file: &Path,
    args: &[&str],
) -> (Option<i32>, String) {
    // An index that is no file is passed over, and the command may be at its end before it hears the signal: then once more.
    (0..20).find_map(|_| interrupted_once(fixture, file, args)).unwrap()
}

fn interrupted_once(
    fixture: &Fixture,
    file: &Path,
    args: &[&str],
) -> Option<(Option<i32>, String)> {
    let away = fixture.folder.path().join("away");
    fs::rename(file, &away).unwrap();
    assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
    let mut running = Running::start(fixture, args);
    // Its lock is there after signals are listened to.
    while files(&fixture.place().join("locks")).is_empty() {
        assert!(running.child.try_wait().unwrap().is_none(), "ended: {:?}", running.end());
        std::thread::yield_now();
    }
    running.signal("-INT");
    let heard = running.line_before_end(|line| line.contains("stopping")).is_ok();
    // Whoever waits for the pipe gets its end. Perhaps nobody waits for it any more.
    while running.child.try_wait().unwrap().is_none() {
        let opened = Command::new("sh").args(["-c", ": 1<> \"$0\""]).arg(file).status().unwrap();
        assert!(opened.success());
    }
    let ended = running.end();
    fs::remove_file(file).unwrap();
    fs::rename(&away, file).unwrap();
    heard.then_some(ended)
}

#[test]
fn interrupted_readers_leave_a_sound_repository() {
    let fixture = Fixture::new();
    let large: Vec<u8> = (0..1_000_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(fixture.source().join("large"), large).unwrap();
    fixture.backup(&[]);
    let packs: Vec<PathBuf> =
        files(&fixture.place().join("data")).iter().flat_map(|dir| files(dir)).collect();
    let data = packs.into_iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap();
    let target = fixture.folder.path().join("target");
    let restore = ["restore", "latest", "--target", target.to_str().unwrap()];
    let (status, said) = interrupted_while_reading(&fixture, &data, &restore);
    assert_eq!(status, Some(130), "{said}");
    sound(&fixture);
    // Run again it goes on.
    fixture.ok(&restore);
    let index = files(&fixture.place().join("index")).remove(0);
    for line in [&["prune", "--instant-delete", "--max-unused", "0"][..], &["check"][..]] {
        let (status, said) = interrupted_while_reading(&fixture, &index, line);
        assert_eq!(status, Some(130), "{line:?}: {said}");
        sound(&fixture);
    }
}

#[test]
fn progress_is_a_line_for_files_and_one_that_changes_on_a_terminal() {
    let fixture = Fixture::new();
    let mut plain = Running::start(&fixture, &["backup", "--stdin"]);
    plain.input().write_all(b"x").unwrap();
    let line = plain.line(|line| line.contains("files"));
    assert!(line.contains("reading") && !line.contains('\r') && !line.contains('\x1b'), "{line:?}");
    assert_eq!(plain.end().0, Some(0));
    // Nothing at all when it is to be quiet.
    let mut quiet = Running::start(&fixture, &["backup", "--stdin", "--quiet"]);
    quiet.input().write_all(b"x").unwrap();
    let mut out = quiet.child.stdout.take().unwrap();
    assert_eq!(quiet.end(), (Some(0), String::new()));
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    assert_eq!(text, "");
    // On a terminal: `script` is one.
    let pipe = fixture.folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let line = format!("{TINTYPE} backup --stdin < {}", pipe.display());
    let mut shown = fixture
        .command("script")
        .args(["-qec", &line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    let (mut out, mut text, mut byte) = (shown.stdout.take().unwrap(), String::new(), [0]);
    // It writes over its line more than once.
    while text.matches("\r\x1b[K").count() < 3 || !text.contains("reading") {
        assert_eq!(out.read(&mut byte).unwrap(), 1, "it ended: {text:?}");
        text.push(char::from(byte[0]));
    }
    drop(input);
    out.read_to_string(&mut text).unwrap();
    assert!(shown.wait().unwrap().success() && text.contains("saved snapshot"), "{text:?}");
    assert!(!text.contains("files, 0 B, reading 0 B/s\r\n"), "{text:?}");
}

#[test]
fn failures_are_events_too() {
    let fixture = Fixture::new();
    // A folder that may not be read.
    let hidden = fixture.source().join("hidden");
    fs::create_dir(&hidden).unwrap();
    fs::set_permissions(&hidden, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let source = fixture.source();
    let mut saving = fixture.by_somebody(TINTYPE);
    let output = saving.args(["backup", source.to_str().unwrap(), "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let event: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(event["event"], "failure");
    assert!(event["path"].as_str().unwrap().ends_with("hidden") && event["detail"].is_string());
}

#[test]
fn an_old_repository_becomes_a_new_one() {
    let fixture = Fixture::new();
    let old = fixture.folder.path().join("old");
    let at = ["--repo", old.to_str().unwrap()];
    let with = |line: &[&'static str]| -> Vec<&str> { line.iter().copied().chain(at).collect() };
    fixture.ok(&with(&["repo", "init", "--repository-version", "1"]));
    fs::write(fixture.source().join("flat"), vec![b'a'; 500_000]).unwrap();
    let source = fixture.source();
    fixture.ok(&["backup", source.to_str().unwrap(), "--repo", at[1]]);
    let stored =
        || fixture.json(&with(&["repo", "stats"]))["data_blobs"]["stored_bytes"].as_u64().unwrap();
    assert_eq!(fixture.json(&with(&["repo", "config"]))["version"], 1);
    let before = stored();
    let migrated = fixture.json(&with(&["repo", "migrate"]));
    assert_eq!((&migrated["version"], &migrated["changed"]), (&2.into(), &true.into()));
    assert_eq!(fixture.json(&with(&["repo", "migrate"]))["changed"], false);
    assert_eq!(fixture.json(&with(&["repo", "config"]))["version"], 2);
    fixture.ok(&with(&["prune", "--repack-uncompressed", "--instant-delete"]));
    assert!(stored() < before / 10, "{} of {before}", stored());
    fixture.ok(&with(&["check", "--read-data"]));
    if has_restic() {
        fixture.restic(&["check", "--read-data", "-r", at[1]]);
    }
}

#[test]
fn owners_come_back_by_number_or_by_name() {
    let fixture = Fixture::new();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let named = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let Some(daemon) = named.into_iter().find(|fields| fields[0] == "daemon") else { return };
    let wanted: u32 = daemon[2].parse().unwrap();
    let user = Command::new("id").arg("-u").output().unwrap().stdout;
    if user.trim_ascii() != b"0" {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    // A file of somebody who has another number here.
    let repo = Repository::open(Arc::new(LocalFolder::new(fixture.place())), b"secret").unwrap();
    let node = Node {
        name: b"f".to_vec(),
        mode: GoMode(0o600),
        uid: 54_321,
        user: Some("daemon".into()),
        content: Some(vec![]),
        ..Node::default()
    };
    let bytes = encode_tree(&[node]).unwrap();
    let tree = BlobId::of(&bytes);
    let writer =
        BlobWriter::new(repo.clone(), Arc::new(repo.index().unwrap()), BlobOptions::default());
    writer.add(&mut Scratch::default(), BlobKind::Tree, tree, &bytes).unwrap();
    writer.finish().unwrap();
    let mut snapshot = SnapshotFile::new("2026-01-01".parse::<Moment>().unwrap(), tree);
    repo.save_snapshot(&mut snapshot).unwrap();
    let owner = |how: &[&str]| {
        let target = fixture.folder.path().join("target");
        drop(fs::remove_dir_all(&target));
        let line = ["restore", "latest", "--target", target.to_str().unwrap()];
        fixture.ok(&line.iter().chain(how).copied().collect::<Vec<_>>());
        fs::metadata(target.join("f")).unwrap().uid()
    };
    assert_eq!(owner(&[]), 54_321);
    assert_eq!(owner(&["--ownership", "number"]), 54_321);
    assert_eq!(owner(&["--ownership", "name"]), wanted);
    assert_eq!(owner(&["--ownership", "none"]), 0);
}

fn at(fixture: &Fixture, name: &str) -> String {
    fixture.path(name).to_str().unwrap().to_owned()
}

/// A certificate for this machine that nobody but itself vouches for, and its key.
fn certificate(fixture: &Fixture, name: &str) -> (String, String) {
    let (cert, key) = (at(fixture, &format!("{name}.pem")), at(fixture, &format!("{name}.key")));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]);
    make.args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1"]);
    make.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    make.args(["-addext", "extendedKeyUsage=serverAuth,clientAuth"]);
    make.args(["-keyout", &key, "-out", &cert]);
    assert!(make.stderr(Stdio::null()).status().unwrap().success());
    (cert, key)
}

/// A REST server with this certificate, and its place.
fn secure_server(fixture: &Fixture, own: &(String, String), more: &[&str]) -> (Running, String) {
    let mut server = Command::new("rclone");
    server.args(["serve", "restic", "--addr", "127.0.0.1:0", "--config", "/dev/null", "-v"]);
    server.args(["--cert", &own.0, "--key", &own.1]).args(more).arg(at(fixture, "served"));
    let mut child = server.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let mut server = Running { child, said };
    let line = server.line(|line| line.contains("https://"));
    let url = line[line.find("https://").unwrap()..].split([' ', ']', '"', '\n']).next().unwrap();
    (server, format!("rest:{url}"))
}

#[test]
fn servers_are_checked_against_the_certificates_that_are_named() {
    let fixture = Fixture::new();
    if !["openssl", "rclone"].into_iter().all(programs::has) {
        return;
    }
    let own = certificate(&fixture, "server");
    let (_server, place) = secure_server(&fixture, &own, &[]);
    let refused = fixture.run(&["repo", "init", "--repo", &place]);
    let why = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(refused.status.code() == Some(1) && why.contains("certificate"), "{why}");
    fixture.ok(&["repo", "init", "--repo", &place, "--cacert", &own.0]);
    let mut by_variable = fixture.command(TINTYPE);
    by_variable.args(["repo", "config", "--repo", &place]).env("RESTIC_CACERT", &own.0);
    assert!(by_variable.output().unwrap().status.success());
    assert_eq!(
        fixture.run(&["repo", "config", "--repo", &place, "--cacert", "/nowhere"]).status.code(),
        Some(1)
    );
}

#[test]
fn servers_that_ask_who_we_are_are_shown_a_certificate() {
    let fixture = Fixture::new();
    if !["openssl", "rclone"].into_iter().all(programs::has) {
        return;
    }
    let (theirs, ours) = (certificate(&fixture, "server"), certificate(&fixture, "client"));
    let both = at(&fixture, "both.pem");
    fs::write(&both, [fs::read(&ours.0).unwrap(), fs::read(&ours.1).unwrap()].concat()).unwrap();
    let (_server, place) = secure_server(&fixture, &theirs, &["--client-ca", &ours.0]);
    let init = ["repo", "init", "--repo", &place, "--cacert", &theirs.0, "--tls-client-cert"];
    let (code, why) = fixture.said(&[init.as_slice(), &[&ours.0]].concat());
    assert!(code == Some(1) && why.contains("no private key"), "{why}");
    fixture.ok(&[init.as_slice(), &[&both]].concat());
    let config = ["repo", "config", "--repo", &place, "--cacert", &theirs.0];
    let mut by_variable = fixture.command(TINTYPE);
    by_variable.args(config).env("RESTIC_TLS_CLIENT_CERT", &both);
    assert!(by_variable.output().unwrap().status.success());
}

/// Files below a folder whose names are ids.
fn copies(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.is_dir() {
            // The folder of a repository is named by an id as well.
            true => copies(&path),
            false => usize::from(path.file_name().unwrap().len() == 64),
        })
        .sum()
}

#[test]
fn copies_of_what_lies_far_away_are_kept_near_by() {
    let fixture = Fixture::new();
    if !programs::has("rclone") {
        return;
    }
    let place = format!("rclone::local:{}", fixture.folder.path().join("far").display());
    let source = fixture.source();
    let source = source.to_str().unwrap();
    let cache = fixture.folder.path().join(".cache/tintype");
    let ok = |args: &[&str]| fixture.ok(&[args, &["--repo", &place]].concat());
    ok(&["repo", "init"]);
    ok(&["backup", source, "--no-cache"]);
    ok(&["check", "--read-data"]);
    assert!(!cache.exists(), "nothing is kept so far");
    ok(&["ls", "latest"]);
    assert_eq!(copies(&cache), 3, "a snapshot, an index, a pack of trees");
    // Named folders take its place.
    let named = fixture.folder.path().join("named");
    let mut by_variable = fixture.command(TINTYPE);
    by_variable.args(["ls", "latest", "--repo", &place]).env("RESTIC_CACHE_DIR", &named);
    assert!(by_variable.output().unwrap().status.success());
    assert_eq!(copies(&named), 3);
    // A damaged copy is as good as none.
    let root = fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path()).find(|p| p.is_dir());
    for snapshot in fs::read_dir(root.unwrap().join("snapshots")).unwrap() {
        fs::write(snapshot.unwrap().path(), "damaged").unwrap();
    }
    assert!(ok(&["ls", "latest"]).contains("a.txt"));
    // A folder that cannot be one costs speed, and is named.
    let file = fixture.source().join("a.txt");
    let args = ["ls", "latest", "--repo", &place, "--cache-dir", file.to_str().unwrap()];
    let output = fixture.run(&args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("no copies are kept"), "{said}");
    // A check asks the place itself, unless it is told not to; copies that nobody uses go when that is wished.
    let other = cache.join("ab".repeat(32));
    fs::create_dir_all(other.join("index")).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_hours(31 * 24);
    let age = |path: &Path| {
        let times = fs::FileTimes::new().set_modified(old);
        fs::File::open(path).unwrap().set_times(times).unwrap();
    };
    age(&other);
    ok(&["check", "--with-cache", "--cleanup-cache"]);
    assert!(other.exists(), "it may be something else: it has no version");
    fs::write(other.join("version"), "1").unwrap();
    ok(&["check", "--with-cache", "--cleanup-cache"]);
    assert!(other.exists(), "it was used");
    age(&other);
    ok(&["ls", "latest"]);
    assert!(other.exists(), "nobody asked");
    ok(&["check", "--with-cache", "--cleanup-cache"]);
    assert!(!other.exists());
    // A local repository has none.
    fixture.ok(&["backup", source]);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 2, "one repository and the tag");
}

#[test]
fn settings_of_places_are_checked() {
    let fixture = Fixture::new();
    for wrong in ["rclone.progam=x", "rclone.program"] {
        let output = fixture.run(&["repo", "config", "-o", wrong]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && said.contains(wrong.trim_end_matches("=x")),
            "{said}"
        );
    }
    let args = ["repo", "config", "--repo", "rclone:x:y", "-o", "rclone.program=/nowhere/rclone"];
    let output = fixture.run(&args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("/nowhere/rclone"), "{said}");
}
