//! Schemathesis: requests that a program of others makes from the description, many of them wrong, and answers that it compares with it.
//!
//! `scripts/test` installs it; it comes from PyPI.

use tintype_testkit::programs;

use crate::world::World;

/// Seconds that it may take.
const SECONDS: &str = "75";

#[test]
fn schemathesis_finds_nothing() {
    let Some(program) = programs::find("schemathesis") else { return };
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    world.ok("fs create home");
    world.ok("disk create d --size 1M");
    world.ok("snapshot create home@a");
    let (_, address) = world.ready.split_once("http://").unwrap();
    let address = address.split(',').next().unwrap();
    // Not an administrator's: it must neither stop the server nor hide folders of this machine below mounts.
    let token = world.ok("token create fuzz --role operator");
    // The same requests in each run. It does not end what it uses itself, or follow events for ever; the other checks are about what is said well, not about what is
    // right.
    world.shell(&format!(
        "{} run http://{address}/api/v1/openapi.json -H 'Authorization: Bearer {}' \
         --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
         --exclude-operation-id follow_events --exclude-operation-id delete_token --exclude-operation-id logout \
         --phases examples,coverage,fuzzing --max-time {SECONDS} --request-timeout 20 --workers 1 \
         --generation-deterministic --max-examples 10 \
         --suppress-health-check all --warnings off --no-color > said 2>&1 || (cat said; exit 1)",
        program.display(),
        token.trim()
    ));
    assert_eq!(world.json("status")["health"], "ok");
}
