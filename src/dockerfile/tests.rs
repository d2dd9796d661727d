//! Tests of the whole reader: identity, references, lowering, steps, hostile input.

use std::{collections::BTreeMap, fmt::Write as _};

use super::*;

mod edges;
mod hostile;

fn parse(source: &str) -> Dockerfile {
    Dockerfile::parse(source.as_bytes()).unwrap_or_else(|error| panic!("{error}:\n{source}"))
}

fn scope(file: &Dockerfile) -> Scope {
    let args = BuildArgs { platform: "linux/arm64/v8".into(), ..BuildArgs::default() };
    Scope { target: file.target(None).unwrap(), args, bases: BTreeMap::new() }
}

fn lower(source: &str) -> Result<Lowered, DockerfileError> {
    let file = parse(source);
    file.lower(&scope(&file), &[])
}

#[track_caller]
fn lowers(source: &str, expected: &str) -> Lowered {
    let lowered = lower(source).unwrap();
    assert_eq!(str::from_utf8(&lowered.text).unwrap(), expected);
    assert_eq!(source.matches('\n').count(), expected.matches('\n').count(), "line numbers stay");
    lowered
}

#[track_caller]
fn fails(source: &str, expected: &str) {
    let error =
        Dockerfile::parse(source.as_bytes()).and_then(|file| file.lower(&scope(&file), &[])).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
}

#[test]
fn an_empty_edit_is_the_identity() {
    for source in [
        "FROM a",
        "FROM a\n",
        "\u{feff}FROM a\r\nRUN b\r\n",
        "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN c:\\x `\n  && y\n",
        "FROM --platform=$BUILDPLATFORM x AS b\nFROM b\nCOPY --from=b /a /b\n",
        "from a as B\nrun x\ncopy . .\nFrom b\n",
        "ARG V\nFROM alpine:${V:-3.20}\n",
        "ARG V\nARG W=${V:-1}\nFROM alpine:$W${V:+@sha256}\n",
        "ARG V # trailing comment\nARG X= Y=1 Z\nFROM a AS foo/bar\nFROM a AS x$y\n",
        "FROM a\nRUN a \\\n# comment\n\n  # another\n  b \\\n\n c\n",
        "FROM a\nLABEL k several words\nLABEL \"a b\"=\"c d\" e=f\\ g\nENV A b c\nENV PATH /a:$PATH\n",
        "FROM a\nMAINTAINER A B <c@example.org>\nONBUILD RUN x\nONBUILD COPY . /y\nSTOPSIGNAL 9\nUSER a:b\n",
        "FROM a\nHEALTHCHECK --interval=5s CMD [\"x\"]\nHEALTHCHECK NONE\nEXPOSE 80/tcp $P\nVOLUME [\"/a b\"]\n",
        "FROM a\nSHELL [\"/bin/bash\", \"-c\"]\nENTRYPOINT []\nCMD\nCMD a && b\nRUN [\"sh\",\"-c\",\"x\"]\nWORKDIR a b\n",
        "FROM a\nRUN printf 'a  b' \"seth\"\"x\" <<<word && echo $((1<<2)) it's\n",
        "FROM a\nRUN --mount=type=cache,target=/x --mount=type=secret,id=y make\nADD https://x.example.org/a.tar.gz /\n",
        "FROM a\nRUN a \\",
        "FROM scratch\nCOPY [\"a b\", \"/\"]\n",
    ] {
        let lowered = lower(source).unwrap_or_else(|error| panic!("{error}:\n{source}"));
        assert_eq!(lowered.text, source.as_bytes(), "{source}");
        assert_eq!((lowered.edits, lowered.files, lowered.checksums), (vec![], vec![], vec![]), "{source}");
        parse(source).steps(&scope(&parse(source))).unwrap();
    }
}

