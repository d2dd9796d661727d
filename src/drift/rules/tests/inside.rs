//! Files in files: archives in archives, sections of programs, objects of compiled Python.

use super::*;

fn tar(time: u64, content: &[u8]) -> Vec<u8> {
    fake().file("./a.txt", content).at(time).tar()
}

fn ar(members: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, time, body) in members {
        let header = format!("{name:<16}{time:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", body.len());
        out.extend_from_slice(header.as_bytes());
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

/// A zip of stored members with true checksums.
fn zip_of(time: u8, members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut central) = (Vec::new(), Vec::new());
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let short = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    for (name, content) in members {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let sums = [crc.sum().to_le_bytes(), word(content.len()), word(content.len())].concat();
        let common =
            [&[10, 0, 0, 0, 0, 0, time, 0, time, 0][..], &sums, &short(name.len()), &[0, 0]].concat();
        central.extend(
            [&b"PK\x01\x02\x14\0"[..], &common, &[0; 10], &word(out.len()), name.as_bytes()].concat(),
        );
        out.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), content].concat());
    }
    let count = short(members.len());
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &word(central.len()), &word(out.len()), &[0, 0]]
        .concat();
    [out, central, end].concat()
}

#[test]
fn two_levels() {
    let dated = |day: u8| format!("on 2026-11-{day} 21:15:12\n").into_bytes();
    check("a.tar", tar(1, &dated(24)), tar(1, &dated(25)), "clock-in-text");
    check("a.tar", tar(1, &dated(24)), tar(2, &dated(25)), "tar-timestamp"); // Both, and its own comes first.
    check("a.tar", tar(1, &dated(24)), tar(1, b"on 2026-11-24 21:15:12 x\n"), "unexplained");
    check("a.tar", tar(1, b"x"), [tar(2, b"x"), vec![0; 512]].concat(), "unexplained");
    check("a.tar.gz", gzip(1, 6, &tar(1, &dated(24))), gzip(2, 9, &tar(1, &dated(25))), "clock-in-text");
    let twice = |time: u64, content: &[u8]| {
        gzip(1, 6, &fake().file("b.tar.gz", &gzip(1, 6, &tar(time, content))).tar())
    };
    check("a.tar.gz", twice(1, b"x"), twice(2, b"x"), "tar-timestamp");
    check("a.tar.gz", twice(1, b"x"), twice(2, b"y"), "unexplained");
    let jar = |time: u8, content: &[u8]| zip_of(time, &[("META-INF/MANIFEST.MF", content), ("b.txt", b"b")]);
    check("a.jar", jar(1, b"a"), jar(2, b"a"), "zip-timestamp");
    check("a.jar", jar(1, &dated(24)), jar(1, &dated(25)), "clock-in-text");
    check(
        "a.zip",
        zip_of(1, &[("x.jar", &jar(1, b"a"))]),
        zip_of(1, &[("x.jar", &jar(2, b"a"))]),
        "zip-timestamp",
    );
    check(
        "a.zip",
        zip_of(1, &[("x.jar", &jar(1, b"a"))]),
        zip_of(1, &[("x.jar", &jar(2, b"b"))]),
        "unexplained",
    );
    let package = |time: u64, content: &[u8]| {
        let data = gzip(1, 6, &tar(time, content));
        ar(&[("debian-binary", time, b"2.0\n"), ("data.tar.gz", time, &data)])
    };
    check("p.deb", package(1, b"x"), package(2, b"x"), "ar-timestamp");
    check("p.deb", package(1, b"x"), package(2, b"y"), "unexplained");
    let deep = |time: u64| (0..5).fold(tar(time, b"x"), |inner, _| fake().file("a", &inner).tar());
    check("a.tar", deep(1), deep(2), "unexplained");
    let shown = drifts(
        fake().file("a.tar", &tar(1, &dated(24))),
        fake().file("a.tar", &tar(1, &dated(25))),
        &Context::default(),
    );
    assert!(shown[0].evidence.starts_with("a.txt: on 2026-11-24"), "{}", shown[0].evidence);
}

