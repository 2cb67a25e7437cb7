//! Users, roles, tokens and TLS, from outside.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::api::{ask, headers_of};
use crate::world::World;

const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");
const ANYBODY: &str = "Host: localhost\r\n";
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// All operations: method, path, description.
fn operations() -> Vec<(String, String, Value)> {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS.iter().filter(|method| !item[*method].is_null()) {
            all.push((method.to_uppercase(), path.clone(), item[*method].clone()));
        }
    }
    assert!(all.len() > 50, "the document is cut short");
    all
}

fn filled(path: &str, name: &str) -> String {
    ["{name}", "{volume}", "{id}"].iter().fold(path.to_owned(), |path, key| path.replace(key, name))
}

/// What its query must have.
fn needed(operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let needed = parameters.filter(|one| one["in"] == "query" && one["required"] == true);
    let pairs: Vec<String> =
        needed.map(|one| format!("{}=x", one["name"].as_str().unwrap())).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn listening() -> World {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    world
}

#[test]
fn every_operation_refuses_strangers_and_wrong_roles() {
    let world = listening();
    let roles = ["reader", "operator", "admin"];
    let headers = roles.map(|role| headers_of(&world, role));
    for (method, path, operation) in operations() {
        let request = format!("{method} {}", filled(&path, "x"));
        let needs = operation["description"].as_str().unwrap().trim_start_matches("For: ");
        let Some(rank) = roles.iter().position(|role| needs.trim_end_matches('.') == *role) else {
            assert_ne!(ask(&world, &request, ANYBODY).0, 403, "{request}");
            continue;
        };
        let (status, problem) = ask(&world, &request, ANYBODY);
        assert_eq!(
            (status, &problem["type"]),
            (401, &json!("urn:tintype:unauthenticated")),
            "{request}"
        );
        let forged = format!("{ANYBODY}Authorization: Bearer tta_00_00\r\n");
        assert_eq!(ask(&world, &request, &forged).0, 401, "{request}");
        for lower in headers.iter().take(rank) {
            let (status, problem) = ask(&world, &request, lower);
            assert_eq!(
                (status, &problem["type"]),
                (403, &json!("urn:tintype:forbidden")),
                "{request}"
            );
        }
        // One ends the server, the other does not end.
        if !["POST /api/v1/shutdown", "GET /api/v1/events"].contains(&request.as_str()) {
            let (status, _) = ask(&world, &request, &headers[rank]);
            assert!(status != 401 && status != 403, "{request}: {status}");
        }
    }
    assert_eq!(world.json("status")["health"], "ok");
}

#[test]
fn every_operation_refuses_bad_bodies_methods_and_names() {
    let world = listening();
    let admin = headers_of(&world, "admin");
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    for (method, path, operation) in operations() {
        let needed = needed(&operation);
        let request = format!("{method} {}{needed}", filled(&path, "x"));
        let refused = |request: &str, more: &str, wanted: u16| {
            let (status, problem) = ask(&world, request, &format!("{admin}{more}"));
            assert_eq!(
                (status, &problem["status"]),
                (wanted, &wanted.into()),
                "{request}: {problem}"
            );
        };
        if !operation["requestBody"]["content"]["application/json"].is_null() {
            refused(&request, "Content-Length: 1\r\n\r\n{", 400);
            refused(&request, "Content-Length: 10\r\n\r\n{\"odd\": 1}", 400);
            refused(&request, &format!("Content-Length: {}\r\n", 1u64 << 40), 413);
        }
        if path.contains('{') {
            for name in ["..%2f..%2fetc%2fpasswd", "%2e%2e", "a%00b"] {
                refused(&format!("{method} {}{needed}", filled(&path, name)), "", 400);
            }
        }
        let other = METHODS.iter().find(|method| document["paths"][&path][*method].is_null());
        if let Some(other) = other {
            refused(&format!("{} {}", other.to_uppercase(), filled(&path, "x")), "", 405);
        }
    }
}

#[test]
fn the_first_secret_opens_a_session_that_goes_on_and_ends() {
    let mut world = listening();
    let secret = std::fs::read_to_string(world.path("store/admin-secret")).unwrap();
    assert!(world.log().contains("admin-secret") && !world.log().contains(secret.trim()));
    let post = |path: &str, headers: &str, body: Value| {
        let body = body.to_string();
        let headers = format!("{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        ask(&world, &format!("POST /api/v1/{path}"), &headers)
    };
    let (_, session) = post("login", ANYBODY, json!({"user": "admin", "password": secret.trim()}));
    let bearer = |session: &Value| {
        format!("{ANYBODY}Authorization: Bearer {}\r\n", session["access_token"].as_str().unwrap())
    };
    let (_, who) = ask(&world, "GET /api/v1/whoami", &bearer(&session));
    assert_eq!(who, json!({"user": "admin", "role": "admin", "by": "session"}));
    let (_, next) = post("refresh", ANYBODY, json!({"refresh_token": session["refresh_token"]}));
    assert_eq!(ask(&world, "GET /api/v1/whoami", &bearer(&session)).0, 401);
    assert_eq!(post("logout", &bearer(&next), json!({})).1["ended"], true);
    assert_eq!(ask(&world, "GET /api/v1/whoami", &bearer(&next)).0, 401);
    for _ in 0..5 {
        assert_eq!(post("login", ANYBODY, json!({"user": "admin", "password": "guess"})).0, 401);
    }
    let (status, problem) = post("login", ANYBODY, json!({"user": "admin", "password": "guess"}));
    assert_eq!((status, &problem["type"]), (429, &json!("urn:tintype:too-many")));
    // Who stays outside gets to know that the server lives, and how to talk to it.
    for path in ["healthz", "readyz", "api/v1/openapi.json"] {
        assert_eq!(ask(&world, &format!("GET /{path}"), ANYBODY).0, 200, "{path}");
    }
    world.stop("-TERM");
    world.start(&["--listen", "127.0.0.1:0"]);
    assert!(!world.log().contains("admin-secret"), "a second administrator was made");
}

#[test]
fn no_secret_is_in_the_log() {
    let mut world = World::empty();
    world.log_level = "trace";
    world.start(&["--listen", "127.0.0.1:0"]);
    std::fs::write(world.path("password"), "correct horse\n").unwrap();
    world.ok("user create a --role operator --new-password-file password");
    let made = world.json("token create t --role admin");
    let token = made["token"].as_str().unwrap();
    let body = r#"{"user":"a","password":"correct horse"}"#;
    let headers = format!("{ANYBODY}Content-Length: {}\r\n\r\n{body}", body.len());
    let (_, session) = ask(&world, "POST /api/v1/login", &headers);
    let bearer = format!("{ANYBODY}Authorization: Bearer {token}\r\n");
    assert_eq!(ask(&world, "GET /api/v1/status", &bearer).0, 200);
    let log = world.log();
    let access = session["access_token"].as_str().unwrap();
    let secrets =
        ["correct horse", token.rsplit('_').next().unwrap(), access.rsplit('_').next().unwrap()];
    assert!(!log.is_empty() && !secrets.iter().any(|secret| log.contains(secret)));
}

#[test]
fn users_and_tokens_are_managed_by_commands() {
    let world = World::up();
    std::fs::write(world.path("password"), "correct horse\n").unwrap();
    let made = world.json("user create a --role operator --new-password-file password");
    assert_eq!((&made["name"], &made["role"]), (&json!("a"), &json!("operator")));
    assert_eq!(world.json("user set a --role admin")["role"], "admin");
    assert!(world.fails("user delete a", 1).contains("last administrator"));
    assert_eq!(world.json("user list")[0]["name"], "a");
    world.ok("user password a --new-password-file password");
    let token = world.ok("token create t --role reader --expires 30d");
    assert!(token.starts_with("tta_"));
    let listed = world.json("token list");
    assert_eq!((&listed[0]["name"], &listed[0]["user"]), (&json!("t"), &Value::Null));
    assert_eq!(world.json("token delete t")["deleted"], json!(["t"]));
}

#[test]
fn another_machine_comes_in_over_tls() {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0", "--tls-self-signed"]);
    let (_, url) = world.ready.split_once("https://").unwrap();
    let url = format!("https://{}", url.split(',').next().unwrap());
    let token = world.json("token create t --role operator")["token"].clone();
    std::fs::write(world.path("token"), token.as_str().unwrap()).unwrap();
    let there = format!("--server {url} --ca store/tls/cert.pem");
    world.ok(&format!("fs create home {there} --token-file token"));
    world.ok(&format!("snapshot create home@a {there} --token-file token"));
    assert_eq!(world.json(&format!("snapshot list {there} --token-file token"))[0]["name"], "a");
    let said = world.fails(&format!("down {there} --token-file token"), 1);
    assert!(said.contains("admin"), "{said}");
    assert!(world.fails(&format!("status {there}"), 1).contains("who asks"));
    let said = world.fails(&format!("status --server {url} --token-file token"), 1);
    assert!(said.contains("is not trusted"), "{said}");
    // Images go both ways, too. A file cannot be handed over there, so it is written here, with its holes.
    world.ok(&format!("disk create d --size 1M {there} --token-file token"));
    for format in ["raw", "qcow2"] {
        world.ok(&format!("disk export d {format} --format {format} {there} --token-file token"));
        world.ok(&format!("disk import {format} from-{format} {there} --token-file token"));
    }
    let raw = std::fs::metadata(world.path("raw")).unwrap();
    assert_eq!((raw.len(), std::os::unix::fs::MetadataExt::blocks(&raw)), (1 << 20, 0));
}

#[test]
fn slow_strangers_do_not_keep_others_out() {
    let world = listening();
    let admin = headers_of(&world, "admin");
    let (_, rest) = world.ready.split_once("http://").unwrap();
    let address = rest.split(',').next().unwrap();
    // Far more than there are seats; each sends half of a head and waits.
    let many = open_files(10_000);
    let slow: Vec<TcpStream> = (0..many)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            // Those that had to make room are closed already.
            let _ = stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nHost: lo");
            stream
        })
        .collect();
    assert_eq!(ask(&world, "GET /api/v1/status", &admin).0, 200);
    assert_eq!(slow.len(), many);
}

