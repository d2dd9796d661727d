//! One byte more, less or other, and it is refused.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::Digest;

fn sample(bodies: &[(&str, &[u8])]) -> (Contents, BTreeMap<String, Vec<u8>>) {
    let members = bodies.iter().map(|(path, bytes)| Member {
        path: (*path).to_owned(),
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
    });
    let contents = Contents {
        schema: Contents::SCHEMA.into(),
        image: "registry.example.org/app@sha256:x".into(),
        digest: Digest::of(b"image"),
        reprov: "0.1.0".into(),
        as_of: "2026-11-30T12:00:00Z".into(),
        policy: None,
        keys: Vec::new(),
        identities: Vec::new(),
        trusted_root: None,
        judged: Vec::new(),
        gaps: Vec::new(),
        members: members.collect(),
    };
    let bodies = bodies.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()));
    (contents, bodies.collect())
}

fn archive(contents: &Contents, bodies: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    let written = write(contents, &mut out, |member| Ok(&bodies[&member.path][..])).unwrap();
    assert_eq!((written.digest, written.size), (Digest::of(&out), out.len() as u64));
    out
}

fn opened(bytes: &[u8]) -> Result<(Opened, BTreeMap<String, Vec<u8>>), DossierError> {
    let mut kept = BTreeMap::new();
    let opened = read(bytes, |member, body| {
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes)?;
        kept.insert(member.path.clone(), bytes);
        Ok(())
    })?;
    Ok((opened, kept))
}

fn one() -> Vec<u8> {
    let (contents, bodies) =
        sample(&[("index.html", b"<p>"), ("a", b""), ("image/blobs/sha256/aa", &[7; 700]), ("z", &[1; 512])]);
    archive(&contents, &bodies)
}

#[test]
fn what_is_written_is_read() {
    let (contents, bodies) = sample(&[("index.html", b"<p>"), ("a", b""), ("z", &[1; 512])]);
    let bytes = archive(&contents, &bodies);
    let (opened, kept) = opened(&bytes).unwrap();
    assert_eq!((opened.contents, kept), (contents, bodies));
    assert_eq!(opened.digest, Digest::of(&bytes));
}

#[test]
fn tar_can_read_it() {
    let bytes = one();
    let mut archive = ::tar::Archive::new(&bytes[..]);
    let names: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names, ["a", "evidence.json", "image/blobs/sha256/aa", "index.html", "seal.json", "z"]);
}

#[test]
fn any_flipped_byte_is_refused() {
    let bytes = one();
    for at in 0..bytes.len() {
        for flip in [1, 0x20, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            assert!(opened(&changed).is_err(), "byte {at} of {}, flipped by {flip}", bytes.len());
        }
    }
}

#[test]
fn no_byte_is_missing_or_too_many() {
    let bytes = one();
    for end in 0..bytes.len() {
        assert!(opened(&bytes[..end]).is_err(), "{end}");
    }
    for more in [&b"\0"[..], &[0; 512], &bytes] {
        assert!(opened(&[&bytes, more].concat()).is_err());
    }
}

#[test]
fn names_that_lead_elsewhere_are_no_members() {
    for name in ["../a", "/a", "a//b", "a/./b", ".a", "a b", "", "ä", &"x".repeat(100)] {
        let (contents, bodies) = sample(&[(name, b"x")]);
        let refused = write(&contents, &mut Vec::new(), |member| Ok(&bodies[&member.path][..]));
        assert!(matches!(refused, Err(DossierError::Name(_))), "{name}");
    }
}

#[test]
fn members_that_are_not_listed_so_are_not_written() {
    let (contents, mut bodies) = sample(&[("a", b"x")]);
    for bytes in [&b"y"[..], b"", b"xx"] {
        bodies.insert("a".into(), bytes.to_vec());
        let refused = write(&contents, &mut Vec::new(), |member| Ok(&bodies[&member.path][..]));
        assert!(matches!(refused, Err(DossierError::Member { .. })));
    }
    let (contents, bodies) = sample(&[("a", b"x"), ("a", b"x")]);
    let mut twice = Vec::new();
    write(&contents, &mut twice, |member| Ok(&bodies[&member.path][..])).unwrap();
    assert!(matches!(opened(&twice), Err(DossierError::Name(_))), "one name twice");
}

#[test]
fn one_list_has_one_trusted_root() {
    let (mut contents, _) = sample(&[]);
    let root = |member: &str| Some(TrustedRoot { digest: Digest::of(b"root"), member: member.into() });
    assert!(
        !contents.to_bytes().windows(12).any(|window| window == b"trusted_root"),
        "as before there were any"
    );
    contents.trusted_root = root("roots/a.json");
    let bytes = contents.to_bytes();
    assert_eq!(Contents::parse(&bytes).unwrap(), contents);
    let text = String::from_utf8(bytes).unwrap();
    let at = text.find("\"trusted_root\"").unwrap();
    let end = text[at..].find('}').unwrap() + at + 1;
    let twice = format!("{}{},{}", &text[..at], &text[at..end], &text[at..]);
    let refused = Contents::parse(twice.as_bytes()).unwrap_err();
    assert!(crate::model::chain(&refused).contains(crate::model::json::STANDS_TWICE), "{refused:?}");
    // A list where one is allowed, and a field that is spelled out though it says nothing.
    for other in ["[]", "null"] {
        let other = format!("{}\"trusted_root\":{other}{}", &text[..at], &text[end..]);
        assert!(Contents::parse(other.as_bytes()).is_err(), "{other}");
    }
}

#[test]
fn sizes_that_cannot_be_end_at_once() {
    let mut bytes = one();
    bytes[124..135].copy_from_slice(b"77777777777");
    assert!(opened(&bytes).is_err());
    let huge = tar::tests_header("a", (1 << 33) - 1);
    assert!(matches!(opened(&huge), Err(DossierError::Size)));
}

proptest! {
    #[test]
    fn junk_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
        prop_assert!(opened(&bytes).is_err());
    }
}
