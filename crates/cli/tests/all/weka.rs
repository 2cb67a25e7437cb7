//! The API in WEKA's shape and the commands in its words.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::{ask, headers_of};
use crate::world::{World, fuse};

const ANYBODY: &str = "Host: localhost\r\n";
const CSI: &str = include_str!("csi.py");

fn listening() -> World {
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    world
}

fn send(world: &World, headers: &str, request: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let headers = format!("{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    let (method, path) = request.split_once(' ').unwrap();
    ask(world, &format!("{method} /api/v2{path}"), &headers)
}

/// An administrator's requests, which must succeed; what is in their envelopes.
struct Admin<'w> {
    world: &'w World,
    headers: String,
}

impl<'w> Admin<'w> {
    fn new(world: &'w World) -> Self {
        Self { world, headers: headers_of(world, "admin") }
    }

    fn send(&self, request: &str, body: Value) -> Value {
        let (status, told) = send(self.world, &self.headers, request, &body);
        assert_eq!(status, 200, "{request}: {told}");
        told["data"].clone()
    }

    fn get(&self, path: &str) -> Value {
        self.send(&format!("GET {path}"), json!({}))
    }

    fn refused(&self, request: &str, body: Value, status: u16) -> Value {
        let (got, told) = send(self.world, &self.headers, request, &body);
        assert_eq!(got, status, "{request}: {told}");
        assert!(told["message"].is_string() && !told["data"].is_null(), "{request}: {told}");
        told
    }

    fn uid(&self, path: &str) -> String {
        self.get(path)[0]["uid"].as_str().unwrap().to_owned()
    }
}

fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_calls_of_csi_wekafs_work() {
    let world = listening();
    let (_, rest) = world.ready.split_once("http://").unwrap();
    let address = rest.split(',').next().unwrap();
    std::fs::write(world.path("csi.py"), CSI).unwrap();
    let told = world
        .shell(&format!("python3 csi.py http://{address} admin \"$(cat store/admin-secret)\""));
    assert_eq!(told, "ok\n");
}

/// The members that WEKA's clients decode, as they are written there.
#[test]
fn answers_have_the_recorded_shapes() {
    let world = listening();
    world.ok("fs create home");
    world.ok("snapshot create home@a");
    let admin = Admin::new(&world);
    let has = |value: &Value, recorded: &str| {
        let (told, wanted) = (members(value), recorded.split_whitespace().collect::<BTreeSet<_>>());
        let missing: Vec<_> = wanted.difference(&told).collect();
        assert!(missing.is_empty(), "{missing:?} in {value}");
    };
    has(
        &admin.get("/snapshots")[0],
        "uid id name filesystem filesystemId filesystemUid accessPoint isWritable isRemoving \
         creationTime locator stowStatus progress multiObs type",
    );
    has(
        &admin.get("/fileSystems")[0],
        "id name uid is_removing group_id is_creating free_total is_encrypted metadata_budget \
         used_total_data used_total ssd_budget is_ready group_name available_total status \
         used_ssd_metadata auth_required available_ssd_metadata total_budget used_ssd_data \
         available_ssd free_ssd is_thinly_provisioned thin_provisioning_min_ssd \
         thin_provisioning_max_ssd obs_buckets object_storages kms_key_identifier kms_namespace \
         kms_role auto_max_files used_ssd",
    );
    has(&admin.get("/users/whoami"), "org_id username source uid role org_name");
    has(&admin.get("/cluster"), "name guid release release_hash init_stage capacity");
    has(&admin.get("/cluster")["capacity"], "total_bytes hot_spare_bytes unprovisioned_bytes");
    has(&admin.get("/security/defaultTokensExpiry"), "access_token_expiry refresh_token_expiry");
    let home = admin.uid("/fileSystems?name=home");
    let quota = admin.send(
        &format!("PATCH /fileSystems/{home}/quota/1"),
        json!({"hard_limit_bytes": 1 << 30, "owner": "me"}),
    );
    has(
        &quota,
        "quota_id inode_id full_path total_bytes time_over_soft_limit owner data_blocks \
         grace_seconds hard_limit_bytes snapName snap_view_id path fsName metadata_blocks \
         soft_limit_bytes status",
    );
    assert_eq!((&quota["full_path"], &quota["owner"]), (&"home:/".into(), &"me".into()));
    // The same after a restart: uids are kept by whoever uses them.
    let snapshot = admin.uid("/snapshots?name=a");
    assert_eq!(admin.get(&format!("/snapshots/{snapshot}"))["filesystemUid"], home.as_str());
    let guid = admin.get("/cluster")["guid"].clone();
    drop(admin);
    let mut world = world;
    world.stop("-KILL");
    world.start(&["--listen", "127.0.0.1:0"]);
    let local = "curl -sf --unix-socket socket http://h/api/v2";
    let cluster: Value = serde_json::from_str(&world.shell(&format!("{local}/cluster"))).unwrap();
    assert_eq!(cluster["data"]["guid"], guid);
    assert!(world.shell(&format!("{local}/snapshots/{snapshot}")).contains("\"name\":\"a\""));
}