#[test]
fn parsing_refuses() {
    let check = |source: &[u8], line: usize, expected: &str| {
        let error = Dockerfile::parse(source).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(b"", 1, "no FROM");
    check(b"# x\n\nARG A\n", 3, "no FROM");
    check(b"ARG A\nRUN x\nFROM a\n", 2, "RUN before the first FROM");
    check(b"FROM a\nRUN x\nFOO bar\n", 3, "unknown instruction `FOO`");
    check(b"FROM a\n\\\n", 2, "unknown instruction ``");
    check(b"FROM a\nRUN x\n\xff\n", 3, "not UTF-8");
    check(b"FROM a\nRUN <<A <<B\nA\n", 2, "heredoc `B` has no end");
    check(b"FROM a AS x\nFROM b AS X\n", 2, "`x` is used twice");
    check(b"FROM a AS 1x\n", 1, "cannot be the name");
    check(b"FROM a AS Scratch\n", 1, "cannot be the name");
    check(b"FROM a AS reprov-heredoc\n", 1, "cannot be the name");
    check(b"FROM a b\n", 1, "FROM must be");
    check(b"FROM\n", 1, "FROM needs an argument");
    check(b"FROM a\nCOPY x\n", 2, "a destination");
    check(b"FROM a\nRUN [1]\n", 2, "something else than strings");
    check(b"FROM a\nSHELL sh -c\n", 2, "needs a JSON array");
    check(b"FROM a\nENV a\n", 2, "two arguments");
    check(b"FROM a\nRUN --mount=x\n", 2, "RUN needs an argument");
    check(b"FROM a\nONBUILD ONBUILD RUN x\n", 2, "ONBUILD is not allowed after");
    check(b"FROM a\nONBUILD FROM x\n", 2, "FROM is not allowed after");
    check(b"FROM a\nONBUILD FOO x\n", 2, "unknown instruction `FOO`");
    check(b"# escape=x\nFROM a\n", 1, "escape token");
    check(b"# syntax=evil/x\nFROM a\n", 1, "frontend `evil/x`");
    check(&vec![b'\n'; 5 << 20], 1, "more than 4194304 bytes");
    check("FROM a\n".repeat(300).as_bytes(), 257, "more than 256 stages");
    check(format!("FROM a\n{}", "RUN a\n".repeat(6000)).as_bytes(), 5001, "more than 5000 instructions");
}

#[test]
fn describes_instructions() {
    let file = parse("FROM a\n run --x=1 \\\n# c\n  a   b <<E\n  body\nE\nCOPY x y\n");
    let run = &file.instructions[1];
    assert_eq!((run.first_line, run.last_line, run.text().as_str()), (2, 6, "RUN --x=1 a b <<E"));
    assert_eq!(&file.source()[run.span.clone()], "run --x=1 \\\n# c\n  a   b <<E\n  body\nE");
    assert_eq!(&file.source()[run.arguments_span.clone()], "a   b <<E");
    assert_eq!(run.heredocs[0].content(), "  body\n");
    assert_eq!(file.instructions[2].first_line, 7);
    assert_eq!(file.stages[0].instructions, 0..3);
    assert_eq!(file.line_of(0), 1);
}

#[test]
fn finds_targets() {
    let file = parse("FROM a AS One\nFROM b\n");
    assert_eq!(file.target(None), Ok(1));
    assert_eq!(file.target(Some("oNE")), Ok(0));
    assert_eq!(file.target(Some("1")), Ok(1));
    assert!(
        file.target(Some("two")).unwrap_err().to_string().ends_with("no stage `two`; there are: 0 (One), 1")
    );
}

#[track_caller]
fn refers(source: &str, args: &[(&str, &str)], expected: &[&str]) {
    let file = parse(source);
    let values = args.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let args = BuildArgs { values, platform: "linux/arm64/v8".into() };
    let found = file.references(file.stages.len() - 1, &args).unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|r| {
            let sign = if r.literal { "=" } else { "->" };
            assert!(!r.literal || file.source()[r.span.clone()] == r.used);
            let platform = r.platform.as_ref().map(|p| format!(" on {p}")).unwrap_or_default();
            format!("{}.{} {} {sign} {}{platform}", r.stage, r.line, &file.source()[r.span.clone()], r.used)
        })
        .collect();
    assert_eq!(shown, expected, "{source}");
}