#[test]
fn members_of_archives() {
    let both = |a: &str, b: &str| fake().file(a, a.as_bytes()).file(b, b.as_bytes()).tar();
    check("a.tar", both("a", "b"), both("b", "a"), "line-order");
    check("a.tar", both("a", "b"), fake().file("b", b"b").file("a", b"x").tar(), "unexplained");
    check("a.tar", both("a", "b"), both("a", "c"), "unexplained");
    check("a.tar", both("a", "a"), fake().file("a", b"a").tar(), "unexplained");
    check(
        "a.tar",
        fake().file("a", b"1").at(1).tar(),
        fake().file("a", b"1").at(2).owner(5).tar(),
        "unexplained",
    );
    let keys =
        |id: &str| fake().file("root/.ssh/authorized_keys", format!("# 2026-11-{id}\n").as_bytes()).tar();
    check("a.tar", keys("24"), keys("25"), "unexplained"); // Of security, also in there.
    let zipped = |content: &[u8]| zip_of(1, &[("a", content)]);
    check("a.zip", zipped(b"a"), [&zipped(b"a")[..], b"x"].concat(), "unexplained");
    check(
        "a.zip",
        zip_of(1, &[("a", b"a"), ("b", b"b")]),
        zip_of(2, &[("b", b"b"), ("a", b"a")]),
        "zip-timestamp",
    );
    let mut lying = zip_of(1, &[("a", b"on 2026-11-25\n")]);
    lying[14] ^= 1;
    check("a.zip", zip_of(1, &[("a", b"on 2026-11-24\n")]), lying, "unexplained");
    // The table of symbols has offsets, which follow from sizes.
    let library = |text: &[u8]| {
        let second = 8 + 60 + 14 + 60 + text.len().next_multiple_of(2);
        let table =
            [&[0, 0, 0, 1][..], &u32::try_from(second).unwrap().to_be_bytes(), b"f\0\0\0\0\0"].concat();
        ar(&[("/", 0, &table), ("a.txt/", 0, text), ("b.o/", 0, b"b")])
    };
    check("a.a", library(b"at 2026-11-24 21:15:12"), library(b"at 2026-11-24 21:15:12.25"), "clock-in-text");
    check(
        "a.a",
        library(b"at 2026-11-24"),
        ar(&[
            ("/", 0, b"\0\0\0\x01\0\0\0\x08f\0\0\0\0\0"),
            ("a.txt/", 0, b"at 2026-11-25"),
            ("b.o/", 0, b"b"),
        ]),
        "unexplained",
    );
}

#[test]
fn threads_of_xz() {
    let packed = |sized: bool, blocks: u8, dictionary: u8| {
        let flags = if sized { 0xc0 } else { 0 };
        let sizes: &[u8] = if sized { &[1, 1] } else { &[] };
        let mut header = [&[2, flags][..], sizes, &[0x21, 1, dictionary]].concat();
        header.resize(12, 0);
        let index = [0, blocks, 0, 0, 0, 0, 0, 0];
        let footer = [&[0, 0, 0, 0, 1, 0, 0, 0, 0, 4][..], b"YZ"].concat();
        [&b"\xfd7zXZ\0\0\x04\0\0\0\0"[..], &header, &[0; 40], &index, &footer].concat()
    };
    let read = |bytes: &[u8]| crate::drift::archive::Xz::of(bytes);
    let (one, several) = (read(&packed(false, 1, 22)).unwrap(), read(&packed(true, 3, 22)).unwrap());
    assert_eq!((one.blocks, one.sized, several.blocks, several.sized), (1, false, 3, true));
    assert_eq!(one.filters, several.filters);
    assert_ne!(read(&packed(false, 1, 23)).unwrap().filters, one.filters);
    assert!(read(&packed(false, 0, 22)).is_none() && read(b"\xfd7zXZ\0").is_none() && read(b"").is_none());
    let single: &[u8] = include_bytes!("../../../../fixtures/pairs-of-rules/one.xz");
    let threads: &[u8] = include_bytes!("../../../../fixtures/pairs-of-rules/two.xz");
    let level: &[u8] = include_bytes!("../../../../fixtures/pairs-of-rules/level.xz");
    check("a.xz", single, threads, "cpu-dependent");
    check("a.xz", single, level, "compressed-member");
    check("a.xz", single, [threads, b"x"].concat(), "unexplained");
}

#[test]
fn references_of_compiled_python() {
    let pyc = |time: u8, body: &[u8]| {
        [&[0xa7, 0x0d, 13, 10, 0, 0, 0, 0, time, 0, 0, 0, 9, 0, 0, 0][..], body].concat()
    };
    let (flagged, plain) = (b")\x02\xda\x01ar\0\0\0\0", b")\x02Z\x01aZ\x01a");
    check("a.pyc", pyc(1, flagged), pyc(1, plain), "pyc-refs");
    check("a.pyc", pyc(1, flagged), pyc(2, plain), "pyc-refs");
    check("a.pyc", pyc(1, flagged), pyc(2, b")\x02Z\x01aZ\x01b"), "unexplained");
    check("a.pyc", pyc(1, flagged), pyc(1, b")\x02Z\x01aZ\x01aN"), "unexplained");
    let mut sized = pyc(1, plain);
    sized[12] = 8;
    check("a.pyc", pyc(1, flagged), sized, "unexplained");
    let set = |one: &[u8], other: &[u8]| [b">\x02\0\0\0Z\x01", one, b"Z\x01", other].concat();
    check("a.pyc", pyc(1, &set(b"a", b"b")), pyc(1, &set(b"b", b"a")), "random-token");
    check("a.pyc", pyc(1, &set(b"a", b"b")), pyc(1, &set(b"b", b"c")), "unexplained");
    let stale = |time: u8| {
        fake()
            .file("x/a.py", b"")
            .at(u64::from(time) + 5)
            .file("x/__pycache__/a.cpython-311.pyc", &pyc(time, plain))
    };
    let found = drifts(stale(1), stale(2), &Context::default());
    let compiled = found.iter().find(|drift| drift.cause.code() == "pyc-timestamp").unwrap();
    assert!(compiled.evidence.ends_with("(pyc-stale)"), "{}", compiled.evidence);
}