/// Each operation: method and path, and the role that it needs.
const OPERATIONS: [(&str, &str); 38] = [
    ("POST /login", ""),
    ("POST /login/refresh", ""),
    ("GET /security/defaultTokensExpiry", "reader"),
    ("GET /users/whoami", "reader"),
    ("GET /cluster", "reader"),
    ("GET /containers", "reader"),
    ("GET /fileSystems", "reader"),
    ("POST /fileSystems", "operator"),
    ("GET /fileSystems/{uid}", "reader"),
    ("PUT /fileSystems/{uid}", "operator"),
    ("DELETE /fileSystems/{uid}", "operator"),
    ("GET /fileSystems/{uid}/resolvePath", "reader"),
    ("GET /fileSystems/{uid}/mountToken", "reader"),
    ("GET /fileSystems/{uid}/quota", "reader"),
    ("GET /fileSystems/{uid}/quota/1", "reader"),
    ("PUT /fileSystems/{uid}/quota/1", "admin"),
    ("PATCH /fileSystems/{uid}/quota/1", "admin"),
    ("DELETE /fileSystems/{uid}/quota/1", "admin"),
    ("GET /snapshots", "reader"),
    ("POST /snapshots", "operator"),
    ("GET /snapshots/{uid}", "reader"),
    ("PUT /snapshots/{uid}", "operator"),
    ("DELETE /snapshots/{uid}", "operator"),
    ("POST /snapshots/{uid}/copy", "operator"),
    ("POST /snapshots/{uid}/{uid}/restore", "operator"),
    ("GET /snapshots/accessPointNamingConvention", "reader"),
    ("PUT /snapshots/accessPointNamingConvention", "admin"),
    ("POST /snapshots/diff/prepare", "reader"),
    ("POST /snapshots/diff/getResults", "reader"),
    ("GET /snapshotPolicy", "reader"),
    ("POST /snapshotPolicy", "operator"),
    ("GET /snapshotPolicy/{uid}", "reader"),
    ("PUT /snapshotPolicy/{uid}", "operator"),
    ("DELETE /snapshotPolicy/{uid}", "operator"),
    ("GET /snapshotPolicy/{uid}/filesystems", "reader"),
    ("POST /snapshotPolicy/{uid}/filesystems/attach", "operator"),
    ("POST /snapshotPolicy/{uid}/duplicate", "operator"),
    ("POST /snapshotPolicy/{uid}/runOnce", "operator"),
];

#[test]
fn every_operation_of_the_weka_api_refuses_what_it_must() {
    let world = listening();
    let roles = ["reader", "operator", "admin"];
    let headers = roles.map(|role| headers_of(&world, role));
    let manual = include_str!("../../../../docs/weka.md");
    let unknown = "01020304-0506-8001-8000-000000000001";
    for (operation, needs) in OPERATIONS {
        assert!(manual.contains(&format!("| `{operation}` |")), "docs/weka.md lacks {operation}");
        let request = operation.replace("{uid}", unknown);
        let status = |headers: &str, request: &str| {
            let (status, told) = send(&world, headers, request, &json!({}));
            assert!(status == 200 || told["message"].is_string(), "{request}: {told}");
            status
        };
        let rank = roles.iter().position(|role| *role == needs);
        if let Some(rank) = rank {
            assert_eq!(status(ANYBODY, &request), 401, "{request}");
            for lower in headers.iter().take(rank) {
                assert_eq!(status(lower, &request), 403, "{request}");
            }
        }
        let own = rank.map_or(ANYBODY, |rank| headers[rank].as_str());
        let got = status(own, &request);
        let fine = if operation.contains("{uid}") { [404, 400] } else { [200, 400] };
        assert!(fine.contains(&got), "{request}: {got}");
        let refused = |request: &str, more: &str, wanted: u16| {
            let (method, path) = request.split_once(' ').unwrap();
            let request = format!("{method} /api/v2{path}");
            let (got, told) = ask(&world, &request, &format!("{own}{more}"));
            assert_eq!(got, wanted, "{request}: {told}");
            assert!(told["message"].is_string(), "{request}: {told}");
        };
        refused(&request, "Content-Length: 1\r\n\r\n{", 400);
        refused(&request, &format!("Content-Length: {}\r\n", 1u64 << 40), 413);
        for name in ["..%2f..%2fetc%2fpasswd", "%2e%2e", "a%00b", "%ff"] {
            if operation.contains("{uid}") {
                refused(&operation.replace("{uid}", name), "", 400);
            }
        }
        let (_, path) = request.split_once(' ').unwrap();
        refused(&format!("TRACE {path}"), "", 405);
    }
    let (status, told) = send(&world, &headers[2], "GET /nothing", &json!({}));
    assert_eq!((status, told["message"].is_string()), (404, true));
    assert_eq!(world.json("status")["health"], "ok");
}

