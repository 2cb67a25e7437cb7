//! The native API on TCP: problem documents, pages, its description.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::world::World;

/// One request: its line without the version, headers, and behind an empty line perhaps a body.
pub fn ask(world: &World, request: &str, headers: &str) -> (u16, Value) {
    let (_, rest) = world.ready.split_once("http://").unwrap();
    let address = rest.split(',').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    // Headers may go on with a body.
    let (headers, body) = headers.split_once("\r\n\r\n").unwrap_or((headers.trim_end(), ""));
    let head = format!("{request} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// Headers of somebody with this role.
pub fn headers_of(world: &World, role: &str) -> String {
    let made = world.json(&format!("token create {role} --role {role}"));
    format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", made["token"].as_str().unwrap())
}

#[test]
fn it_answers_and_explains() {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    let local = &headers_of(&world, "admin");
    assert_eq!(ask(&world, "GET /api/v1/status", local).1["health"], "ok");
    let (status, problem) = ask(&world, "GET /api/v1/filesystems/x", local);
    assert_eq!((status, &problem["status"]), (404, &404.into()));
    assert_eq!(problem["type"], "urn:tintype:not-found");
    assert_eq!(problem["object"], "filesystem x");
    assert!(problem["remedy"].as_str().unwrap().contains("fs list"));
    assert_eq!(ask(&world, "GET /nothing", local).0, 404);
    // Also what the router itself refuses is a problem document.
    let (status, problem) = ask(&world, "GET /api/v1/filesystems/%ff", local);
    assert_eq!((status, &problem["type"]), (400, &"urn:tintype:invalid".into()));
    assert_eq!(ask(&world, "GET /api/v1/snapshots?tga=x", local).0, 400);
    assert_eq!(ask(&world, "POST /api/v1/filesystems", local).0, 400);
}

/// One refusal per row: request, headers, body, status, word of the kind, and a part of what is said.
#[test]
fn whatever_is_refused_is_a_problem_document() {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    let admin = headers_of(&world, "admin");
    let long = format!("Content-Length: {}\r\n", 1u64 << 40);
    for (request, headers, status, kind, part) in [
        ("PUT /api/v1/status", "", 405, "method", "PUT"),
        ("POST /api/v1/filesystems", "Content-Length: 1\r\n\r\n{", 400, "invalid", "EOF"),
        (
            "POST /api/v1/filesystems",
            "Content-Length: 18\r\n\r\n{\"name\":\"a\",\"b\":1}",
            400,
            "invalid",
            "unknown field",
        ),
        (
            "POST /api/v1/scrub",
            "Content-Length: 7\r\n\r\n{\"a\":1}",
            400,
            "invalid",
            "unknown field",
        ),
        ("POST /api/v1/filesystems", long.as_str(), 413, "too-large", "limit"),
        ("DELETE /api/v1/filesystems/x?focre=1", "", 400, "invalid", "focre"),
        ("DELETE /api/v1/filesystems/x?force=maybe", "", 400, "invalid", "maybe"),
        ("GET /api/v1/snapshots?limit=-1", "", 400, "invalid", "-1"),
        ("GET /api/v1/diff?from=a", "", 400, "invalid", "is missing"),
        ("GET /api/v1/filesystems/..%2f..%2fetc", "", 400, "invalid", "/"),
        ("GET /api/v1/filesystems/%2e%2e", "", 400, "invalid", ".."),
        ("DELETE /api/v1/volumes/a/snapshots/..%2fb", "", 400, "invalid", "/"),
    ] {
        let (got, problem) = ask(&world, request, &format!("{admin}{headers}"));
        assert_eq!(got, status, "{request}: {problem}");
        assert_eq!(problem["status"], status, "{request}");
        assert_eq!(problem["type"], format!("urn:tintype:{kind}"), "{request}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{request}: {problem}");
        assert!(!problem["remedy"].as_str().unwrap().is_empty(), "{request}");
    }
}

#[test]
fn lists_come_in_pages_that_hold_still() {
    let world = World::up();
    for name in ["a", "b", "c d"] {
        world.json(&format!("disk create {} --size 1M", name.replace(' ', "-")));
    }
    let get = "curl -sfS -D head --unix-socket socket";
    let first = world.shell(&format!("{get} 'http://h/api/v1/disks?limit=2'"));
    let head = world.shell("cat head");
    let names = |text: &str| -> Vec<String> {
        let list: Value = serde_json::from_str(text).unwrap();
        let names = list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    let link = head.lines().find(|line| line.starts_with("link: ")).unwrap();
    let next = link.split(['<', '>']).nth(1).unwrap();
    // What the page ended with goes, and something comes before it.
    world.ok("disk delete b");
    world.ok("disk create aa --size 1M");
    let second = world.shell(&format!("{get} 'http://h{next}'"));
    assert_eq!(names(&second), ["c-d"]);
    assert!(!world.shell("cat head").contains("link: "));
}

#[test]
fn lists_are_filtered_by_patterns_of_names() {
    let world = World::up();
    for name in ["web-1", "web-2", "db"] {
        world.ok(&format!("disk create {name} --size 1M"));
        world.ok(&format!("snapshot create {name}@daily"));
    }
    world.ok("snapshot create db@by-hand");
    let get = |path: &str| -> Vec<String> {
        let said = world.shell(&format!("curl -sfS --unix-socket socket 'http://h/api/v1{path}'"));
        let list: Vec<Value> = serde_json::from_str(&said).unwrap();
        list.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(get("/disks?name=web-*"), ["web-1", "web-2"]);
    assert_eq!(get("/disks?name=web-*&limit=1"), ["web-1"]);
    assert_eq!(get("/disks?name=web"), Vec::<String>::new());
    assert_eq!(get("/snapshots?name=by-????"), ["by-hand"]);
    assert_eq!(get("/snapshots?filesystem=db&name=d*"), ["daily"]);
}

#[test]
fn the_description_is_served_and_printed() {
    let mut world = World::empty();
    let printed: Value = serde_json::from_str(&world.ok("openapi")).unwrap();
    world.start(&["--listen", "127.0.0.1:0"]);
    assert_eq!(ask(&world, "GET /api/v1/openapi.json", "Host: localhost\r\n").1, printed);
    let made = &printed["paths"]["/api/v1/snapshots"]["post"];
    let body = &made["requestBody"]["content"]["application/json"]["schema"]["$ref"];
    assert_eq!(body, "#/components/schemas/SnapshotCreate");
}

#[test]
fn pages_of_other_origins_are_refused() {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    let foreign = format!("{}Origin: https://evil.example\r\n", headers_of(&world, "admin"));
    assert_eq!(ask(&world, "POST /api/v1/shutdown", &foreign).0, 403);
    // A page that leads a browser here under another name has no token.
    assert_eq!(ask(&world, "GET /api/v1/status", "Host: evil.example\r\n").0, 401);
}