/// An ELF file of these sections: name, type, flags, content.
fn program(sections: &[(&str, u32, u64, &[u8])]) -> Vec<u8> {
    let mut names = vec![0];
    let (mut body, mut headers) = (Vec::new(), vec![0; 64]);
    let mut header =
        |name: &str, kind: u32, flags: u64, content: &[u8], names: &mut Vec<u8>, body: &mut Vec<u8>| {
            let words =
                [flags, 0, 64 + body.len() as u64, content.len() as u64].map(u64::to_le_bytes).concat();
            headers.extend([u32::try_from(names.len()).unwrap().to_le_bytes(), kind.to_le_bytes()].concat());
            headers.extend([words, vec![0; 24]].concat());
            names.extend([name.as_bytes(), b"\0"].concat());
            body.extend_from_slice(content);
            body.resize(body.len().next_multiple_of(8), 0);
        };
    for (name, kind, flags, content) in sections {
        header(name, *kind, *flags, content, &mut names, &mut body);
    }
    let mut table = names.clone();
    table.extend_from_slice(b".shstrtab\0");
    header(".shstrtab", 3, 0, &table, &mut names, &mut body);
    let short = |number: usize| u16::try_from(number).unwrap().to_le_bytes();
    let start =
        [&b"\x7fELF\x02\x01\x01"[..], &[0; 33], &(64 + body.len() as u64).to_le_bytes(), &[0; 4]].concat();
    let rest =
        [short(64), short(56), short(0), short(64), short(sections.len() + 2), short(sections.len() + 1)]
            .concat();
    [start, rest, body, headers].concat()
}

fn compiled(text: &[u8], date: &[u8], strings: &[u8], info: &[u8], id: u8) -> Vec<u8> {
    let note = [b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0", &[id; 20][..]].concat();
    program(&[
        (".text", 1, 6, text),
        (".note.gnu.build-id", 7, 2, &note),
        (".rodata", 1, 2, date),
        (".debug_str", 1, 0, strings),
        (".debug_info", 1, 0, info),
        (".gnu_debuglink", 1, 0, &[b"app.debug\0\0\0", &[id; 4][..]].concat()),
    ])
}

#[test]
fn programs_by_section() {
    let date = |day: &str| format!("\0Nov {day} 2026\021:15:12\0").into_bytes();
    let plain = |day: &str, id: u8| compiled(b"code", &date(day), b"a\0", b"i", id);
    check("t", plain("24", 1), plain("25", 2), "compile-date");
    check("t", plain("24", 1), plain("24", 2), "build-id");
    check("t", plain("24", 1), compiled(b"coda", &date("25"), b"a\0", b"i", 2), "unexplained");
    check("t", plain("24", 1), compiled(b"code", &date("25"), b"b\0", b"i", 2), "unexplained");
    // A date where code is, and a header that says something else.
    let code = |day: &str| compiled(&date(day), b"", b"", b"", 1);
    check("t", code("24"), code("25"), "unexplained");
    let mut entry = plain("25", 2);
    entry[24] = 1;
    check("t", plain("24", 1), entry, "unexplained");
    let strings = |path: &str| format!("int\0{path}\0{path}/src/m.c\0main\0").into_bytes();
    let made = |path: &str, info: &[u8], id: u8| compiled(b"code", b"", &strings(path), info, id);
    check("t", made("/tmp/tmp.Ab3dE6gH9j", b"i", 1), made("/tmp/tmp.zY8xW5vU2t", b"i", 2), "build-path");
    // In the other debug section: where the text `main` is.
    let (main_a, main_b) = (36_u32.to_le_bytes(), 44_u32.to_le_bytes());
    assert_eq!(&strings("/src/one")[30..34], b"main");
    check(
        "t",
        made("/src/one", &30_u32.to_le_bytes(), 1),
        made("/home/me/two", &38_u32.to_le_bytes(), 2),
        "build-path",
    );
    check("t", made("/src/one", &main_a, 1), made("/home/me/two", &main_b, 2), "unexplained");
    check("t", made("/src/one", b"1", 1), made("/home/me/two", b"2", 2), "unexplained");
    check("t", made("/src/one", b"1", 1), made("/home/me/two", b"22", 2), "unexplained");
    check("t", made("/src/one", b"1", 1), [&made("/home/me/two", b"2", 2)[..], b"x"].concat(), "unexplained");
    let other = compiled(b"code", b"", b"int\0/home/me\0/home/me/src/n.c\0main\0", b"1", 2);
    check("t", made("/src/one", b"1", 1), other, "unexplained");
}

#[test]
fn programs_with_absurd_headers() {
    let good = compiled(b"code", b"\0Nov 24 2026\0", b"", b"", 1);
    for at in 0..64 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            let mut other = bad.clone();
            other[100] ^= 0xff;
            drifts(fake().file("t", &bad), fake().file("t", &other), &Context::default());
        }
    }
    let end = good.len();
    for at in end - 8 * 64..end {
        let mut bad = good.clone();
        bad[at] = 0xff;
        drifts(fake().file("t", &good), fake().file("t", &bad), &Context::default());
    }
}
