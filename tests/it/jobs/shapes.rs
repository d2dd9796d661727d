//! Shapes of Dockerfiles, and what becomes of the files they copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
};

use crate::support::{Entry, Image, Lab, Registry};

/// Builds and rebuilds; the image.
fn reproduced(lab: &Lab, repository: &str, source: &std::path::Path, more: &[&str]) -> Image {
    let registry = Registry::shared();
    let to = registry.name(repository);
    lab.build(registry, source, &to, more).exits(0);
    let answer = lab.rebuild(&to, &[]).exits(0).json();
    assert_eq!(answer["images"][0]["verdict"], "reproduced");
    registry.image(repository)
}

#[test]
fn heredocs() {
    let lab = Lab::new();
    let image = reproduced(&lab, "heredoc", &lab.fixture("heredoc"), &["--build-arg", "WORD=moon"]);
    for (path, text) in [
        ("hello", "hello moon\n"),
        ("nested", "inside\n"),
        ("literal", "$WORD\n"),
        ("etc/greeting", "hello moon\n"),
        ("etc/two/ONE", "kept ${WORD}\n"),
        ("etc/two/TWO", "filled moon\n"),
    ] {
        assert_eq!(image.text(path), text, "{path}");
    }
}

#[test]
fn many_stages() {
    let lab = Lab::new();
    let image = reproduced(
        &lab,
        "multi",
        &lab.fixture("multi"),
        &["--build-arg", "VERSION=2.0", "--keep-bases", "all"],
    );
    assert_eq!(image.text("opt/version"), "version 2.0\n");
    assert_eq!(image.text("mounted"), "version 2.0\n");
    assert!(image.text("opt/debian_version").starts_with("12"));
}

#[test]
fn a_submodule_and_a_minimal_git_directory() {
    let lab = Lab::new();
    let library = lab.source("library", &[("words", "of the library\n")]);
    let dockerfile = "FROM base.example/tiny:1\nCOPY . /app\n";
    let recipe = "[image]\ngit = \"minimal\"\n";
    let source = lab.source("app", &[("Dockerfile", dockerfile), ("reprov.toml", recipe)]);
    let git = |args: &[&str]| {
        let mut command = lab.command("git");
        command.arg("-C").arg(&source).args(["-c", "protocol.file.allow=always"]);
        command.args(["-c", "user.name=test", "-c", "user.email=test@example.org"]);
        command.args(args).output().unwrap().status
    };
    let url = format!("file://{}", library.display());
    assert!(git(&["submodule", "add", &url, "library"]).success());
    assert!(git(&["commit", "--amend", "--no-edit"]).success());
    let image = reproduced(&lab, "submodule", &source, &[]);
    assert_eq!(image.text("app/library/words"), "of the library\n");
    let head = lab.command("git").arg("-C").arg(&source).args(["rev-parse", "HEAD"]).output().unwrap();
    assert_eq!(image.text("app/.git/HEAD"), String::from_utf8(head.stdout).unwrap());
    let to = Registry::shared().name("submodule");
    let (store, key) = (lab.path("fresh"), lab.path("signer.pub"));
    let trace = lab.reprov(&["trace", &to, "--store", &store, "--trust", &key]).exits(0);
    assert!(trace.out.contains("submodule   library "), "{trace}");
}

#[test]
fn a_target_and_a_recipe() {
    let lab = Lab::new();
    let dockerfile =
        "FROM base.example/tiny:1 AS first\nARG WORD\nRUN echo $WORD > /word\nFROM first\nRUN false\n";
    let recipe = "[image]\ntarget = \"first\"\ndockerfile = \"deep/File\"\ncontext = \"deep\"\nbuild-args = { WORD = \"said\" }\n";
    // The swaps are read from a file of that name only; this one is not used.
    let files =
        [("deep/File", dockerfile), ("reprov.toml", recipe), ("Dockerfile", "FROM base.example/tiny:1\n")];
    let image = reproduced(&lab, "target", &lab.source("target", &files), &[]);
    assert_eq!(image.text("word"), "said\n");
}

#[test]
fn a_subdirectory_is_a_source_of_its_own() {
    let lab = Lab::new();
    let dockerfile = "FROM base.example/tiny:1\nCOPY . /all\n";
    let files = [
        ("sub/Dockerfile", dockerfile),
        ("sub/in", "in"),
        ("out", "out"),
        ("sub/.dockerignore", "Docker*\n.docker*\n"),
    ];
    let source = lab.source("subdirectory", &files).join("sub");
    let image = reproduced(&lab, "subdirectory", &source, &[]);
    assert_eq!(image.text("all/in"), "in");
    let copied = image.layers.last().unwrap().keys().filter(|path| path.starts_with("all/")).count();
    assert_eq!(copied, 1, "{:?}", image.layers.last().unwrap().keys());
}

