//! The REST client where servers and networks misbehave, and against servers and clients of others.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod programs;
mod rest_server;
mod sharing;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use programs::Running;
use rest_server::{Manners, Server};
use tintype_repo::{
    Access, Backend, BackendError, FileKind, Id, Location, Patience, Secret, open_location,
};

fn open(place: &str, access: &Access) -> Arc<dyn Backend> {
    open_location(&place.parse::<Location>().unwrap(), access).unwrap()
}

fn impatient() -> Access {
    Access { patience: Patience::NONE, ..Access::default() }
}

fn client(server: &Server) -> Arc<dyn Backend> {
    open(&format!("rest:{}", server.url()), &impatient())
}

fn served(manners: Manners) -> (Server, Arc<dyn Backend>) {
    let server = Server::start(manners);
    let backend = client(&server);
    (server, backend)
}

#[test]
fn a_write_whose_answer_is_lost_succeeds_when_it_is_repeated() {
    let (server, backend) = served(Manners { lost_answers: 2, ..Manners::default() });
    for (kind, id) in [(FileKind::Pack, Id::of(b"data")), (FileKind::Config, Id::default())] {
        let e = backend.write(kind, id, b"data").unwrap_err();
        assert!(!e.is_permanent(), "{e:?}");
        backend.write(kind, id, b"data").unwrap();
    }
    let deleted = |line: &&String| line.starts_with("DELETE");
    assert_eq!(server.state.lock().unwrap().requests.iter().filter(deleted).count(), 0);
}

#[test]
fn retries_hide_lost_answers_and_cut_downloads() {
    let manners = Manners { lost_answers: 1, cut_downloads: 1, ..Manners::default() };
    let server = Server::start(manners);
    let backend = open(&format!("rest:{}", server.url()), &Access::default());
    let (id, data) = (Id::of(b"some data"), b"some data");
    backend.write(FileKind::Pack, id, data).unwrap();
    assert_eq!(backend.read(FileKind::Pack, id).unwrap(), data);
}

#[test]
fn a_cut_download_is_no_short_file() {
    let (server, backend) = served(Manners::default());
    let (id, data) = (Id::of(b"some data"), b"some data");
    backend.write(FileKind::Pack, id, data).unwrap();
    server.state.lock().unwrap().manners.cut_downloads = 2;
    for answer in [backend.read(FileKind::Pack, id), backend.read_part(FileKind::Pack, id, 0, 9)] {
        let e = answer.unwrap_err();
        assert!(matches!(e, BackendError::Io { .. }) && !e.is_permanent(), "{e:?}");
    }
}

#[test]
fn damaged_content_gives_way() {
    let (server, backend) = served(Manners::default());
    let id = Id::of(b"right");
    server.state.lock().unwrap().files.insert(format!("data/{id}"), b"wrong".to_vec());
    backend.write(FileKind::Pack, id, b"right").unwrap();
    assert_eq!(backend.read(FileKind::Pack, id).unwrap(), b"right");
}

#[test]
fn an_append_only_server_keeps_what_it_has() {
    let (server, backend) = served(Manners { append_only: true, ..Manners::default() });
    let id = Id::of(b"data");
    for kind in FileKind::MANY {
        backend.write(kind, id, b"data").unwrap();
        backend.write(kind, id, b"data").unwrap();
        let e = backend.remove(kind, id).err();
        match (kind, e) {
            (FileKind::Lock, None) => {}
            (_, Some(e)) => assert!(e.is_permanent(), "{e:?}"),
            (_, None) => panic!("{kind} was removed"),
        }
    }
    backend.write(FileKind::Config, Id::default(), b"one").unwrap();
    let e = backend.write(FileKind::Config, Id::default(), b"two").unwrap_err();
    assert!(matches!(e, BackendError::Refused { status: 403, .. }), "{e:?}");
    assert_eq!(backend.read(FileKind::Config, Id::default()).unwrap(), b"one");
    // A hash that is wrong is a matter of the transfer.
    let e = backend.write(FileKind::Pack, Id::of(b"other"), b"data").unwrap_err();
    assert!(matches!(e, BackendError::Refused { status: 400, .. }) && !e.is_permanent(), "{e:?}");
    assert_eq!(server.state.lock().unwrap().connections, 1, "one connection serves all");
}

