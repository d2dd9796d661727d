use super::*;

fn node(kind: &'static str, state: State) -> Node {
    Node::new(kind, "x", state, "").digest("sha256:aa")
}

fn facts(tree: &Node, level: u8) -> Facts<'_> {
    let (believed, rebuilt): (&[String], &[Rebuilt]) = (&[], &[]);
    Facts { tree, signers: &["image", "keys"], level, source_level: 0, passed: true, believed, rebuilt }
}

fn of(all: &[Requirement], id: &str) -> Met {
    all.iter().find(|one| one.id == id).unwrap().met
}

#[test]
fn nothing_is_met_by_nothing() {
    let tree = node("image", State::Verified);
    let all = requirements(&Facts { passed: false, ..facts(&tree, 0) });
    let met: Vec<_> = all.iter().filter(|one| one.met == Met::Met).map(|one| one.id).collect();
    assert_eq!(met, Vec::<&str>::new());
    assert!(all.len() >= 30);
}

#[test]
fn claims_alone_meet_no_signature() {
    let mut tree = node("image", State::Verified);
    tree.children =
        ["provenance", "commit", "log", "events", "transcript"].map(|kind| node(kind, State::Claimed)).into();
    let all = requirements(&facts(&tree, 3));
    assert_eq!(of(&all, "L1 provenance exists"), Met::Met);
    assert_eq!(of(&all, "L2 provenance is authentic"), Met::Unmet);
    assert_eq!(of(&all, "L3 isolated"), Met::Unmet);
    assert_eq!(of(&all, "L1 version controlled"), Met::Partly);
    assert_eq!(of(&all, "PS.2.1"), Met::Unmet);
}

#[test]
fn a_verifier_vouches_for_a_level_of_the_source_and_those_below() {
    let tree = node("image", State::Verified);
    let ids = [
        "L1 version controlled",
        "L2 history and provenance",
        "L3 continuous controls",
        "L4 two-party review",
    ];
    for source_level in 0..=4 {
        let all = requirements(&Facts { source_level, ..facts(&tree, 0) });
        let found = ids.iter().filter(|id| of(&all, id) == Met::Met).count();
        assert_eq!(found, usize::from(source_level));
    }
}

#[test]
fn what_was_looked_at_counts() {
    let mut tree = node("image", State::Verified);
    tree.children = ["provenance", "commit", "log", "events", "transcript"]
        .map(|kind| node(kind, State::Verified))
        .into();
    let believed = ["https://spdx.dev/Document".to_owned(), format!("{TESTS}v0.1")];
    let rebuilt =
        [Rebuilt { verdict: "reproduced".into(), rebuilder: "b".into(), finished_on: String::new() }];
    let all = requirements(&Facts { believed: &believed, rebuilt: &rebuilt, ..facts(&tree, 2) });
    for id in [
        "L2 provenance is authentic",
        "L1 version controlled",
        "PS.2.1",
        "PS.3.1",
        "PS.3.2",
        "2(c)",
        "6",
        "8",
    ] {
        assert_eq!(of(&all, id), Met::Met, "{id}");
    }
    assert_eq!((of(&all, "L2 hosted"), of(&all, "L3 isolated")), (Met::Partly, Met::Unmet));
    tree.children.push(node("tainted", State::Claimed));
    assert_eq!(of(&requirements(&facts(&tree, 2)), "PS.3.2"), Met::Unmet);
}