#[test]
fn snapshots_are_copied_over_one_another_and_restored_with_what_was_there_kept() {
    let world = listening();
    world.ok("fs create home");
    world.ok("disk create d --size 1M");
    world.ok("snapshot create d@of-a-disk");
    let admin = Admin::new(&world);
    let home = admin.uid("/fileSystems?name=home");
    let add = |name: &str, writable: bool| {
        let wish = json!({"fs_uid": home, "name": name, "is_writable": writable});
        admin.send("POST /snapshots", wish)
    };
    let (one, two) = (add("one", false), add("two", true));
    assert!(one["accessPoint"].as_str().unwrap().starts_with("@GMT-"));
    let of = |snapshot: &Value| snapshot["uid"].as_str().unwrap().to_owned();
    let copy = format!("POST /snapshots/{}/copy", of(&one));
    let wish = json!({"destination_name": "two", "preserved_overwritten_snapshot_name": "old"});
    let copied = admin.send(&copy, wish.clone());
    assert_eq!((&copied["name"], &copied["isWritable"]), (&"two".into(), &true.into()));
    assert_eq!(copied["accessPoint"], two["accessPoint"]);
    let old = admin.get("/snapshots?name=old");
    assert_eq!((&old[0]["uid"], &old[0]["accessPoint"]), (&two["uid"], &"old".into()));
    // The name for what is overwritten is taken: everything is as it was.
    let before = admin.get("/snapshots");
    admin.refused(&copy, wish, 409);
    admin.refused(&copy, json!({"destination_name": "none"}), 404);
    admin.refused(&copy, json!({"destination_name": "one"}), 400);
    admin.refused(&copy, json!({}), 400);
    assert_eq!(admin.get("/snapshots"), before);
    admin.send(&copy, json!({"destination_name": "two"}));
    assert_eq!(admin.get("/snapshots").as_array().unwrap().len(), 3);
    // A protected one is not overwritten unless it is kept.
    world.ok("snapshot update home@old --delete-never");
    admin.refused(&copy, json!({"destination_name": "old"}), 403);
    let restore = format!("POST /snapshots/{home}/{}/restore", of(&one));
    let wish = json!({
        "preserved_overwritten_snapshot_name": "was",
        "preserved_overwritten_snapshot_access_point": "there",
    });
    assert_eq!(admin.send(&restore, wish.clone())["uid"], one["uid"]);
    assert_eq!(admin.get("/snapshots?name=was")[0]["accessPoint"], "there");
    admin.refused(&restore, wish, 409);
    // Snapshots of disks are no snapshots of filesystems, and the other way round.
    assert_eq!(admin.get("/snapshots?name=of-a-disk"), json!([]));
    world.ok("fs create other");
    let other = admin.uid("/fileSystems?name=other");
    admin.refused(&format!("POST /snapshots/{other}/{}/restore", of(&one)), json!({}), 404);
    admin.refused(&format!("GET /fileSystems/{}", of(&one)), json!({}), 404);
    admin.send(
        "PUT /snapshots/accessPointNamingConvention",
        json!({"access_point_naming_convention": "name"}),
    );
    assert_eq!(add("three", false)["accessPoint"], "three");
}