#[test]
fn a_config_that_could_not_be_replaced_is_put_back() {
    let (server, backend) = served(Manners::default());
    backend.write(FileKind::Config, Id::default(), b"one").unwrap();
    server.state.lock().unwrap().manners.full_after_delete = true;
    let e = backend.write(FileKind::Config, Id::default(), b"two").unwrap_err();
    assert!(matches!(e, BackendError::Refused { status: 507, .. }), "{e:?}");
    assert_eq!(backend.read(FileKind::Config, Id::default()).unwrap(), b"one");
}

#[test]
fn refusals_say_what_they_are() {
    for (status, permanent) in [
        (301, true),
        (400, false),
        (401, true),
        (403, true),
        (408, false),
        (413, true),
        (429, false),
        (500, false),
        (501, true),
        (502, false),
        (503, false),
        (504, false),
        (507, true),
    ] {
        let (_server, backend) = served(Manners { refusals: vec![status], ..Manners::default() });
        let e = backend.read(FileKind::Key, Id::default()).unwrap_err();
        assert_eq!(e.is_permanent(), permanent, "{e:?}");
        let text = e.to_string();
        assert!(text.contains(&format!("answers {status}: no[1m, not now")), "{text}");
        assert!(!text.contains("more"), "{text}");
    }
}

#[test]
fn the_login_comes_from_the_url_or_from_outside_and_is_never_shown() {
    let server = Server::start(Manners { login: Some("bWU6czpAL2NyZXQ="), ..Manners::default() });
    let at = format!("127.0.0.1:{}/some/repo/", server.port);
    let outside = Access {
        rest_username: Some("me".to_owned()),
        rest_password: Some(Secret::new("s:@/cret")),
        ..impatient()
    };
    for (place, access) in [
        (format!("rest:http://me:s%3A%40%2fcret@{at}"), impatient()),
        (format!("rest:http://{at}"), outside.clone()),
        (format!("rest:http://me@{at}"), Access { rest_username: None, ..outside.clone() }),
        // What stands in the URL comes first.
        (
            format!("rest:http://me@{at}"),
            Access { rest_username: Some("you".into()), ..outside.clone() },
        ),
    ] {
        let backend = open(&place, &access);
        assert_eq!(backend.list(FileKind::Key).unwrap(), [], "{place}");
        assert!(!backend.location().contains("cret"));
        assert!(!format!("{access:?}{:?}", place.parse::<Location>()).contains("cret"));
    }
    let backend = open(&format!("rest:http://me:wrong@{at}"), &impatient());
    let e = backend.list(FileKind::Key).unwrap_err();
    assert!(matches!(e, BackendError::Refused { status: 401, .. }), "{e:?}");
    assert!(!e.to_string().contains("wrong"), "{e}");
}

#[test]
fn no_server_is_a_failure_that_may_pass() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let backend = open(&format!("rest:http://127.0.0.1:{port}/"), &impatient());
    let e = backend.read(FileKind::Key, Id::default()).unwrap_err();
    assert!(matches!(e, BackendError::Io { .. }) && !e.is_permanent(), "{e:?}");
}

#[test]
fn certificates_that_are_none_are_refused_at_once() {
    let access = Access { ca_certificates: Some(b"no".to_vec()), ..impatient() };
    let e = open_location(&"rest:https://h/".parse().unwrap(), &access).err().unwrap();
    assert!(e.is_permanent(), "{e:?}");
}

#[test]
fn kinds_without_an_adapter_say_so() {
    let e = open_location(&"swift:container:/p".parse().unwrap(), &impatient()).err().unwrap();
    assert!(matches!(e, BackendError::Unsupported { kind: "swift", .. }), "{e:?}");
}

#[test]
fn restic_reads_from_the_same_server_what_we_save() {
    let place = format!("rest:{}", Server::start(Manners::default()).url());
    sharing::with_restic(&place, &impatient(), &[]);
}

