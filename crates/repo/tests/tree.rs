//! Trees: golden bytes, round trips of anything, hostile input, and speed (ignored).

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::collection::vec;
use proptest::prelude::*;
use tintype_repo::{
    BlobId, Damage, ExtendedAttribute, GoMode, GoTime, NameProblem, Node, NodeKind, TreeDecoder,
    TreeEncoder, TreeError, decode_tree, encode_tree, reencodes_identically,
};

const GOLDEN: &str = concat!(
    r#"{"nodes":[{"name":"a.txt","type":"file","mode":420,"mtime":"2026-01-02T03:04:05.5Z","atime":"2026-01-02T03:04:05.5Z","#,
    r#""ctime":"2026-01-02T03:04:05.5Z","uid":0,"gid":0,"size":15,"links":1,"#,
    r#""content":["8e135f9cc7cff0efaf66489148f101005086b9c9e9e08936ade533b1a31a760c"]}]}"#,
    "\n"
);

fn golden_node() -> Node {
    let time = "2026-01-02T03:04:05.5Z".parse().unwrap();
    Node {
        name: b"a.txt".to_vec(),
        mode: GoMode(420),
        mtime: time,
        atime: time,
        ctime: time,
        size: 15,
        links: 1,
        content: Some(vec![BlobId::of(b"hello, tintype\n")]),
        ..Node::default()
    }
}

#[test]
fn the_golden_tree() {
    let bytes = encode_tree([&golden_node()]).unwrap();
    assert_eq!(std::str::from_utf8(&bytes).unwrap(), GOLDEN);
    assert_eq!(
        BlobId::of(&bytes).to_string(),
        "20e60cb65b6ca2275254ce4278663a92ca80e64eacad2d93835b4cc8ca6798e2"
    );
    assert_eq!(decode_tree(&bytes).unwrap(), [golden_node()]);
    assert_eq!(encode_tree([]).unwrap(), b"{\"nodes\":[]}\n");
}

