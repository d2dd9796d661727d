//! What other readers of Dockerfiles stumble over, point by point: an empty edit changes no byte, and the images are the
//! right ones.

use super::*;

/// The images of `source`, which an edit of nothing must leave alone.
#[track_caller]
fn reads(source: &str, expected: &[&str]) {
    let file = parse(source);
    let scope = scope(&file);
    let references =
        file.references(scope.target, &scope.args).unwrap_or_else(|error| panic!("{error}\n{source}"));
    let used: Vec<_> = references.iter().map(|reference| reference.used.as_str()).collect();
    assert_eq!(used, expected, "{source}");
    assert_eq!(file.spliced(Vec::new()).unwrap(), (source.as_bytes().to_vec(), Vec::new()), "{source}");
    // Every reference can be replaced, and nothing but the references changes.
    let pin = |reference: &ImageReference| Pin { span: reference.span.clone(), replacement: "pinned".into() };
    let lowered = file.lower(&scope, &references.iter().map(pin).collect::<Vec<_>>()).unwrap();
    let pinned = Dockerfile::parse(&lowered.text).unwrap();
    let mut again = pinned.references(scope.target, &scope.args).unwrap();
    again.retain(|reference| reference.used != HEREDOC_CONTEXT); // Where lowered heredocs are copied from.
    assert!(
        again.len() == references.len() && again.iter().all(|reference| reference.used == "pinned"),
        "{again:?}"
    );
    assert_eq!(pinned.instructions.len(), file.instructions.len());
}

#[test]
fn platforms_and_small_as_stay() {
    let source = "FROM --platform=$BUILDPLATFORM x as b\nFROM --platform=linux/arm64 b AS c\n";
    reads(source, &["x"]);
    let file = parse(source);
    let span = file.references(0, &scope(&file).args).unwrap()[0].span.clone();
    let lowered = file.lower(&scope(&file), &[Pin { span, replacement: "y".into() }]).unwrap();
    assert_eq!(lowered.text, source.replace(" x ", " y ").as_bytes());
}

#[test]
fn a_stage_is_no_image() {
    reads("FROM a AS b\nFROM b\n", &["a"]);
    reads(
        "FROM a AS Build\nFROM x AS y\nFROM bUILD\nCOPY --from=BUILD /a /b\nCOPY --from=1 /a /b\n",
        &["a", "x"],
    );
    // A stage counts only below its own line.
    reads("FROM b AS a\nFROM a AS b\n", &["b"]);
}

#[test]
fn heredocs_hold_no_instructions() {
    reads("FROM a\nRUN cat <<EOF > f\nFROM evil:latest\nCOPY --from=evil x y\nEOF\nUSER b\n", &["a"]);
    reads("FROM a\nRUN <<-'A' <<\"B\"\n\tFROM evil\n\tA\nFROM evil\nB\n", &["a"]);
    reads("FROM a\nCOPY <<x /x\nFROM evil\nx\nFROM b\n", &["a", "b"]);
}

#[test]
fn shifts_and_here_strings_are_no_heredocs() {
    reads("FROM a\nRUN echo $((1<<2)) <<<word\nCOPY --from=b x y\n", &["a", "b"]);
    reads("FROM a\nRUN [\"sh\", \"-c\", \"cat <<EOF\"]\nCOPY --from=b x y\n", &["a", "b"]);
}

#[test]
fn arguments_before_the_first_from() {
    reads("ARG V\nFROM alpine:${V:-3.20}\n", &["alpine:3.20"]);
    reads("ARG V=\nFROM alpine${V:+@sha256:x}\n", &["alpine"]);
    reads("ARG A=1\nARG B=a:$A\nARG C=${B}-slim\nFROM $C\n", &["a:1-slim"]);
    reads("ARG A=1 B=\"two\" C\nFROM a:$A-$B$C\n", &["a:1-two"]);
    reads("ARG V=1 # words, not a comment\nFROM a:$V\n", &["a:1"]);
    // An ARG of a stage says nothing to the FROMs below it.
    reads("ARG V=1\nFROM a:$V\nARG V=2\nFROM b:$V\n", &["a:1", "b:1"]);
}

#[test]
fn marks_line_ends_and_escapes() {
    reads("\u{feff}FROM a\nCOPY --from=b x y\n", &["a", "b"]);
    reads("\u{feff}# escape=`\r\nFROM a`\r\n:1\r\nCOPY --from=b c:\\x d:\\\r\n", &["a:1", "b"]);
    reads("# syntax=docker/dockerfile:1\n#escape=`\n\nFROM a\nRUN dir c:\\\nCOPY --from=b x y", &["a", "b"]);
    // Below anything else it is a comment.
    reads("# a\n# escape=`\nFROM a\nRUN x \\\n  y\n", &["a"]);
}

#[test]
fn comments_and_empty_lines_within() {
    reads(
        "FROM a\nRUN x \\\n# COPY --from=evil x y\n\n  # FROM evil\n  y\nCOPY --from=b \\\n  # c\n  x y\n",
        &["a", "b"],
    );
    reads("FROM \\\n# c\n  a:\\\n1 \\\n AS b\nFROM b\n", &["a:1"]);
    reads("FROM a\nRUN x \\", &["a"]);
}

#[test]
fn images_beyond_from() {
    reads(
        "FROM a\nCOPY --from=b:1 x y\nCOPY --chown=1:1 --from=docker.io/c x y\n",
        &["a", "b:1", "docker.io/c"],
    );
    reads(
        "FROM a\nRUN --mount=from=b,target=/x --mount=type=bind,source=/,from=c,target=/y z\n",
        &["a", "b", "c"],
    );
    reads("FROM a AS x\nRUN --mount=from=x,target=/x y\nRUN echo --mount=from=evil\n", &["a", "x"]);
    reads("FROM a AS x\nONBUILD COPY --from=b x y\nFROM x\n", &["a", "b"]);
}

#[test]
fn seldom_words() {
    reads("from a\nmaintainer A B <c@example.org>\nonbuild run x\nhealthcheck --interval=5s cmd x\n", &["a"]);
    reads("FROM a AS foo/bar\nFROM x AS y$z\nFROM foo/bar\n", &["a", "x"]);
    reads("FROM a\nARG X=\nLABEL k several words\nENV PATH /a:$PATH\nENTRYPOINT []\nCMD\n", &["a"]);
    reads("FROM scratch\nADD x /\n", &[]);
}