/// Lets this process have so many files open, or as many as the system lets it, with some left for others.
fn open_files(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let maximum = limits.maximum.unwrap_or(u64::MAX);
    let current = maximum.min(wanted as u64 + 500);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limits });
    let many = wanted.min(usize::try_from(current).unwrap() - 500);
    if many < wanted {
        eprintln!("SKIPPED: only {many} connections at a time are tried: files are limited");
    }
    many
}

#[test]
fn the_manuals_example_works() {
    let manual = include_str!("../../../../docs/api.md");
    let (_, code) = manual.split_once("```python\n").unwrap();
    let mut world = World::empty();
    std::fs::write(world.path("example.py"), code.split("```").next().unwrap()).unwrap();
    world.start(&["--listen", "127.0.0.1:0", "--tls-self-signed"]);
    let (_, url) = world.ready.split_once("https://").unwrap();
    let url = format!("https://{}", url.split(',').next().unwrap());
    let token = world.ok("token create t --role operator");
    let variables = format!("TINTYPE_SERVER={url} TINTYPE_CA=store/tls/cert.pem");
    let said =
        world.shell(&format!("{variables} TINTYPE_TOKEN={} python3 example.py", token.trim()));
    assert!(said.starts_with("empty 20"), "{said}");
}

#[test]
fn everybody_changes_the_own_password() {
    let world = listening();
    std::fs::write(world.path("password"), "correct horse\n").unwrap();
    world.ok("user create a --role reader --new-password-file password");
    let post = |path: &str, headers: &str, body: Value| {
        let body = body.to_string();
        let headers = format!("{headers}Content-Length: {}\r\n\r\n{body}", body.len());
        ask(&world, &format!("POST /api/v1/{path}"), &headers)
    };
    let login = |password: &str| post("login", ANYBODY, json!({"user": "a", "password": password}));
    let (_, session) = login("correct horse");
    let own =
        format!("{ANYBODY}Authorization: Bearer {}\r\n", session["access_token"].as_str().unwrap());
    let wrong = json!({"old": "another horse", "new": "battery staple"});
    assert_eq!(post("password", &own, wrong).0, 403);
    let right = json!({"old": "correct horse", "new": "battery staple"});
    assert_eq!(post("password", &own, right.clone()).0, 200);
    assert_eq!(post("password", &own, right).0, 401, "the session goes on");
    assert_eq!((login("correct horse").0, login("battery staple").0), (401, 200));
    let shown = ask(&world, "GET /api/v1/users/a", &headers_of(&world, "admin")).1;
    assert_eq!((&shown["name"], &shown["role"]), (&json!("a"), &json!("reader")));
}