#[test]
fn all_fields_in_their_order() {
    let time = GoTime { seconds: -1, nanos: 500_000_000, offset: 0 };
    let id = BlobId::of(b"x");
    let node = Node {
        name: b"weird\\\"\t\xff\xc3\xa9\xe2\x80\xa8 name".to_vec(),
        kind: NodeKind::Symlink,
        mode: GoMode(0o777 | 1 << 27),
        mtime: time,
        atime: GoTime { offset: 3600, ..time },
        ctime: GoTime::ZERO,
        uid: u32::MAX,
        gid: 1,
        user: Some("a<b".into()),
        group: Some("g".into()),
        inode: u64::MAX,
        device_id: 2,
        size: 3,
        links: 4,
        linktarget: b"to \xff".to_vec(),
        extended_attributes: vec![
            ExtendedAttribute { name: b"user.foo".to_vec(), value: Some(b"bar\x00\xff".to_vec()) },
            ExtendedAttribute { name: b"user.empty".to_vec(), value: Some(Vec::new()) },
            ExtendedAttribute { name: b"user.none".to_vec(), value: None },
        ],
        generic_attributes: Some(r#"{"windows.file_attributes":32}"#.into()),
        device: 5,
        content: None,
        subtree: Some(id),
        error: Some("bad".into()),
        unknown: Some(r#""new":[1,{"x":null}],"other":"y""#.into()),
    };
    let expected = [
        r#"{"nodes":[{"name":"weird\\\\\\\"\\t\\xffé\\u2028 name","type":"symlink","mode":134218239,"mtime":"1969-12-31T23:59:59.5Z","#,
        r#""atime":"1970-01-01T00:59:59.5+01:00","ctime":"0001-01-01T00:00:00Z","uid":4294967295,"gid":1,"user":"a\u003cb","group":"g","#,
        r#""inode":18446744073709551615,"device_id":2,"size":3,"links":4,"linktarget":"to \ufffd","linktarget_raw":"dG8g/w==","#,
        r#""extended_attributes":[{"name":"user.foo","value":"YmFyAP8="},{"name":"user.empty","value":""},{"name":"user.none","value":null}],"#,
        r#""generic_attributes":{"windows.file_attributes":32},"device":5,"content":null,"subtree":"#,
        &format!("\"{id}\""),
        r#","error":"bad","new":[1,{"x":null}],"other":"y"}]}"#,
        "\n",
    ]
    .concat();
    let bytes = encode_tree([&node]).unwrap();
    assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
    assert_eq!(decode_tree(&bytes).unwrap(), [node]);
    assert_eq!(reencodes_identically(&bytes), Ok(true));
}

#[test]
fn the_encoder_refuses_what_is_out_of_order() {
    let named = |name: &[u8]| Node { name: name.to_vec(), ..Node::default() };
    let problem = |names: &[&[u8]]| {
        let nodes: Vec<_> = names.iter().map(|name| named(name)).collect();
        match encode_tree(&nodes) {
            Err(TreeError::Entry(problem)) => Some(problem.problem),
            other => other.map(|_| None).unwrap(),
        }
    };
    assert_eq!(problem(&[b"a", b"a\xff", b"b", b"\xc3\xa9", b"\xff"]), None);
    assert_eq!(problem(&[b"b", b"a"]), Some(NameProblem::Unsorted));
    assert_eq!(problem(&[b"a", b"a"]), Some(NameProblem::Duplicate));
    assert_eq!(problem(&[b""]), Some(NameProblem::Empty));
    assert_eq!(problem(&[b".."]), Some(NameProblem::Dots));
    assert_eq!(problem(&[b"a/b"]), Some(NameProblem::Slash));
    assert_eq!(problem(&[b"a\0b"]), Some(NameProblem::Nul));
    let mut encoder = TreeEncoder::new();
    encoder.push(&named(b"b")).unwrap();
    assert!(encoder.push(&named(b"a")).is_err());
    encoder.push(&named(b"c")).unwrap();
    assert_eq!(decode_tree(&encoder.finish()).unwrap().len(), 2);
}

#[test]
fn wrong_names_are_refused_or_told_of() {
    let tree = |names: &[&str]| {
        let nodes: Vec<_> = names
            .iter()
            .map(|name| format!(r#"{{"name":"{name}","type":"file","content":[]}}"#))
            .collect();
        format!("{{\"nodes\":[{}]}}\n", nodes.join(","))
    };
    let cases: [(&[&str], NameProblem); 8] = [
        (&[""], NameProblem::Empty),
        (&["."], NameProblem::Dots),
        (&["\\\\x2e."], NameProblem::Dots),
        (&["../etc/passwd"], NameProblem::Slash),
        (&["a\\\\x2fb"], NameProblem::Slash),
        (&["a\\\\x00b"], NameProblem::Nul),
        (&["a", "a"], NameProblem::Duplicate),
        (&["b", "a"], NameProblem::Unsorted),
    ];
    for (names, expected) in cases {
        let text = tree(names);
        assert!(
            matches!(decode_tree(text.as_bytes()), Err(TreeError::Entry(problem)) if problem.problem == expected),
            "{text}"
        );
        let mut decoder = TreeDecoder::tolerant(text.as_bytes());
        assert_eq!(decoder.by_ref().filter(Result::is_ok).count(), names.len());
        assert_eq!(
            decoder.problems().iter().map(|problem| problem.problem).collect::<Vec<_>>(),
            [expected]
        );
    }
    let many = tree(&["same"; 500]);
    let mut decoder = TreeDecoder::tolerant(many.as_bytes());
    assert_eq!(decoder.by_ref().filter(Result::is_ok).count(), 500);
    assert_eq!(decoder.problems().len(), 100);
}

#[test]
fn other_programs_forms_are_read() {
    let text = r#" { "future" : {"x":[1,2]}, "nodes" : [ {"type":"dir", "name":"d", "subtree":null, "uid":null, "mtime":"2026-01-02" },
        {"name":"e\"f","type":"symlink","linktarget_raw":"/w==","linktarget":"\ufffd","extended_attributes":null,"content":null} ] , "z":1 } "#;
    let nodes = decode_tree(text.as_bytes());
    assert!(matches!(nodes, Err(TreeError::Syntax { field: "name", entry: 1, .. })), "{nodes:?}");
    let nodes = decode_tree(text.replace("e\\\"f", "e\\\\\\\"f").as_bytes()).unwrap();
    assert_eq!(nodes[0].damage(), Some(Damage::NoSubtree));
    assert_eq!(nodes[0].atime, GoTime::ZERO);
    assert_eq!((&nodes[1].name[..], &nodes[1].linktarget[..]), (&b"e\"f"[..], &b"\xff"[..]));
    assert_eq!(decode_tree(b"{\"nodes\":null}").unwrap(), []);
    assert_eq!(reencodes_identically(b"{\"nodes\": []}\n"), Ok(false));
}

#[test]
fn hostile_trees_are_refused_with_the_place() {
    let cases = [
        ("", 0, "nodes"),
        ("{}", 1, "nodes"),
        ("[]", 0, "nodes"),
        (r#"{"nodes":[]"#, 11, "nodes"),
        (r#"{"nodes":[]}x"#, 12, "nodes"),
        (r#"{"nodes":[],"nodes":[]}"#, 20, "nodes"),
        (r#"{"nodes":[{"name":"a","uid":-1}]}"#, 28, "uid"),
        (r#"{"nodes":[{"name":"a","uid":4294967296}]}"#, 28, "uid"),
        (r#"{"nodes":[{"name":"a","size":1e3}]}"#, 29, "size"),
        (r#"{"nodes":[{"name":"a","size":99999999999999999999}]}"#, 29, "size"),
        (r#"{"nodes":[{"name":"a","content":["12"]}]}"#, 33, "content"),
        (r#"{"nodes":[{"name":"a","mtime":"yesterday"}]}"#, 41, "mtime"),
        (r#"{"nodes":[{"name":"\\q"}]}"#, 23, "name"),
        (r#"{"nodes":[{"name":7}]}"#, 18, "name"),
        (r#"{"nodes":[{"extended_attributes":[{"value":"!"}]}]}"#, 46, "extended_attributes"),
        (r#"{"nodes":[{"generic_attributes":[]}]}"#, 32, "generic_attributes"),
        (r#"{"nodes":[{"new":tru}]}"#, 17, "(unknown)"),
        (r#"{"nodes":[{"name":"a"},]}"#, 23, "nodes"),
    ];
    for (text, at, key) in cases {
        match decode_tree(text.as_bytes()) {
            Err(TreeError::Syntax { position, field, .. }) => {
                assert_eq!((position, field), (at, key), "{text}")
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    let deep = format!(r#"{{"nodes":[{{"name":"a","x":{}"#, "[{\"y\":".repeat(1_000_000));
    assert!(matches!(
        decode_tree(deep.as_bytes()),
        Err(TreeError::Syntax { reason: "nested too deeply", .. })
    ));
    // Work grows with the length only, also for keys that nobody knows.
    let many = format!(r#"{{"nodes":[{{"name":"a"{}}}]}}"#, r#","x":1"#.repeat(500_000));
    assert_eq!(
        decode_tree(many.as_bytes()).unwrap()[0].unknown.as_deref().map(str::len),
        Some(2_999_999)
    );
    for end in 0..GOLDEN.len() - 2 {
        assert!(decode_tree(&GOLDEN.as_bytes()[..end]).is_err(), "{end}");
    }
    assert!(decode_tree(b"{\"nodes\":[\xff]}").is_err());
}

fn any_time() -> impl Strategy<Value = GoTime> {
    let times = (-62_167_100_000i64..253_402_200_000, 0u32..1_000_000_000, -1439i32..1440);
    prop_oneof![
        times.prop_map(|(seconds, nanos, minutes)| GoTime { seconds, nanos, offset: minutes * 60 }),
        (0i64..2_000_000_000).prop_map(|seconds| GoTime::utc(seconds, 0)),
    ]
}

fn any_kind() -> impl Strategy<Value = NodeKind> {
    prop_oneof![
        Just(NodeKind::File),
        Just(NodeKind::Dir),
        Just(NodeKind::Symlink),
        Just(NodeKind::Device),
        Just(NodeKind::CharDevice),
        Just(NodeKind::Fifo),
        Just(NodeKind::Socket),
        Just(NodeKind::Irregular),
        Just(NodeKind::Other("".into())),
        Just(NodeKind::Other("new<kind>".into())),
    ]
}

fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let legal = |name: &Vec<u8>| NameProblem::of_name(name).is_none();
    prop_oneof![vec(1u8..=255, 1..20), "[^/\0]{1,12}".prop_map(String::into_bytes)]
        .prop_filter("a legal name", legal)
}

fn any_attribute() -> impl Strategy<Value = ExtendedAttribute> {
    (".{1,10}", proptest::option::of(vec(any::<u8>(), 0..40)))
        .prop_map(|(name, value)| ExtendedAttribute { name: name.into_bytes(), value })
}

fn any_node() -> impl Strategy<Value = Node> {
    let ids = || any::<u64>().prop_map(|number| BlobId::of(&number.to_le_bytes()));
    let text = || proptest::option::of(".{1,8}");
    let owner = (any::<u32>(), any::<u32>(), text(), text());
    let numbers = (any::<u64>(), any::<u64>(), 0u64..9, any::<u64>(), 0u64..9);
    let content = (proptest::option::of(vec(ids(), 0..4)), proptest::option::of(ids()));
    let odd = (
        proptest::option::of(Just(r#"{"windows.creation_time":"x"}"#)),
        text(),
        proptest::option::of(Just(r#""new":{"a":[1,2.5e3,null]},"b":"""#)),
    );
    let head = (any_name(), any_kind(), any::<u32>(), any_time(), any_time(), any_time());
    (head, owner, numbers, vec(any::<u8>(), 0..12), vec(any_attribute(), 0..3), content, odd)
        .prop_map(|(head, owner, numbers, linktarget, extended_attributes, content, odd)| Node {
            name: head.0,
            kind: head.1,
            mode: GoMode(head.2),
            mtime: head.3,
            atime: head.4,
            ctime: head.5,
            uid: owner.0,
            gid: owner.1,
            user: owner.2.map(Into::into),
            group: owner.3.map(Into::into),
            inode: numbers.0,
            device_id: numbers.1,
            size: numbers.2,
            links: numbers.3,
            device: numbers.4,
            linktarget,
            extended_attributes,
            content: content.0,
            subtree: content.1,
            generic_attributes: odd.0.map(Into::into),
            error: odd.1.map(Into::into),
            unknown: odd.2.map(Into::into),
        })
}

fn any_nodes(most: usize) -> impl Strategy<Value = Vec<Node>> {
    vec(any_node(), 0..most).prop_map(|mut nodes| {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes.dedup_by(|a, b| a.name == b.name);
        nodes
    })
}

proptest! {
    #[test]
    fn anything_comes_back(nodes in any_nodes(8)) {
        let bytes = encode_tree(&nodes).unwrap();
        prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok());
        prop_assert_eq!(&decode_tree(&bytes).unwrap(), &nodes);
        prop_assert_eq!(reencodes_identically(&bytes), Ok(true));
    }

    #[test]
    fn damaged_trees_never_panic(nodes in any_nodes(3), changes in vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 1..6)) {
        let mut bytes = encode_tree(&nodes).unwrap();
        for (place, change, byte) in changes {
            bytes.extend(bytes.is_empty().then_some(b'{'));
            let at = place.index(bytes.len());
            match change {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, br#"{}[]",:\u0-"#[usize::from(byte) % 11]),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let _ = TreeDecoder::tolerant(&bytes).count();
        if let Ok(nodes) = decode_tree(&bytes) {
            let again = encode_tree(&nodes).unwrap();
            prop_assert_eq!(decode_tree(&again).unwrap(), nodes);
        }
    }
}

/// Run with `--release -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let seconds = |number: u64| 1_700_000_000 + (number * 7919 % 50_000_000) as i64;
    let nodes: Vec<_> = (0..79_000u64)
        .map(|number| {
            let time = GoTime {
                seconds: seconds(number),
                nanos: (number * 123_457 % 1_000_000_000) as u32,
                offset: 7200,
            };
            Node {
                name: format!("some-source-file-{number:06}.rs").into_bytes(),
                mode: GoMode(420),
                mtime: time,
                atime: time,
                ctime: GoTime { seconds: time.seconds + 5, nanos: time.nanos / 3, offset: 3600 },
                uid: 1000,
                gid: 1000,
                user: Some("somebody".into()),
                group: Some("somebody".into()),
                inode: 4_000_000 + number,
                device_id: 64769,
                size: 1234 + number,
                links: 1,
                content: Some(vec![BlobId::of(&number.to_le_bytes())]),
                ..Node::default()
            }
        })
        .collect();
    let bytes = encode_tree(&nodes).unwrap();
    let best = |mut work: Box<dyn FnMut()>| {
        let took = (0..9).map(|_| {
            let start = std::time::Instant::now();
            work();
            start.elapsed().as_secs_f64()
        });
        bytes.len() as f64 / 1e6 / took.fold(f64::MAX, f64::min)
    };
    let (input, tree) = (nodes.clone(), bytes.clone());
    let mut buffer = Vec::new();
    let encode = best(Box::new(move || {
        let mut encoder = TreeEncoder::in_buffer(std::mem::take(&mut buffer));
        input.iter().for_each(|node| encoder.push(node).unwrap());
        buffer = std::hint::black_box(encoder.finish());
    }));
    let decode = best(Box::new(move || {
        TreeDecoder::new(&tree).for_each(|node| drop(std::hint::black_box(node.unwrap())));
    }));
    println!(
        "{} bytes a node; encode {encode:.0} MB/s, decode {decode:.0} MB/s",
        bytes.len() / nodes.len()
    );
}
