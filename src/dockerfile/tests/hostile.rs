//! Nothing panics, edits keep lines, results are bounded: on truncations, random bytes, and things like Dockerfiles.

use proptest::prelude::*;

use super::*;

/// Every odd corner in one file.
const LARGE: &str = "\u{feff}# syntax=docker/dockerfile:1.7-labs
# escape=`
ARG V=${U:-1} W
FROM --platform=$BUILDPLATFORM reg.example.org:5000/a/b:${V:+x}y@sha256:00 AS \"q\"
RUN --mount=type=bind,from='i`
mg',source=/é --mount=type=secret,id=s <<-'E O' cat 3<<\"F\" `
  # comment

  && echo ${x%%.*} \"it's $(y)\"
\tFROM evil
\tE O
F
COPY --link --chown=$V:ü [\"a b\", \"ü/\"]
ADD --checksum=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 https://x.example.org/ü /
onbuild run --mount=from=q x
HEALTHCHECK --interval=1s CMD [\"x\", \"\\u00e9\"]\r
ENV a=\"${V:-\"${W:+'}'}\"}\" b\tü=`$x\r
from scratch
COPY <<A <<-B /d/
$V ${W:-`}}
A
\tb
\tB
";

#[test]
fn truncations_do_not_panic() {
    for end in (0..LARGE.len()).filter(|&end| LARGE.is_char_boundary(end)) {
        for source in [LARGE[..end].to_owned(), format!("FROM a\n{}", &LARGE[end..])] {
            everything(source.as_bytes());
        }
    }
}

/// Runs all there is; what fails must fail as an error.
fn everything(bytes: &[u8]) {
    let Ok(file) = Dockerfile::parse(bytes) else { return };
    assert_eq!(file.source().as_bytes(), bytes);
    let scope = scope(&file);
    let pins = file.references(scope.target, &scope.args).unwrap_or_default();
    let pins: Vec<_> = pins.into_iter().map(|r| Pin { span: r.span, replacement: "x:y".into() }).collect();
    for pins in [pins, Vec::new()] {
        if let Ok(lowered) = file.lower(&scope, &pins) {
            let ends = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').count();
            assert_eq!(ends(&lowered.text), ends(bytes), "{:?}", str::from_utf8(bytes));
            let again = Dockerfile::parse(&lowered.text).unwrap();
            let starts = |file: &Dockerfile| {
                file.instructions.iter().map(|i| (i.keyword, i.first_line)).collect::<Vec<_>>()
            };
            let to_copy =
                |(keyword, line)| (if keyword == Keyword::Add { Keyword::Copy } else { keyword }, line);
            let starts = |file| starts(file).into_iter().map(to_copy).collect::<Vec<_>>();
            assert_eq!(starts(&again), starts(&file), "{:?}", str::from_utf8(bytes));
            assert!(!pins.is_empty() || !lowered.edits.is_empty() || lowered.text == bytes);
        }
    }
    let _ = file.steps(&scope);
    let _ = file.instructions.iter().map(Instruction::text).count();
}

#[test]
fn expansion_is_bounded() {
    let doubling = "ENV A=$A$A\n".repeat(60);
    fails(&format!("FROM a\nENV A=xx\n{doubling}"), "line 21 of the Dockerfile: more than 1048576 bytes");
    let big = "x".repeat(100_000);
    fails(
        &format!("FROM a\nARG A={big}\n{}", "ENV B=$A\n".repeat(3000)),
        "more than 67108864 bytes by expansion",
    );
    let many: String = (0..20).fold(String::new(), |all, n| format!("{all} V{n}={big}"));
    fails(&format!("FROM a\nENV{many}\n"), "more than 1048576 bytes of variables");
}

fn piece() -> impl Strategy<Value = String> {
    let words = [
        "FROM a\n",
        "FROM a AS b\n",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "ARG ",
        "ONBUILD ",
        "WORKDIR ",
        "SHELL ",
        "--link ",
        "--from=b ",
        "--mount=from=c,",
        "<<E ",
        "<<-'E' ",
        "\nE\n",
        "\n",
        "\\\n",
        "\\",
        "`",
        "# ",
        "# escape=`\n",
        "\"",
        "'",
        "$A",
        "${A:-",
        "}",
        "a",
        " ",
        "\t",
        "=",
        "[\"x\"]",
        "é",
        "\u{feff}",
        "\r\n",
        "--",
        "#!x",
        "https://x.example.org/a.git",
    ];
    prop_oneof![9 => prop::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        everything(&bytes);
    }

    #[test]
    fn dockerfile_like_text_does_not_panic(pieces in prop::collection::vec(piece(), 0..40)) {
        everything(pieces.concat().as_bytes());
        everything(format!("FROM a\n{}", pieces.concat()).as_bytes());
    }
}