#[test]
fn policies_have_the_documents_of_wekas_command_line() {
    let world = listening();
    world.ok("fs create home");
    let admin = Admin::new(&world);
    let document = json!({
        "name": "Policy1", "description": "d", "enabled": true, "filesystems": [],
        "daily": {"enable": true, "days": "monday, friday", "time": "22:05", "retention": 7, "upload": "none"},
    });
    let made = admin.send("POST /snapshotPolicy", document);
    assert_eq!((&made["name"], &made["daily"]["time"]), (&"Policy1".into(), &"22:05".into()));
    let path = format!("/snapshotPolicy/{}", made["uid"].as_str().unwrap());
    assert_eq!(admin.get(&path), made);
    let home = admin.uid("/fileSystems?name=home");
    let attach = format!("POST {path}/filesystems/attach");
    admin.send(&attach, json!({"fs_uids": [home]}));
    assert_eq!(admin.get(&format!("{path}/filesystems")), json!(["home"]));
    let ran = admin.send(&format!("POST {path}/runOnce"), json!({"schedule_type": "daily"}));
    assert_eq!(ran["snapshots"].as_array().unwrap().len(), 1, "{ran}");
    // What was told is taken back as it is.
    let mut told = admin.get(&path);
    told["daily"]["retention"] = 9.into();
    assert_eq!(admin.send(&format!("PUT {path}"), told)["daily"]["retention"], 9);
    let wish = json!({"new_name": "Copy", "include_attached_filesystems": true});
    let copy = admin.send(&format!("POST {path}/duplicate"), wish);
    assert_eq!((&copy["filesystems"], &copy["daily"]["retention"]), (&json!(["home"]), &9.into()));
    admin.refused(&format!("DELETE {path}"), json!({}), 409);
    admin.send(&format!("POST {path}/filesystems/detach"), json!({"filesystems": ["home"]}));
    admin.send(&format!("DELETE {path}"), json!({}));
    admin.refused(&format!("GET {path}"), json!({}), 404);
    assert_eq!(admin.get("/snapshotPolicy").as_array().unwrap().len(), 1);
}

/// What a list must hold, as the native API tells it.
fn wanted(world: &World, from: &str, to: &str) -> BTreeSet<(String, String, u64)> {
    let diff = world.json(&format!("snapshot diff {from} {to}"));
    let told = |entry: &Value| {
        let kind = match entry["change"].as_str().unwrap() {
            "added" => "ADD",
            "modified" => "MODIFY",
            "deleted" => "DELETE",
            "renamed" => "RENAME",
            other => other,
        };
        let op = format!("{}_{kind}", entry["object"].as_str().unwrap()).to_uppercase();
        (op, entry["path"].as_str().unwrap().to_owned(), entry["size"].as_u64().unwrap())
    };
    diff["entries"].as_array().unwrap().iter().map(told).collect()
}

