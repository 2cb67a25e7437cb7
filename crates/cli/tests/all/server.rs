//! Starting, stopping, and what is said when that goes wrong.

use crate::world::World;

#[test]
fn it_says_that_it_is_ready_and_where() {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    assert!(world.ready.starts_with("ready"), "{}", world.ready);
    assert!(world.ready.contains(world.path("socket").to_str().unwrap()));
    assert!(world.ready.contains("http://127.0.0.1:"));
    assert_eq!(world.json("status")["health"], "ok");
}

#[test]
fn it_stops_on_signals_and_on_down() {
    let mut world = World::up();
    for signal in ["-TERM", "-INT"] {
        assert_eq!(world.stop(signal), Some(0), "{signal}");
        assert!(!world.path("socket").exists());
        world.start(&[]);
    }
    let pid = world.pid();
    assert_eq!(world.json("down")["stopped"], pid);
    assert_eq!(world.wait(), Some(0));
}

#[test]
fn a_second_server_learns_who_holds_the_store() {
    let world = World::up();
    let other = world.path("other").display().to_string();
    let said = world.fails(&format!("up --store store --socket {other}"), 1);
    assert!(said.contains(&format!("process {}", world.pid())), "{said}");
    assert!(said.contains("tintype down"), "{said}");
}

#[test]
fn another_store_cannot_take_the_socket() {
    let world = World::up();
    let said = world.fails("up --store second", 1);
    assert!(said.contains("another server listens on it"), "{said}");
    assert_eq!(world.json("status")["health"], "ok");
    assert!(!world.path("second").exists(), "a store was made for nothing");
}

#[test]
fn addresses_that_others_can_reach_need_encryption() {
    let world = World::empty();
    let said = world.fails("up --store store --listen 0.0.0.0:0", 2);
    assert!(said.contains("0.0.0.0:0") && said.contains("--tls-cert"), "{said}");
    assert!(!world.path("store").exists());
}

#[test]
fn without_a_server_commands_say_how_to_start_one() {
    let world = World::empty();
    let said = world.fails("fs list", 1);
    assert!(said.contains("no server answers") && said.contains("tintype up"), "{said}");
}

#[test]
fn what_was_made_is_there_after_a_kill() {
    let mut world = World::up();
    world.ok("fs create home");
    world.ok("snapshot create home@a --tag x");
    world.stop("-KILL");
    world.start(&[]);
    assert_eq!(world.json("snapshot list")[0]["name"], "a");
    world.ok("down");
    assert!(world.ok("fsck --store store").contains("consistent"));
    assert!(world.ok("scrub --store store").contains("nothing is damaged"));
}

#[test]
fn a_store_in_use_is_not_checked_behind_the_servers_back() {
    let world = World::up();
    assert!(world.fails("fsck --store store", 1).contains("holds it"));
    assert!(world.ok("fsck").contains("consistent"));
}