#[test]
fn names_and_links_survive_as_they_are() {
    let lab = Lab::new();
    let source = lab.commit("names", |dir| {
        let write = |name: &OsStr| std::fs::write(dir.join("tree").join(name), "x").unwrap();
        std::fs::create_dir(dir.join("tree")).unwrap();
        std::fs::write(dir.join("Dockerfile"), "FROM base.example/tiny:1\nCOPY tree /tree\n").unwrap();
        write(OsStr::from_bytes(b"latin-\xe9"));
        write(OsStr::new("with space"));
        write(OsStr::new("line\nbreak"));
        std::os::unix::fs::symlink("../../../../etc/passwd", dir.join("tree/escape")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dir.join("tree/absolute")).unwrap();
    });
    let image = reproduced(&lab, "names", &source, &[]);
    let layer = image.layers.last().unwrap();
    for name in ["tree/latin-\\xe9", "tree/with space", "tree/line\\nbreak"] {
        assert!(layer.contains_key(name), "{name} is not in {:?}", layer.keys());
    }
    assert_eq!(image.entry("tree/escape").link.as_deref(), Some("../../../../etc/passwd"));
    assert_eq!(image.entry("tree/absolute").link.as_deref(), Some("/etc/hostname"));
}

/// 70,000 entries of some 150 bytes: a sort holds 8 MiB.
#[test]
#[ignore = "slow: make acceptance"]
fn a_layer_that_is_sorted_through_a_file() {
    let lab = Lab::new();
    let dockerfile = "FROM base.example/tiny:1
RUN name=$(printf %080d 0); for d in 0 1 2 3 4 5 6; do mkdir -p /many/$d; i=0; \
    while [ $i -lt 10000 ]; do : >/many/$d/$name$i; i=$((i+1)); done; done; echo text >/many/z; ln /many/z /many/a
RUN cd /many && rm z && rm -r 3 && mkdir 3 && echo new >3/new && chmod 600 5/*999 && ln a 5/link
WORKDIR /many/5/made
";
    let source = lab.source("many", &[("Dockerfile", dockerfile)]);
    let image = reproduced(&lab, "many", &source, &[]);
    let [many, few, made] = image.layers.last_chunk().unwrap();
    let paths = |layer: &BTreeMap<String, Entry>| -> BTreeSet<String> {
        layer.keys().filter(|path| path.starts_with("many")).cloned().collect()
    };
    assert_eq!(paths(many).len(), 1 + 7 + 70_000 + 2);
    assert_eq!((many["many/a"].link.as_deref(), many["many/z"].link.as_deref()), (None, Some("many/a")));
    let name = format!("{:080}", 0);
    let changed =
        (0..10).map(|tens| format!("many/5/{name}{}", format!("{tens}999").trim_start_matches('0')));
    let expected: BTreeSet<_> = ["many", "many/.wh.z", "many/3", "many/3/.wh..wh..opq", "many/3/new"]
        .into_iter()
        .chain(["many/5", "many/5/link", "many/a"])
        .map(str::to_owned)
        .chain(changed)
        .collect();
    assert_eq!(paths(few), expected);
    assert_eq!(few["many/a"].link.as_deref(), Some("many/5/link"), "the first name is the file");
    assert_eq!(paths(made), ["many/5/made".to_owned()].into());
}

#[test]
fn nothing_but_what_git_has_reaches_the_build() {
    let lab = Lab::new();
    let files = [("Dockerfile", "FROM base.example/tiny:1\nCOPY . /all\n"), (".gitignore", "ignored\n")];
    let source = lab.source("clean", &files);
    std::fs::write(source.join("ignored"), "never").unwrap();
    let image = reproduced(&lab, "clean", &source, &[]);
    assert!(
        !image.layers.last().unwrap().keys().any(|path| path.contains(".git/") || path.ends_with("/ignored"))
    );
    assert_eq!(image.entry("all/.gitignore").mode, 0o644);
}

#[test]
fn an_ordinary_user_gets_the_same_image() {
    let registry = Registry::shared();
    let digests = [(Lab::new(), "same-one"), (Lab::ordinary(), "same-two")].map(|(lab, repository)| {
        let source = lab.fixture("config");
        lab.build(registry, &source, &registry.name(repository), &[]).exits(0);
        registry.image(repository).digest
    });
    // The commits are equal only if both were made within one second; files and times in the image then are too.
    let created =
        ["same-one", "same-two"].map(|repository| registry.image(repository).config["created"].clone());
    if created[0] == created[1] {
        assert_eq!(digests[0], digests[1]);
    }
    let layers = ["same-one", "same-two"].map(|repository| registry.image(repository).layers);
    assert_eq!(layers[0], layers[1]);
}