#[test]
fn finds_references() {
    refers("FROM a:1\n", &[], &["0.1 a:1 = a:1"]);
    refers("ARG V=1\nFROM a:$V\n", &[], &["0.2 a:$V -> a:1"]);
    refers("ARG V=1\nFROM a:$V\n", &[("V", "2"), ("W", "3")], &["0.2 a:$V -> a:2"]);
    refers("FROM a${W:-x}\n", &[("W", "3")], &["0.1 a${W:-x} -> ax"]);
    refers("ARG A=1\nARG B=a:$A\nFROM $B\n", &[], &["0.3 $B -> a:1"]);
    refers(
        "FROM --platform=$BUILDPLATFORM a AS b\nFROM b\nFROM B\nFROM scratch\n",
        &[],
        &["0.1 a = a on linux/arm64/v8"],
    );
    refers("ARG S=b\nFROM a AS b\nFROM $S\nCOPY --from=b x y\nCOPY --from=0 x y\n", &[], &["0.2 a = a"]);
    refers(
        "FROM a\nCOPY --chown=1 --from=i:1 x y\nADD --from=\"j\" x y\n",
        &[],
        &["0.1 a = a", "0.2 i:1 = i:1", "0.3 j = j"],
    );
    refers("FROM a\nARG I=i\nENV I=k\nCOPY --from=$I x y\n", &[], &["0.1 a = a", "0.4 $I -> k"]);
    refers(
        "ARG I=i\nFROM a\nARG I\nARG TARGETARCH\nCOPY --from=$I:$TARGETARCH$TARGETOS x y\n",
        &[],
        &["0.2 a = a", "0.5 $I:$TARGETARCH$TARGETOS -> i:arm64"],
    );
    refers(
        "FROM a\nRUN --mount=type=bind,from=i:1,target=/x --mount=type=cache,target=/y --mount=from=j true\n",
        &[],
        &["0.1 a = a", "0.2 i:1 = i:1", "0.2 j = j"],
    );
    refers("FROM deb\\\n# c\nian\nRUN x\n", &[], &["0.1 deb\\\n# c\nian -> debian"]);
    refers("FROM a AS b\nONBUILD COPY --from=i x y\nFROM b\n", &[], &["0.1 a = a", "1.2 i = i"]);
    refers("FROM a AS b\nONBUILD COPY --from=i x y\n", &[], &["0.1 a = a"]);
    refers("FROM a\nRUN <<EOF\nFROM evil\nCOPY --from=evil x y\nEOF\n", &[], &["0.1 a = a"]);
}

#[test]
fn references_only_up_to_the_target() {
    let file = parse("FROM a\nFROM b\nCOPY --from=c x y\n");
    assert_eq!(file.references(0, &BuildArgs::default()).unwrap().len(), 1);
}