#[test]
fn a_snapshot_is_reached_by_the_kind_of_its_volume() {
    let world = listening();
    let admin = headers_of(&world, "admin");
    world.ok("fs create f");
    world.ok("disk create d --size 1M");
    let send = |method: &str, path: &str, body: Value| {
        let body = body.to_string();
        let headers = format!("{admin}Content-Length: {}\r\n\r\n{body}", body.len());
        let (status, answer) = ask(&world, &format!("{method} /api/v1{path}"), &headers);
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    };
    let wish = json!({"snapshot": "f@signed", "user": "root"});
    assert_eq!(send("POST", "/snapshots", wish)["user"], "token admin", "a name was believed");
    for (kind, volume) in [("filesystems", "f"), ("disks", "d"), ("volumes", "f")] {
        world.ok(&format!("snapshot create {volume}@a"));
        let path = format!("/{kind}/{volume}/snapshots/a");
        assert_eq!(send("GET", &path, json!({}))["name"], "a");
        assert_eq!(send("PATCH", &path, json!({"label": "l"}))["label"], "l");
        let clone = format!("{kind}-copy");
        assert_eq!(
            send("POST", &format!("{path}/clone"), json!({"name": clone}))["name"],
            clone.as_str()
        );
        let restored = send("POST", &format!("{path}/restore"), json!({}));
        assert_eq!(restored["restored"], format!("{volume}@a"));
        assert_eq!(send("DELETE", &path, json!({}))["deleted"], json!([format!("{volume}@a")]));
    }
}
