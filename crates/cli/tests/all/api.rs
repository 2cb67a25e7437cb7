//! The native API on TCP: problem documents, and who may ask.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::world::World;

fn ask(world: &World, request: &str, headers: &str) -> (u16, Value) {
    let (_, rest) = world.ready.split_once("http://").unwrap();
    let address = rest.split(',').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "{request} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[test]
fn it_answers_and_explains() {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    let local = "Host: localhost\r\n";
    assert_eq!(ask(&world, "GET /api/v1/status", local).1["health"], "ok");
    let (status, problem) = ask(&world, "GET /api/v1/filesystems/x", local);
    assert_eq!((status, &problem["status"]), (404, &404.into()));
    assert_eq!(problem["type"], "urn:tintype:not-found");
    assert_eq!(problem["object"], "filesystem x");
    assert!(problem["remedy"].as_str().unwrap().contains("fs list"));
    assert_eq!(ask(&world, "GET /nothing", local).0, 404);
    assert_eq!(ask(&world, "PUT /api/v1/status", local).0, 400);
    // Also what the router itself refuses is a problem document.
    let (status, problem) = ask(&world, "GET /api/v1/filesystems/%ff", local);
    assert_eq!((status, &problem["type"]), (400, &"urn:tintype:invalid".into()));
    assert_eq!(ask(&world, "GET /api/v1/snapshots?tga=x", local).0, 400);
    assert_eq!(ask(&world, "POST /api/v1/filesystems", local).0, 400);
}

#[test]
fn pages_of_other_origins_are_refused() {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    let foreign = "Host: localhost\r\nOrigin: https://evil.example\r\n";
    assert_eq!(ask(&world, "POST /api/v1/shutdown", foreign).0, 403);
    assert_eq!(ask(&world, "GET /api/v1/status", "Host: evil.example\r\n").0, 403);
}