#[test]
fn a_change_list_is_read_by_four_across_kills_while_programs_write() {
    if !fuse() {
        return;
    }
    let mut world = World::empty();
    world.start(&["--listen", "127.0.0.1:0"]);
    world.ok("fs create home --mount home");
    world.shell(
        "cd home; mkdir -p a/b c; for n in $(seq 300); do echo $n > a/b/$n; done; ln a/b/1 c/link",
    );
    world.ok("snapshot create home@one");
    world.shell(
        "cd home; for n in $(seq 1 3 300); do echo more >> a/b/$n; done; mv a/b c/moved; rm c/moved/2; \
         rm c/moved/5; echo new > c/moved/5; for n in $(seq 200); do : > a/new$n; done; \
         ln -s x c/symlink; chmod 600 c/moved/3",
    );
    let pairs = [("home@one", "home"), ("home", "home@one")];
    for (from, to) in pairs {
        let want = wanted(&world, from, to);
        assert!(want.len() > 300, "{}", want.len());
        let admin = headers_of_once(&world);
        let post = |world: &World, path: &str, body: Value| {
            let (status, told) = send(world, &admin, &format!("POST {path}"), &body);
            assert_eq!(status, 200, "{told}");
            told["data"].clone()
        };
        let get = |path: &str| {
            let (_, told) = send(&world, &admin, &format!("GET {path}"), &json!({}));
            told["data"][0]["uid"].clone()
        };
        let one = get("/snapshots?name=one");
        let uid = |moment: &str| if moment == "home" { Value::Null } else { one.clone() };
        let wish = json!({
            "fs_uid": get("/fileSystems?name=home"), "base_snap_uid": uid(from),
            "target_snap_uid": uid(to), "parallelism": 4,
        });
        let prepared = post(&world, "/snapshots/diff/prepare", wish);
        let cookies = prepared["cookies"].as_array().unwrap().clone();
        assert_eq!(cookies.len(), 4);
        world.shell("cd home; rm -rf a/new*; for n in $(seq 100); do echo x > late$n; done");
        let read = |world: &World, cookie: &Value, resume: &Value, limit: u32| {
            let wish = json!({"cookie": cookie, "resume_token": resume, "limit": limit});
            post(world, "/snapshots/diff/getResults", wish)
        };
        let first: Vec<Value> =
            cookies.iter().map(|cookie| read(&world, cookie, &Value::Null, 7)).collect();
        world.stop("-KILL");
        world.start(&["--listen", "127.0.0.1:0"]);
        let ends = &world;
        let rest: Vec<Vec<Value>> = std::thread::scope(|scope| {
            let readers: Vec<_> = cookies
                .iter()
                .zip(&first)
                .map(|(cookie, first)| {
                    let read = &read;
                    scope.spawn(move || {
                        let (mut all, mut at) = (Vec::new(), first.clone());
                        while !at["resume_token"].is_null() {
                            at = read(ends, cookie, &at["resume_token"], 20);
                            all.push(at.clone());
                        }
                        all
                    })
                })
                .collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        let pages = first.iter().chain(rest.iter().flatten());
        let entries: Vec<&Value> =
            pages.flat_map(|page| page["entries"].as_array().unwrap()).collect();
        let told = |entry: &&Value| {
            assert_eq!(entry["isRenamed"], entry["opType"].as_str().unwrap().ends_with("_RENAME"));
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            (text("opType"), text("path"), entry["size"].as_u64().unwrap())
        };
        let got: BTreeSet<_> = entries.iter().map(told).collect();
        assert_eq!(got.len(), entries.len(), "an entry came twice");
        assert_eq!(got, want, "{from} {to}");
        world.shell("cd home; rm -f late*; for n in $(seq 200); do : > a/new$n; done");
    }
    let headers = headers_of_once(&world);
    let refused = |body: Value, wanted: u16| {
        let (status, told) = send(&world, &headers, "POST /snapshots/diff/getResults", &body);
        assert_eq!(status, wanted, "{told}");
    };
    refused(json!({}), 400);
    refused(json!({"cookie": "x"}), 400);
    refused(json!({"cookie": "00.0.1"}), 404);
}

/// A token that outlives the server.
fn headers_of_once(world: &World) -> String {
    let name = format!("t{}", world.json("token list").as_array().unwrap().len());
    let made = world.json(&format!("token create {name} --role admin"));
    format!("{ANYBODY}Authorization: Bearer {}\r\n", made["token"].as_str().unwrap())
}

#[test]
fn the_commands_of_wekas_command_line_are_understood() {
    let world = World::up();
    world.ok("fs create home");
    let made = world.json("weka fs snapshot add home a --access-point x");
    assert_eq!((&made["name"], &made["accessPoint"]), (&"a".into(), &"x".into()));
    let heads = world.ok("weka fs snapshot create home b --is-writable --source-snapshot a");
    assert!(heads.starts_with("id") && heads.contains("writable") && heads.contains("True"));
    let list = world.ok("weka fs snapshot -o name,access,writable --no-header");
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = list.lines().map(line).collect();
    assert_eq!((lines[0].as_str(), lines.len()), ("a x False", 2));
    assert_eq!(
        world.json("weka fs snapshot list --file-system home --name b")[0]["isWritable"],
        true
    );
    let all = world.ok("weka fs snapshot -o all");
    let heads: Vec<&str> = all.lines().next().unwrap().split_whitespace().collect();
    assert_eq!((heads.len(), heads[0], heads[19]), (20, "uid", "dependents"));
    assert!(world.fails("weka fs snapshot -o size", 2).contains("reclaimable"));
    let updated = world.json("weka fs snapshot update home a --new-name c --access-point y");
    assert_eq!((&updated["name"], &updated["accessPoint"]), (&"c".into(), &"y".into()));
    world.ok("weka fs snapshot copy home c b --preserved-overwritten-snapshot-name d");
    let restored = world.json("weka fs restore home c --preserved-overwritten-snapshot-name e");
    assert_eq!(restored["name"], "c");
    // Nobody is there to confirm it.
    let asked = world.fails("weka fs snapshot remove home c", 2);
    assert!(asked.contains("--force"), "{asked}");
    assert!(world.fails("weka fs restore home c", 2).contains("--force"));
    world.ok("weka fs restore home c --force");
    world.ok("weka fs snapshot delete home c -f");
    assert!(world.fails("weka fs snapshot remove home c -f", 1).contains("home@c"));
    assert!(world.fails("weka fs snapshot add none a", 1).contains("filesystem none"));
    assert!(world.fails("weka fs snapshot add home d", 1).contains("already exists"));
    let naming = "weka fs snapshot access-point-naming-convention";
    assert_eq!(world.ok(&format!("{naming} status")), "date\n");
    world.ok(&format!("{naming} update NAME"));
    assert_eq!(world.json("weka fs snapshot add home named")["accessPoint"], "named");
}