#[test]
fn references_refuse() {
    let check = |source: &str, expected: &str| {
        let file = parse(source);
        let error = file.references(file.stages.len() - 1, &BuildArgs::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("FROM $X\n", "line 1 of the Dockerfile: `` does not name an image");
    check("FROM ${X:?unset}\n", "`X`: unset");
    check("FROM ${X\n", "`}` is missing");
    check("FROM a\nCOPY --from=3 x y\n", "line 2 of the Dockerfile: no stage `3`; there are: ");
    check("FROM a\nRUN --mount='\"from=b\"' x\n", "leave them out");
    check("FROM a\nENV X=\"b c\"\nCOPY --from=$X x y\n", "`b c` does not name an image");
}

#[test]
fn lowers_run_heredocs() {
    let check = |run: &str, expected: &str| {
        lowers(&format!("FROM a\n{run}\nUSER x\n"), &format!("FROM a\n{expected}\nUSER x\n"))
    };
    check(
        "RUN <<EOF\necho \"a\"\n  b\\\nEOF",
        "RUN [\"/bin/sh\",\"-c\",\"echo \\\"a\\\"\\n  b\\\\\\n\"]\n\n\n",
    );
    check("RUN <<-'EOF'\n\techo $A\n\tEOF", "RUN [\"/bin/sh\",\"-c\",\"echo $A\\n\"]\n\n");
    check(
        "RUN cat <<A >f && <<-B cat\na\nA\n\tb\n\tB",
        "RUN [\"/bin/sh\",\"-c\",\"cat <<A >f && <<-B cat\\na\\nA\\n\\tb\\nB\"]\n\n\n\n",
    );
    check(
        "run --mount=type=cache,target=/x \\\n # c\n  <<E\nx\nE",
        "run --mount=type=cache,target=/x \\\n # c\n  [\"/bin/sh\",\"-c\",\"x\\n\"]\n\n",
    );
    check("RUN python3 \\\n <<E\nx\nE", "RUN [\"/bin/sh\",\"-c\",\"python3  <<E\\nx\\nE\"]\n\n\n");
    check(
        "SHELL [\"/bin/bash\",\"-ec\"]\nRUN <<E\nx\nE",
        "SHELL [\"/bin/bash\",\"-ec\"]\nRUN [\"/bin/bash\",\"-ec\",\"x\\n\"]\n\n",
    );
    check("RUN --network=default <<E\nx\nE", "RUN [\"/bin/sh\",\"-c\",\"x\\n\"]\n\n");
    let lowered = check(
        "RUN <<-run.py\n#!/usr/bin/python3\n\tprint(1)\n\trun.py",
        "RUN [\"/dev/.gw/run/1/run.py\"]\n\n\n",
    );
    let bytes = b"#!/usr/bin/python3\nprint(1)\n".to_vec();
    assert_eq!(lowered.files, [LoweredFile { path: "run/1/run.py".into(), bytes, mode: 0o755 }]);
}

#[test]
fn the_shell_comes_from_the_base() {
    let file = parse("FROM a AS b\nFROM b\nRUN <<E\nx\nE\n");
    let config = BaseConfig { shell: Some(vec!["/s".into()]), ..BaseConfig::default() };
    let scope = Scope { bases: [(0, config)].into(), ..scope(&file) };
    let lowered = file.lower(&scope, &[]).unwrap();
    assert_eq!(lowered.text, b"FROM a AS b\nFROM b\nRUN [\"/s\",\"x\\n\"]\n\n\n");
}

#[test]
fn lowers_copy_heredocs() {
    let lowered = lowers(
        "FROM a\nARG V=1\nENV W=\"2 3\"\nCOPY --chown=1 <<A <<-\"B\" /d/\n$V '${W}' \\$V \"\n${U:-u}\nA\n\t$V\nB\nadd --link <<c /c\nx\nc\n",
        "FROM a\nARG V=1\nENV W=\"2 3\"\nCOPY --chown=1 --from=reprov-heredoc 3/A 3/B /d/\n\n\n\n\n\nCOPY --from=reprov-heredoc 4/c /c\n\n\n",
    );
    let files: Vec<_> =
        lowered.files.iter().map(|f| (f.path.as_str(), str::from_utf8(&f.bytes).unwrap(), f.mode)).collect();
    let a = "1 '2 3' $V \"\nu\n";
    assert_eq!(files, [("copy/3/A", a, 0o644), ("copy/3/B", "$V\n", 0o644), ("copy/4/c", "x\n", 0o644)]);
}

#[test]
fn cuts_flags() {
    lowers(
        "FROM a\nCOPY --link --chown=1 \\\n  --link=true\t\\\n a b\n",
        "FROM a\nCOPY --chown=1 \\\n  \\\n a b\n",
    );
    lowers("FROM a\nCOPY --li\\\nnk a b\n", "FROM a\nCOPY \\\na b\n");
    lowers("FROM a\nRUN --network=default x\n", "FROM a\nRUN x\n");
    let digest = crate::model::Digest::of(b"");
    let url = "https://x.example.org/a";
    let lowered = lowers(
        &format!("FROM a\nARG D={digest}\nADD --checksum=$D --chmod=1 {url} /\n"),
        &format!("FROM a\nARG D={digest}\nADD --chmod=1 {url} /\n"),
    );
    assert_eq!(lowered.checksums, [Checksum { url: url.into(), digest, line: 3 }]);
}

#[test]
fn lowering_refuses() {
    let check = |line: &str, expected: &str| fails(&format!("FROM a\n{line}\n"), expected);
    check("RUN --network=none x", "line 2 of the Dockerfile: `RUN --network=none` needs a newer engine");
    check("RUN --security=insecure x", "`RUN --security=insecure` needs a newer engine");
    check("RUN --device=x y", "`RUN --device` needs a newer engine");
    check("COPY --parents x y", "`COPY --parents` needs a newer engine");
    check("ADD --exclude=*.md x y", "`ADD --exclude` needs a newer engine");
    check("RUN --what x", "RUN has no flag `--what`");
    check("COPY --checksum=x a b", "COPY has no flag `--checksum`");
    check("ADD --checksum=sha256:1 https://x.example.org/a /", "is not a SHA-256");
    check("ADD --checksum=sha256:1 a b", "one http or https URL");
    check("ADD --checksum=sha256:1 https://x.example.org/a b c", "exactly one source");
    check("ADD https://x.example.org/a.git#main /b", "use a submodule");
    check("ARG G=git@x.example.org:a\nADD $G /b", "use a submodule");
    check("COPY <<A b /\nA", "split it in two");
    check("COPY a <<A\nA", "split it in two");
    check("COPY --from=b <<A /\nA", "leave it out");
    check("COPY <<A <<A /\nA\nA", "rename one");
    check("COPY <<../x /\n../x", "not a plain file name");
    check("RUN <<a/b\n#!x\na/b", "not a plain file name");
    check(&format!("RUN <<A\n{}\nA", "x".repeat(70_000)), "longer than 60000 bytes");
    check("ONBUILD COPY --link a b", "ONBUILD with `--link` needs a newer engine");
    check("ONBUILD RUN <<A\nA", "ONBUILD with a heredoc needs a newer engine");
    check("RUN a \\\\", "doubled escape token");
    check("ENV A=$(x\nWORKDIR ${B:?}", "cannot expand `${B:?}`: `B`: is required");
}

#[test]
fn triggers_of_bases_must_need_no_edit() {
    let check = |trigger: &str, expected: &str| {
        let file = parse("# x\nFROM a\n");
        let config = BaseConfig { onbuild: vec![trigger.into()], ..BaseConfig::default() };
        let scope = Scope { bases: [(0, config)].into(), ..scope(&file) };
        let error = file.lower(&scope, &[]).unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.to_string().contains(expected), "{error}");
    };
    check("COPY --link a b", "has `--link`");
    check("COPY --from=i a b", "takes files from `i`");
    check("FROM x", "FROM is not allowed");
    check("RUN a\nRUN b", "more than 1 instructions in a trigger");
    check("", "unknown instruction");
}

#[test]
fn later_stages_are_cut_only_if_they_cannot_be_read() {
    let check = |source: &str, expected: &str| {
        let file = parse(source);
        let lowered = file.lower(&Scope { target: 0, ..scope(&file) }, &[]).unwrap();
        assert_eq!(str::from_utf8(&lowered.text).unwrap(), expected);
    };
    check("FROM a\nFROM b\nRUN --network=none x\n", "FROM a\nFROM b\nRUN --network=none x\n");
    check("FROM a\n# c\nFROM b\nRUN <<E\nE\n", "FROM a\n# c\n\n\n\n");
}

#[test]
fn puts_pins() {
    let source = "FROM deb\\\nian AS x\nCOPY --link --from=\"i\" a b\nRUN --mount=from=j <<E\nx\nE\n";
    let file = parse(source);
    let pins: Vec<_> = file
        .references(0, &BuildArgs::default())
        .unwrap()
        .into_iter()
        .map(|r| Pin { span: r.span, replacement: format!("{}@sha256:1", r.used) })
        .collect();
    let lowered = file.lower(&scope(&file), &pins).unwrap();
    insta::assert_snapshot!(str::from_utf8(&lowered.text).unwrap(), @r#"
    FROM \
    debian@sha256:1 AS x
    COPY --from="i@sha256:1" a b
    RUN --mount=from=j@sha256:1 ["/bin/sh","-c","x\n"]
    "#);
    insta::assert_snapshot!(serde_json::to_string_pretty(&lowered.edits[..2]).unwrap(), @r#"
    [
      {
        "line": 1,
        "kind": "pin",
        "original": "deb\\\nian",
        "replacement": "\\\ndebian@sha256:1"
      },
      {
        "line": 3,
        "kind": "flag",
        "original": "--link ",
        "replacement": ""
      }
    ]
    "#);
    let again = parse(str::from_utf8(&lowered.text).unwrap());
    let used: Vec<_> =
        again.references(0, &BuildArgs::default()).unwrap().into_iter().map(|r| r.used).collect();
    assert_eq!(used, ["debian@sha256:1", "i@sha256:1", "j@sha256:1"]);
    let refused =
        |span, replacement: &str| file.lower(&scope(&file), &[Pin { span, replacement: replacement.into() }]);
    assert!(refused(5..12, "a b").is_err());
    assert!(refused(5..5000, "a").is_err());
    assert!(refused(5..5, "a").is_err());
    let overlap = [Pin { span: 5..8, replacement: "x".into() }, Pin { span: 6..9, replacement: "y".into() }];
    assert!(file.lower(&scope(&file), &overlap).is_err());
}

#[track_caller]
fn steps_of(source: &str, config: BaseConfig) -> String {
    let file = parse(source);
    let scope = Scope { bases: [(0, config)].into(), ..scope(&file) };
    let mut shown = String::new();
    for stage in file.steps(&scope).unwrap() {
        writeln!(shown, "{} on {:?}", stage.stage, stage.base).unwrap();
        for Step { instruction, line, layer, created_by, .. } in stage.steps {
            writeln!(shown, "{instruction} line {line} {layer:?}: {created_by}").unwrap();
        }
    }
    shown
}

#[test]
fn lists_steps() {
    let config = BaseConfig {
        env: [("P".to_owned(), "/p".to_owned())].into(),
        onbuild: vec!["RUN trigger".into(), "WORKDIR sub".into()],
        working_dir: "/base".into(),
        shell: None,
    };
    let source = "ARG G=1\nFROM a:$G AS one\nARG G\nENV A=$G B=\"$P x\"\nENV C=$A A=2\nLABEL l=$A'$A'  m=\\\n\"$C\"\nWORKDIR ../$A\nWORKDIR /x/./y\nRUN --mount=type=tmpfs,target=/t \\\n  echo $A   &&  b\nRUN [\"a\", \"b\"]\nCOPY --chown=$A a$A /\nCMD echo $A\nONBUILD COPY x$A y\nFROM scratch\nFROM one\nSHELL [\"/s\",\"-c\"]\nRUN cat <<E\n a\nE\nWORKDIR z\n";
    insta::assert_snapshot!(steps_of(source, config), @r#"
    0 on External(0)
    1 line 2 Always: RUN /bin/sh -c trigger
    1 line 2 WorkdirMaybe("/base/sub"): #(nop) WORKDIR sub
    2 line 3 None: #(nop) ARG G
    3 line 4 None: #(nop) ENV A=1 B="/p x"
    4 line 5 None: #(nop) ENV C=1 A=2
    5 line 6 None: #(nop) LABEL l=2'$A' m="1"
    6 line 8 WorkdirMaybe("/base/2"): #(nop) WORKDIR ../2
    7 line 9 WorkdirMaybe("/x/y"): #(nop) WORKDIR /x/./y
    8 line 10 Always: RUN --mount=type=tmpfs,target=/t /bin/sh -c echo $A   &&  b
    9 line 12 Always: RUN ["a", "b"]
    10 line 13 Always: #(nop) COPY --chown=2 a2 /
    11 line 14 None: #(nop) CMD echo $A
    12 line 15 None: #(nop) ONBUILD COPY x$A y
    1 on Scratch
    2 on Stage(0)
    12 line 17 Always: #(nop) COPY x2 y
    15 line 18 None: #(nop) SHELL ["/s","-c"]
    16 line 19 Always: RUN /s -c cat <<E
     a
    E
    17 line 22 WorkdirMaybe("/x/y/z"): #(nop) WORKDIR z
    "#);
}
