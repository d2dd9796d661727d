use super::*;

/// `3=3 line`, `4-|+4 old → new`: the rows of the hunks, hunks apart by a line.
fn shown(a: &[u8], b: &[u8]) -> String {
    let Excerpt::Text { hunks, more } = texts(a, b) else { panic!("not a text") };
    let line = |line: &Option<Line>| {
        line.as_ref().map_or("-".to_owned(), |line| format!("{} {}", line.number, line.text))
    };
    let row = |row: &Row| format!("{} {} {}", line(&row.a), if row.equal { "=" } else { "|" }, line(&row.b));
    let hunk = |hunk: &Hunk| hunk.rows.iter().map(row).collect::<Vec<_>>().join("\n");
    let hunks: Vec<_> = hunks.iter().map(hunk).collect();
    format!("{}{}", hunks.join("\n--\n"), if more { "\nmore" } else { "" })
}

#[test]
fn lines_side_by_side() {
    assert_eq!(shown(b"a\nb\nc\n", b"a\nx\nc\n"), "1 a = 1 a\n2 b | 2 x\n3 c = 3 c");
    assert_eq!(shown(b"", b"new\n"), "- | 1 new");
    assert_eq!(shown(b"a\n", b"a"), "1 a | 1 a");
    assert_eq!(
        shown(b"1\n2\n3\n4\n5\n", b"1\n2\n3\nn\n4\n5\n"),
        "2 2 = 2 2\n3 3 = 3 3\n- | 4 n\n4 4 = 5 4\n5 5 = 6 5"
    );
    let long: Vec<String> = (1..=1_000).map(|line| format!("{line}\n")).collect();
    let other = |at: &[usize]| -> String {
        let line = |(index, line): (usize, &String)| {
            if at.contains(&(index + 1)) { "x\n".to_owned() } else { line.clone() }
        };
        long.iter().enumerate().map(line).collect()
    };
    let (long, two) = (long.concat(), other(&[500, 520]));
    assert_eq!(
        shown(long.as_bytes(), two.as_bytes()),
        "498 498 = 498 498\n499 499 = 499 499\n500 500 | 500 x\n501 501 = 501 501\n502 502 = 502 502\n--\n\
         518 518 = 518 518\n519 519 = 519 519\n520 520 | 520 x\n521 521 = 521 521\n522 522 = 522 522"
    );
    let far = other(&[1, 990]);
    assert!(shown(long.as_bytes(), far.as_bytes()).ends_with("more"), "only so many lines are aligned");
    let more = format!("new\n{long}");
    assert_eq!(shown(long.as_bytes(), more.replace('9', "n").as_bytes()).lines().next(), Some("- | 1 new"));
    let all: String = long.lines().map(|line| format!("{line}!\n")).collect();
    let shown = shown(long.as_bytes(), all.as_bytes());
    assert_eq!((shown.lines().count(), shown.lines().last()), (ROWS_MAX + 1, Some("more")));
}

#[test]
fn texts_that_want_to_be_expensive_or_to_steer() {
    let long = [b"x".repeat(1 << 20), b"1\n".to_vec()].concat();
    let other = [b"x".repeat(1 << 20), b"2\n".to_vec()].concat();
    let found = shown(&long, &other);
    assert!(found.len() < 500, "{found}");
    let mixed = |start: usize| -> Vec<u8> {
        (0..1 << 20).flat_map(|at| [b"abcdefg"[(at * at + start) % 7], b'\n']).collect()
    };
    let (a, b) = (mixed(1), mixed(3));
    assert!(shown(&a, &b).ends_with("more"));
    assert_eq!(shown(b"\x1b[2J\xff\n", "\u{202e}\n".as_bytes()), "1 \\u{1b}[2J\u{fffd} | 1 \\u{202e}");
}

#[test]
fn bytes_from_both_ends() {
    let a: Vec<u8> = (0..200).collect();
    let (mut b, shown) = (a.clone(), |a: &[u8], b: &[u8]| -> Vec<[(usize, usize); 2]> {
        let Excerpt::Bytes { windows, .. } = bytes([a, b], false) else { panic!("no bytes") };
        let run = |run: &Run| (run.offset, run.hex.len() / 2);
        windows.iter().map(|window| [run(&window.a), run(&window.b)]).collect()
    });
    b[20] = 0;
    assert_eq!(shown(&a, &b), [[(16, 32), (16, 32)]]);
    b[100] = 0;
    assert_eq!(shown(&a, &b), [[(16, 32), (16, 32)], [(96, 32), (96, 32)]]);
    b.insert(50, 1);
    assert_eq!(shown(&a, &b), [[(16, 32), (16, 32)], [(85, 32), (86, 32)]]);
    assert_eq!(shown(&[0], &[]), [[(0, 1), (0, 0)]]);
    assert_eq!(shown(&[0; 100], &[0; 90]), [[(80, 20), (80, 10)]]);
    let Excerpt::Bytes { a: Some(facts), .. } = bytes([b"\x7fELF\0", b"\0"], true) else {
        panic!("no bytes")
    };
    assert_eq!((facts.kind, facts.size, facts.entropy), ("ELF", 5, Some(2.3)));
    assert_eq!((entropy(&a), entropy(b"aaaa"), entropy(b"")), (7.6, 0.0, 0.0));
}

#[test]
fn kinds_of_files() {
    for (head, expected) in [
        (&b"\x1f\x8b\x08"[..], "gzip"),
        (b"\xa7\x0d\r\n\0\0", "compiled Python"),
        (b"hello\n", "text"),
        (b"\x01\0\x02", "data"),
        (b"", "empty"),
        (b"#!/bin/sh\n", "script"),
    ] {
        assert_eq!(kind(head), expected);
    }
    assert_eq!(kind(&[&[b'a'; 100][..], &[0; 157], b"ustar\0"].concat()), "tar archive");
}
