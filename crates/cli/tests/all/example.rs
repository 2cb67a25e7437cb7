//! The example of a client in Rust: what stands between the marks stands in docs/api.md too, and works.

use crate::world::World;

// begin
use serde_json::{Value, json};

/// Makes a filesystem and a snapshot of it, and lists its snapshots.
fn photos(server: &str, token: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let bearer = format!("Bearer {token}");
    let post = |path: &str, body: Value| -> Result<Value, Box<dyn std::error::Error>> {
        let request = ureq::post(format!("{server}/api/v1{path}"));
        let request = request.header("Authorization", &bearer).header("Idempotency-Key", path);
        let mut answer = request.send(body.to_string())?;
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    };
    post("/filesystems", json!({"name": "photos"}))?;
    post("/snapshots", json!({"snapshot": "photos@empty"}))?;
    let list = ureq::get(format!("{server}/api/v1/snapshots?filesystem=photos"));
    let mut answer = list.header("Authorization", &bearer).call()?;
    let list: Vec<Value> = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
    Ok(list.iter().map(|snapshot| snapshot["name"].to_string()).collect())
}
// end

#[test]
fn the_manuals_example_in_rust_works() {
    let (_, code) = include_str!("example.rs").split_once("// begin\n").unwrap();
    let code = code.split("// end").next().unwrap();
    let manual = include_str!("../../../../docs/api.md");
    assert!(manual.contains(&format!("```rust\n{code}```")), "docs/api.md shows another one");
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    let (_, address) = world.ready.split_once("http://").unwrap();
    let server = format!("http://{}", address.split(',').next().unwrap());
    let token = world.ok("token create t --role operator");
    // The second time the keys of the requests are known.
    for _ in 0..2 {
        assert_eq!(photos(&server, token.trim()).unwrap(), ["\"empty\""]);
    }
}
