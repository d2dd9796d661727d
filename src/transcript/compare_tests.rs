use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn exchange(method: &str, url: &str, status: u16, body: &str) -> Exchange {
    Exchange {
        method: method.into(),
        url: url.into(),
        request: None,
        vary: BTreeMap::new(),
        status,
        headers: Vec::new(),
        body: Digest::of(body.as_bytes()),
        size: body.len() as u64,
        repository: "main".into(),
        via: None,
    }
}

/// Of (path, body).
fn transcript(all: &[(&str, &str)]) -> Transcript {
    let mut transcript = Transcript::default();
    for (path, body) in all {
        transcript.insert(exchange("GET", &format!("http://m.example/{path}"), 200, body)).unwrap();
    }
    transcript
}

/// What was added, removed and changed, by the ends of the URLs; what is the same.
fn seen(a: &Transcript, b: &Transcript) -> (Vec<String>, usize) {
    let compared = compare(a, b);
    let end = |fetched: &Fetched| fetched.url.trim_start_matches("http://m.example/").to_owned();
    let added = compared.added.iter().map(|it| format!("+{}", end(it)));
    let removed = compared.removed.iter().map(|it| format!("-{}", end(it)));
    let changed = compared.changed.iter().map(|it| match (end(&it.was), end(&it.now)) {
        (was, now) if was == now => format!("~{was}"),
        (was, now) => format!("~{was} {now}"),
    });
    (added.chain(removed).chain(changed).collect(), compared.same)
}

#[track_caller]
fn check(a: &[(&str, &str)], b: &[(&str, &str)], expected: &[&str], same: usize) {
    let (found, found_same) = seen(&transcript(a), &transcript(b));
    assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>(), found_same), (expected.to_vec(), same));
}

#[test]
fn answers_are_added_removed_changed_or_the_same() {
    let a = [("a", "1"), ("b", "1"), ("c", "1")];
    check(&a, &a, &[], 3);
    check(&a, &[("a", "1"), ("b", "2"), ("d", "1")], &["+d", "-c", "~b"], 1);
    check(&[], &a, &["+a", "+b", "+c"], 0);
    assert!(compare(&transcript(&a), &transcript(&a)).is_empty());
}

#[test]
fn a_status_is_an_answer_and_a_head_announces_a_length() {
    let of = |method: &str, status, length: &str| {
        let mut transcript = Transcript::default();
        let headers = vec![("content-length".to_owned(), length.to_owned())];
        let exchange = Exchange { headers, ..exchange(method, "http://m.example/a", status, "") };
        transcript.insert(exchange).unwrap();
        transcript
    };
    assert_eq!(seen(&of("GET", 404, "0"), &of("GET", 200, "0")).0, ["~a"]);
    assert_eq!(seen(&of("HEAD", 200, "1"), &of("HEAD", 200, "2")).0, ["~a"]);
    assert_eq!(seen(&of("GET", 200, "1"), &of("GET", 200, "2")), (Vec::<String>::new(), 1));
    assert_eq!(seen(&of("GET", 200, "1"), &of("HEAD", 200, "1")).0, ["+a", "-a"]);
}

#[test]
fn a_digest_in_the_url_is_no_name() {
    let other = HEX.replace('0', "f");
    let by_hash = |hex: &str| format!("dists/main/by-hash/SHA256/{hex}");
    let list = |hex: &str| format!("repodata/{hex}-primary.xml.gz");
    let (one, two) = (by_hash(HEX), by_hash(&other));
    check(&[(&one, "1")], &[(&two, "2")], &[&format!("~{one} {two}")], 0);
    let (one, two) = (list(HEX), list(&other));
    check(&[(&one, "1")], &[(&two, "2")], &[&format!("~{one} {two}")], 0);
    // Which of several became which, nobody can tell.
    let third = by_hash(&HEX.replace('1', "e"));
    let (one, two) = (by_hash(HEX), by_hash(&other));
    let mut expected = [format!("+{two}"), format!("-{one}"), format!("-{third}")];
    expected[1..].sort();
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    check(&[(&one, "1"), (&third, "3")], &[(&two, "2")], &expected, 0);
    check(&[("x/abcdef", "1")], &[("x/abcdee", "1")], &["+x/abcdee", "-x/abcdef"], 0);
}

#[test]
fn signatures_and_their_times_are_no_name() {
    check(&[("a?se=1&sig=redacted-1&b=2", "1")], &[("a?se=2&sig=redacted-1&b=2", "1")], &[], 1);
    check(&[("a?se=1", "1")], &[("a?se=2", "1")], &["+a?se=2", "-a?se=1"], 0);
    assert_eq!(stable("https://redacted-1@m.example/a?token=redacted-2"), "https://m.example/a");
    assert_eq!(stable("https://m.example"), "https://m.example/");
}

#[test]
fn packages_move() {
    let a = transcript(&[
        ("x_1_all.deb", "1"),
        ("y_1_all.deb", "2"),
        ("l/-/l-1.0.tgz", "3"),
        ("l/-/l-2.0.tgz", "4"),
    ]);
    let b = transcript(&[
        ("x_2_all.deb", "5"),
        ("z_1_all.deb", "6"),
        ("l/-/l-1.0.tgz", "3"),
        ("l/-/l-3.0.tgz", "7"),
    ]);
    let moved = compare(&a, &b).packages;
    let shown: Vec<_> =
        moved.iter().map(|it| format!("{} {} {} {}", it.kind, it.name, it.from, it.to)).collect();
    assert_eq!(shown, ["deb x 1 2", "npm l 2.0 3.0"]);
    let mut gone = Transcript::default();
    gone.insert(exchange("GET", "http://m.example/x_2_all.deb", 404, "no")).unwrap();
    assert_eq!(compare(&a, &gone).packages, [], "what is not there has no version");
    let many: Vec<_> = (0..7).map(|minor| (format!("x_2.{minor}_all.deb"), minor.to_string())).collect();
    let many: Vec<_> = many.iter().map(|(path, body)| (path.as_str(), body.as_str())).collect();
    assert_eq!(compare(&a, &transcript(&many)).packages[0].to, "2.0, 2.1, 2.2, 2.3 and 3 more");
}

#[test]
fn only_bodies_of_one_side_tell_an_input() {
    let compared =
        compare(&transcript(&[("a", "1"), ("b", "2"), ("e", "")]), &transcript(&[("c", "1"), ("b", "3")]));
    let digests = |side: usize| compared.bodies[side].keys().copied().collect::<Vec<_>>();
    assert_eq!(digests(0), [Digest::of(b"2")]);
    assert_eq!(compared.bodies[1][&Digest::of(b"3")], "http://m.example/b");
}

#[test]
fn an_index_says_its_dates_before_its_files() {
    let index = "-----BEGIN PGP SIGNED MESSAGE-----\n\nDate: Sat, 28 Nov 2026 20:00:00 UTC\nValid-Until: Sat, 05 Dec 2026 20:00:00 UTC\nSHA256:\n x\n";
    let date = |day: &str| Some(format!("Sat, {day} 2026 20:00:00 UTC"));
    assert_eq!(index_dates(index.as_bytes()), [date("28 Nov"), date("05 Dec")]);
    assert_eq!(index_dates(b"\xff\n Date: x\n"), [None, None]);
    assert_eq!(index_dates(format!("Date: {}", "1".repeat(100)).as_bytes()), [None, None]);
    let index = [("dists/stable/InRelease", "1"), ("other", "2")];
    let compared = compare(&transcript(&index), &transcript(&index.map(|(path, _)| (path, "3"))));
    assert_eq!(compared.indexes().count(), 1);
}