/// `rclone serve restic`, an implementation that is not ours.
fn rclone(folder: &Path, more: &[&str]) -> Option<(Running, String)> {
    let mut command = Command::new(programs::find("rclone")?);
    command.args(["serve", "restic", "--addr", "127.0.0.1:0", "--config", "/dev/null", "-v"]);
    let (running, url) = programs::serve(command.args(more).arg(folder));
    Some((running, format!("{url}/")))
}

#[test]
fn rclone_serves_us_and_restic() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_running, url)) = rclone(folder.path(), &["--user", "me", "--pass", "pw"]) else {
        return;
    };
    let url = url.replacen("http://", "http://me:pw@", 1);
    sharing::with_restic(&format!("rest:{url}some/repo/"), &impatient(), &[]);
    // The parts of the contract in which servers differ.
    let backend = open(&format!("rest:{url}other/"), &impatient());
    for made in [false, true] {
        assert_eq!(backend.list(FileKind::Key).unwrap(), [], "made: {made}");
        assert_eq!(backend.list(FileKind::Config).unwrap(), []);
        backend.create().unwrap();
    }
    let id = Id::of(b"data");
    for _ in 0..2 {
        backend.write(FileKind::Pack, id, b"data").unwrap();
    }
    assert_eq!(backend.list(FileKind::Pack).unwrap(), [(id, 4)]);
    assert_eq!(backend.read_part(FileKind::Pack, id, 1, 2).unwrap(), b"at");
    assert_eq!(backend.read_part(FileKind::Pack, id, 4, 0).unwrap(), b"");
    for (offset, len) in [(0, 5), (4, 1), (9, 9), (u64::MAX, 1), (i64::MAX as u64, 3)] {
        let answer = backend.read_part(FileKind::Pack, id, offset, len);
        assert!(matches!(answer, Err(BackendError::Short { .. })), "{offset} {len} {answer:?}");
    }
    backend.write(FileKind::Config, Id::default(), b"one").unwrap();
    backend.write(FileKind::Config, Id::default(), b"two").unwrap();
    assert_eq!(backend.read(FileKind::Config, Id::default()).unwrap(), b"two");
    for _ in 0..2 {
        backend.remove(FileKind::Pack, id).unwrap();
    }
    assert_eq!(backend.list(FileKind::Pack).unwrap(), []);
}

#[test]
fn rclone_that_only_appends() {
    let folder = tempfile::tempdir().unwrap();
    let Some((_running, url)) = rclone(folder.path(), &["--append-only"]) else { return };
    let backend = open(&format!("rest:{url}"), &impatient());
    backend.create().unwrap();
    let id = Id::of(b"data");
    for _ in 0..2 {
        backend.write(FileKind::Pack, id, b"data").unwrap();
    }
    let e = backend.remove(FileKind::Pack, id).unwrap_err();
    assert!(e.is_permanent(), "{e:?}");
}

/// A certificate for 127.0.0.1 that only itself vouches for.
fn certificate(folder: &Path) -> bool {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]);
    command.args([
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]);
    // What may sign others is refused as a server's own certificate.
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    command.current_dir(folder).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn only_servers_with_a_known_certificate_are_talked_to() {
    let folder = tempfile::tempdir().unwrap();
    if programs::find("openssl").is_none() || !certificate(folder.path()) {
        return;
    }
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let more = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let Some((_running, url)) = rclone(&folder.path().join("repo"), &more) else { return };
    let place = format!("rest:{url}");
    let e = open(&place, &impatient()).create().unwrap_err();
    assert!(matches!(e, BackendError::Io { .. }) && e.is_permanent(), "{e:?}");
    let pem = std::fs::read(&cert).unwrap();
    let backend = open(&place, &Access { ca_certificates: Some(pem), ..impatient() });
    backend.create().unwrap();
    backend.write(FileKind::Key, Id::of(b"key"), b"key").unwrap();
    assert_eq!(backend.read(FileKind::Key, Id::of(b"key")).unwrap(), b"key");
}
