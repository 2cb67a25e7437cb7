//! The variables of restic's users, and ours beside them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod repository;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use repository::{Fixture, has_restic, text};

const TINTYPE: &str = env!("CARGO_BIN_EXE_tintype");

/// The program with these variables and no others that name a repository or a password.
fn bare(fixture: &Fixture, program: &str, variables: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command: Command = fixture.command(program);
    for name in ["TINTYPE_REPOSITORY", "RESTIC_REPOSITORY", "RESTIC_PASSWORD"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).args(args).output().unwrap()
}

fn status(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn file(fixture: &Fixture, name: &str, content: &str) -> String {
    let path = fixture.path(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_file_can_name_the_repository() {
    let fixture = Fixture::new();
    let place = fixture.place().to_str().unwrap().to_owned();
    let named = file(&fixture, "place", &format!(" {place} \nnever read\n"));
    let (named, nowhere) = (named.as_str(), "/nowhere/at/all");
    let config = |variables: &[(&str, &str)], more: &[&str]| {
        let variables = [variables, &[("RESTIC_PASSWORD", "secret")]].concat();
        status(&bare(
            &fixture,
            TINTYPE,
            &variables,
            &[["repo", "config"].as_slice(), more].concat(),
        ))
    };
    assert_eq!(config(&[("RESTIC_REPOSITORY_FILE", named)], &[]).0, 0);
    assert_eq!(config(&[("TINTYPE_REPOSITORY_FILE", named)], &[]).0, 0);
    assert_eq!(config(&[], &["--repository-file", named]).0, 0);
    // Options first, then what is ours, then what is restic's.
    let theirs = ("RESTIC_REPOSITORY", nowhere);
    assert_eq!(config(&[theirs, ("TINTYPE_REPOSITORY_FILE", named)], &[]).0, 0);
    assert_eq!(config(&[theirs, ("TINTYPE_REPOSITORY", "")], &["--repository-file", named]).0, 0);
    assert_eq!(config(&[theirs, ("RESTIC_REPOSITORY_FILE", named)], &[]).0, 10);
    assert_eq!(config(&[], &["--repository-file", named, "--repo", &place]).0, 2);
    let (code, why) = config(&[("RESTIC_REPOSITORY", "")], &[]);
    assert!(code == 2 && why.contains("no repository is named"), "{why}");
    let (code, why) = config(&[("RESTIC_REPOSITORY_FILE", nowhere)], &[]);
    assert!(code == 1 && why.contains(nowhere), "{why}");
    let (code, why) = config(&[], &["--repository-file", &file(&fixture, "empty", "\n")]);
    assert!(code == 1 && why.contains("first line"), "{why}");
    // The verbs that volumes have too are meant for it.
    let args = ["snapshot", "list", "--repository-file", named];
    assert_eq!(status(&bare(&fixture, TINTYPE, &[("RESTIC_PASSWORD", "secret")], &args)).0, 0);
}

#[test]
fn copies_have_variables_for_where_they_come_from() {
    let fixture = Fixture::new();
    fixture.backup(&[]);
    let from = file(&fixture, "from", fixture.place().to_str().unwrap());
    let to = fixture.path("to").to_str().unwrap().to_owned();
    let variables = [
        ("RESTIC_FROM_REPOSITORY_FILE", from.as_str()),
        ("RESTIC_FROM_PASSWORD_COMMAND", "echo secret"),
        ("RESTIC_FROM_KEY_HINT", "00"),
        ("TINTYPE_FROM_PASSWORD", ""),
        ("RESTIC_REPOSITORY", to.as_str()),
        ("RESTIC_PASSWORD", "other"),
    ];
    text(
        bare(&fixture, TINTYPE, &variables, &["repo", "init", "--copy-chunker-params"]),
        &["init"],
    );
    text(bare(&fixture, TINTYPE, &variables, &["copy"]), &["copy"]);
    let list = text(bare(&fixture, TINTYPE, &variables, &["ls", "latest"]), &["ls"]);
    assert!(list.contains("b.log"), "{list}");
}

#[test]
fn passwords_are_found_as_restic_finds_them() {
    let fixture = Fixture::new();
    let (right, wrong) =
        (file(&fixture, "right", "\u{feff} secret \r\n"), file(&fixture, "wrong", "no"));
    let place = fixture.place().to_str().unwrap().to_owned();
    let opens = |program: &str, variables: &[(&str, &str)]| {
        let variables = [variables, &[("RESTIC_REPOSITORY", place.as_str())]].concat();
        let args: &[&str] = match program {
            TINTYPE => &["repo", "config"],
            _ => &["--no-cache", "cat", "config"],
        };
        bare(&fixture, program, &variables, args).status.success()
    };
    let file = |path| ("RESTIC_PASSWORD_FILE", path);
    let command = |text| ("RESTIC_PASSWORD_COMMAND", text);
    let cases: [(&[(&str, &str)], bool); 6] = [
        (&[file(right.as_str())], true),
        (&[command("echo secret")], true),
        (&[("RESTIC_PASSWORD", "no"), file(right.as_str())], true),
        (&[("RESTIC_PASSWORD", "secret"), file(wrong.as_str())], false),
        (&[("RESTIC_PASSWORD", "no"), command("echo secret")], true),
        (&[("RESTIC_PASSWORD", "secret"), ("RESTIC_PASSWORD_FILE", "")], true),
    ];
    for (variables, expected) in cases {
        assert_eq!(opens(TINTYPE, variables), expected, "{variables:?}");
        if has_restic() {
            assert_eq!(opens("restic", variables), expected, "restic: {variables:?}");
        }
    }
    assert!(opens(TINTYPE, &[command("echo no"), ("TINTYPE_PASSWORD", "secret")]));
    assert!(opens(
        TINTYPE,
        &[("RESTIC_PASSWORD", "no"), ("TINTYPE_PASSWORD_FILE", right.as_str())]
    ));
}

#[test]
fn the_key_that_is_hinted_at_is_tried_first() {
    let fixture = Fixture::new();
    // The same password again: whichever key is tried first opens the repository.
    fixture.ok(&["repo", "key", "add", "--new-password-file", &file(&fixture, "new", "secret")]);
    let keys = fixture.json(&["repo", "key", "list"]);
    let ids: Vec<&str> =
        keys.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2);
    for id in ids {
        let by_option = ["repo", "key", "list", "--json", "--key-hint", &id[..8]];
        let mut by_variable = fixture.command(TINTYPE);
        by_variable.args(&by_option[..4]).env("RESTIC_KEY_HINT", id);
        for output in [by_variable.output().unwrap(), fixture.run(&by_option)] {
            let list: serde_json::Value =
                serde_json::from_str(&text(output, &["key", "list"])).unwrap();
            let current = list.as_array().unwrap().iter().find(|key| key["current"] == true);
            assert_eq!(current.unwrap()["id"], id);
        }
    }
    fixture.ok(&["repo", "config", "--key-hint", "0123"]);
}

#[test]
fn a_machine_can_be_named_for_backups_and_filters() {
    let fixture = Fixture::new();
    let as_host = |host: &str, args: &[&str]| {
        text(fixture.command(TINTYPE).args(args).env("RESTIC_HOST", host).output().unwrap(), args)
    };
    let source = fixture.source().to_str().unwrap().to_owned();
    for host in ["one", "two", "one", "two"] {
        as_host(host, &["backup", &source, "--force"]);
    }
    fixture.backup(&["--host", "three"]);
    let hosts = || {
        let list = fixture.snapshots(&[]);
        list.iter().map(|one| one["host"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(hosts(), ["one", "two", "one", "two", "three"]);
    let place = fixture.place().to_str().unwrap().to_owned();
    let count = |more: &[&str]| {
        let args = [["snapshot", "list", "--json", "--repo", &place].as_slice(), more].concat();
        serde_json::from_str::<serde_json::Value>(&as_host("one", &args))
            .unwrap()
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((count(&[]), count(&["--host", ""]), count(&["--host", "three"])), (2, 5, 1));
    let shown = as_host("two", &["snapshot", "show", "latest", "--json", "--repo", &place]);
    assert!(shown.contains("\"two\""), "{shown}");
    as_host("one", &["forget", "--keep-last", "1"]);
    assert_eq!(hosts(), ["two", "one", "two", "three"]);
}

fn packs(folder: &Path) -> Vec<u64> {
    let inside = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| match path.is_dir() {
        true => packs(&path),
        false => vec![fs::metadata(path).unwrap().len()],
    };
    inside.flat_map(below).collect()
}

#[test]
fn compression_packs_and_readers_can_be_set_by_variables() {
    let fixture = Fixture::new();
    // Noise with many cuts in it, and something that shrinks.
    let mut state = 1u64;
    let noise: Vec<u8> = (0..3 << 20)
        .flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[..4].to_vec()
        })
        .collect();
    fs::write(fixture.source().join("noise"), noise).unwrap();
    let run = |variables: &[(&str, &str)]| {
        let source = fixture.source();
        let args = ["backup", source.to_str().unwrap(), "--force"];
        fixture.command(TINTYPE).envs(variables.iter().copied()).args(args).output().unwrap()
    };
    text(run(&[("RESTIC_PACK_SIZE", "4"), ("RESTIC_READ_CONCURRENCY", "1")]), &[]);
    let lengths = packs(&fixture.place().join("data"));
    assert!(lengths.len() >= 4 && lengths.iter().all(|length| *length < 9 << 20), "{lengths:?}");
    fs::write(fixture.source().join("zeros"), vec![b'z'; 400_000]).unwrap();
    let before = packs(&fixture.place().join("data")).iter().sum::<u64>();
    text(run(&[("RESTIC_COMPRESSION", "off"), ("RESTIC_PACK_SIZE", "")]), &[]);
    assert!(packs(&fixture.place().join("data")).iter().sum::<u64>() >= before + 400_000);
    for (name, value) in
        [("PACK_SIZE", "3"), ("PACK_SIZE", "x"), ("READ_CONCURRENCY", "-1"), ("COMPRESSION", "?")]
    {
        let variable = format!("RESTIC_{name}");
        let output = run(&[(variable.as_str(), value)]);
        let (code, why) = status(&output);
        assert!(code == 2 && (why.contains(name) || value == "3"), "{name}={value}: {why}");
    }
    fixture.clean();
}

#[test]
fn signs_of_life_come_as_often_as_a_variable_says() {
    let fixture = Fixture::new();
    let args = ["backup", "--stdin-command", "--", "sleep", "1"];
    let lines = |rate: &str| {
        let output =
            fixture.command(TINTYPE).env("RESTIC_PROGRESS_FPS", rate).args(args).output().unwrap();
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stderr).lines().count()
    };
    assert!(lines("20") > 2);
    assert_eq!(lines("0.001"), 0);
    for no_rate in ["0", "often"] {
        lines(no_rate);
    }
}
