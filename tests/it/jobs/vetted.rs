//! Only from vetted sources: repositories that stand in for others, pinned signers, bases that somebody vouches for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::support::{
    Base, Lab, Ran, Registry, fixtures, must,
    repositories::{self, Served, Signer},
};

const OLD: &str = "http://old.example.org/debian";

/// A signed apt repository at `/debian` of a server, and who signed it.
struct Apt {
    served: Served,
    signer: Signer,
}

impl Apt {
    fn new(word: &str) -> Self {
        let (served, signer) = (Served::start(), Signer::generate());
        repositories::apt(&served.dir.path().join("debian"), &signer, word);
        Self { served, signer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.served.dir.path().join("debian").join(name)
    }

    /// The table that answers for [`OLD`], with `more` in it.
    fn table(&self, more: &str) -> String {
        let url = &self.served.url;
        format!(
            "[[repository]]\nname = \"vetted\"\nkind = \"apt\"\nurl = \"{url}/debian\"\nreplace = [\"{OLD}\"]\n{more}"
        )
    }

    fn source(&self, lab: &Lab, dockerfile: &str, key: &str) -> PathBuf {
        let recipe = self.table("key = \"keys/vetted.asc\"\n");
        lab.source("app", &[("Dockerfile", dockerfile), ("reprov.toml", &recipe), ("keys/vetted.asc", key)])
    }
}

/// Steps that look at all that apt would, without apt.
fn fetching(more: &str) -> String {
    let index = "dists/stable/main/binary-amd64/Packages";
    format!(
        "FROM base.example/tiny:1\nRUN wget -q -O /InRelease {OLD}/dists/stable/InRelease\n\
         RUN wget -q -O /Packages {OLD}/{index}.xz\n\
         RUN wget -q -O /greeting.deb {OLD}/pool/greeting_1%2B1_all.deb\n{more}"
    )
}

#[track_caller]
fn refused(ran: &Ran) -> Vec<(Value, Value)> {
    let answer = ran.json();
    let refused = answer["inputs"]["refused"].as_array().unwrap().clone();
    refused.iter().map(|refused| (refused["reason"].clone(), refused["line"].clone())).collect()
}

#[test]
fn what_a_pinned_signer_vouches_for_gets_through_and_nothing_else() {
    let (lab, registry, apt) = (Lab::new(), Registry::shared(), Apt::new("pinned"));
    fs::write(apt.path("pool/other.deb"), "not listed").unwrap();
    let source = apt.source(&lab, &fetching(""), &apt.signer.public());
    let to = registry.name("pinned");
    let built = lab.build(registry, &source, &to, &[]).exits(0).json();
    assert_eq!(built["inputs"]["count"], 3, "{built:#}");
    let key = &built["repositories"][0]["key"];
    assert_eq!(key["path"], "keys/vetted.asc", "{built:#}");
    lab.rebuild(&to, &[]).exits(0).says("reproduced");

    let unlisted = fetching(&format!("RUN wget -q -O /other {OLD}/pool/other.deb || true\n"));
    let lab = Lab::new();
    let source = apt.source(&lab, &unlisted, &apt.signer.public());
    let ran = lab.build(registry, &source, &registry.name("unlisted"), &[]).exits(1);
    assert_eq!(refused(&ran), [("unlisted".into(), 5.into())], "{ran}");
}

#[test]
fn another_signer_is_refused_and_named_with_the_line() {
    let (lab, registry, apt) = (Lab::new(), Registry::shared(), Apt::new("stranger"));
    let pinned = Signer::generate();
    // apt would take it: the Dockerfile says that anything may be trusted.
    let dockerfile = "FROM base.example/debian:bookworm\n\
        RUN rm -r /etc/apt/sources.list* && echo 'deb [trusted=yes] http://old.example.org/debian stable main' > /etc/apt/sources.list\n\
        RUN apt-get update --allow-insecure-repositories; apt-get install -y --allow-unauthenticated greeting || true\n";
    let source = apt.source(&lab, dockerfile, &pinned.public());
    let ran = lab.build(registry, &source, &registry.name("stranger"), &[]).exits(1);
    let sentence = format!(
        "line 3: GET {OLD}/dists/stable/InRelease is refused, since repository `vetted` is pinned to key {}: no \
         signature on it is by a pinned key (signed by {})",
        pinned.fingerprint(),
        &apt.signer.fingerprint()[24..]
    );
    assert!(ran.err.contains(&sentence), "{sentence}\n{ran}");
    assert!(refused(&ran).contains(&("signer".into(), 3.into())), "{ran}");
    assert!(!ran.err.contains("greeting_1"), "a package came as far as apt: {ran}");
    assert_eq!(registry.tag("stranger", "1"), None);
}

#[test]
fn a_repository_that_changes_between_index_and_file_says_so() {
    let (lab, registry, apt) = (Lab::new(), Registry::shared(), Apt::new("moves"));
    fs::write(apt.path("pool/greeting_1+1_all.deb"), "a newer package").unwrap();
    let source = apt.source(&lab, &fetching(""), &apt.signer.public());
    let ran = lab.build(registry, &source, &registry.name("moves"), &[]).exits(1);
    assert_eq!(refused(&ran), [("changed".into(), 4.into())], "{ran}");
    ran.says("the repository changed between index and file").says(&apt.signer.fingerprint());
}

#[test]
fn a_changed_index_is_not_the_signed_one() {
    let (lab, registry, apt) = (Lab::new(), Registry::shared(), Apt::new("index"));
    let index = apt.path("dists/stable/main/binary-amd64/Packages.xz");
    fs::write(&index, [fs::read(&index).unwrap(), b"x".to_vec()].concat()).unwrap();
    let source = apt.source(&lab, &fetching(""), &apt.signer.public());
    let ran = lab.build(registry, &source, &registry.name("index"), &[]).exits(1);
    assert_eq!(refused(&ran), [("changed".into(), 3.into())], "{ran}");
}

#[test]
fn text_around_what_is_signed_is_refused() {
    let registry = Registry::shared();
    for (name, spoil) in [
        ("before", (|signed: &str| format!("Suite: other\n{signed}")) as fn(&str) -> String),
        ("after", |signed| format!("{signed}Suite: other\n")),
        ("twice", |signed| format!("{signed}{signed}")),
        ("within", |signed| signed.replacen("Suite: stable", "Suite: other", 1)),
        ("unsigned", |_| "Suite: stable\n".to_owned()),
    ] {
        let (lab, apt) = (Lab::new(), Apt::new(name));
        let release = apt.path("dists/stable/InRelease");
        let signed = fs::read_to_string(&release).unwrap();
        fs::write(&release, spoil(&signed)).unwrap();
        let source = apt.source(&lab, &fetching(""), &apt.signer.public());
        let ran = lab.build(registry, &source, &registry.name("around"), &[]).exits(1);
        assert_eq!(refused(&ran), [("signer".into(), 2.into())], "{name}: {ran}");
    }
}

#[test]
fn a_key_that_cannot_pin_is_a_wrong_recipe() {
    let (lab, registry, apt) = (Lab::new(), Registry::shared(), Apt::new("keys"));
    let source = apt.source(&lab, &fetching(""), "no key at all\n");
    lab.build(registry, &source, &registry.name("keys"), &[])
        .exits(2)
        .says("repository `vetted`: cannot pin to `keys/vetted.asc`");
    let recipe = apt.table("key = \"keys/absent.asc\"\n");
    let files = [("Dockerfile", "FROM base.example/tiny:1\n"), ("reprov.toml", recipe.as_str())];
    let source = lab.source("absent", &files);
    lab.build(registry, &source, &registry.name("keys"), &[])
        .exits(2)
        .says("there is no `keys/absent.asc` in the source");
}

#[test]
fn a_mirror_that_moves_on_under_apt_is_hinted_at() {
    let (lab, registry, apt) = (Lab::new(), Registry::shared(), Apt::new("unpinned"));
    let deb = apt.path("pool/greeting_1+1_all.deb");
    let newer = fs::read(&deb).unwrap().iter().rev().copied().collect::<Vec<_>>();
    fs::write(&deb, newer).unwrap();
    let source = lab.source(
        "app",
        &[("Dockerfile", &installing()), ("reprov.toml", &apt.table("")), ("key.asc", &apt.signer.public())],
    );
    lab.build(registry, &source, &registry.name("unpinned"), &[])
        .exits(1)
        .says("Hash Sum mismatch")
        .says("changed between the two");
}

/// A real apt that installs the package from the old place, whose key the image has.
fn installing() -> String {
    format!(
        "FROM base.example/debian:bookworm\nCOPY key.asc /etc/apt/keyrings/old.asc\n\
         RUN rm -r /etc/apt/sources.list* && echo 'deb [signed-by=/etc/apt/keyrings/old.asc] {OLD} stable main' > /etc/apt/sources.list\n\
         RUN apt-get update && apt-get install -y greeting\n"
    )
}

#[test]
fn a_vetted_mirror_stands_in_without_a_trace() {
    let (lab, registry, apt) = (Lab::new(), Registry::shared(), Apt::new("traceless"));
    let table = |url: &str| format!("[[repository]]\nname = \"old\"\nkind = \"apt\"\nurl = \"{url}\"\n");
    let source = lab.source(
        "app",
        &[
            ("Dockerfile", &installing()),
            ("key.asc", &apt.signer.public()),
            ("reprov.toml", &apt.table("key = \"key.asc\"\n")),
            ("direct.toml", &table(OLD)),
        ],
    );
    let replaced = registry.name("replaced");
    lab.build(registry, &source, &replaced, &[]).exits(0);
    // The same files from the old place itself, which is behind a proxy here.
    let mut direct = lab.building(registry, &source, &registry.name("direct"), &["--recipe", "direct.toml"]);
    direct.env("http_proxy", &apt.served.url).env("no_proxy", "127.0.0.1");
    Lab::run(direct).exits(0);
    assert!(
        apt.served.asked().contains(&format!("{OLD}/dists/stable/InRelease")),
        "{:?}",
        apt.served.asked()
    );
    assert!(apt.served.asked().contains(&"/debian/dists/stable/InRelease".to_owned()));

    let (with, without) = (registry.image("replaced"), registry.image("direct"));
    assert_eq!(with.layer_digests(), without.layer_digests());
    assert_eq!(with.config, without.config, "history is in it");
    assert_eq!(with.digest, without.digest);
    assert_eq!(with.text("usr/share/greeting/word"), "traceless\n");
    let lists = |layer: &std::collections::BTreeMap<String, _>| {
        layer.keys().any(|path| path.starts_with("var/lib/apt/lists/old.example.org_debian_"))
    };
    assert!(with.layers.iter().any(lists));
    lab.rebuild(&replaced, &[]).exits(0).says("reproduced");
}

#[test]
fn steps_find_the_configured_indexes() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let table = |kind: &str| {
        format!(
            "[[repository]]\nname = \"{kind}\"\nkind = \"{kind}\"\nurl = \"https://{kind}.example.org/index\"\nconfigure = true\n"
        )
    };
    let dockerfile = "FROM base.example/tiny:1\n\
        RUN test \"$PIP_INDEX_URL $UV_DEFAULT_INDEX\" = 'https://pypi.example.org/index https://pypi.example.org/index'\n\
        RUN test \"$npm_config_registry $GOPROXY\" = 'https://npm.example.org/index/ https://go.example.org/index'\n\
        ENV GOPROXY=off\nRUN test \"$GOPROXY\" = off\n\
        RUN mkdir -p /etc/yum.repos.d && echo own > /etc/yum.repos.d/own.repo\n\
        RUN grep -q '^gpgcheck=1$' /etc/yum.repos.d/yum.repo && test ! -e /etc/yum.repos.d/own.repo && ! echo > /etc/yum.repos.d/x\n";
    let recipe = ["pypi", "npm", "go", "yum"].map(table).concat();
    let source = lab.source("app", &[("Dockerfile", dockerfile), ("reprov.toml", &recipe)]);
    let to = registry.name("configured");
    lab.build(registry, &source, &to, &[]).exits(0);
    let image = registry.image("configured");
    assert_eq!(image.text("etc/yum.repos.d/own.repo"), "own\n");
    assert!(!image.config["config"].to_string().contains("example.org"), "{:#}", image.config);
    assert!(image.layers.iter().all(|layer| !layer.contains_key("etc/yum.repos.d/yum.repo")));
    lab.rebuild(&to, &[]).exits(0).says("reproduced");
}

#[test]
fn a_base_that_nobody_vouches_for_is_refused_where_it_must_be_vetted() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let rootfs = Base::Tiny.rootfs();
    let base = registry.name("vouched");
    let (key, store) = (lab.path("signer.key"), lab.path("store"));
    lab.reprov(&["import", rootfs.to_str().unwrap(), "--tag", &base, "--key", &key, "--store", &store])
        .exits(0);
    let tiny = Base::Tiny.used(registry);
    let dockerfile = format!("FROM {tiny} AS one\nRUN echo a > /a\nFROM {base}\nCOPY --from=one /a /a\n");
    let source = lab.source("app", &[("Dockerfile", &dockerfile)]);
    let (to, trust) = (registry.name("vetted"), lab.path("signer.pub"));
    let build = |more: &[&str]| lab.build(registry, &source, &to, more);
    let why = "no --trust says whose provenance to believe";
    build(&["--require-vetted"])
        .exits(1)
        .says(&format!("line 1 (stage 0): `{tiny}`: there is no provenance beside the image"))
        .says(&format!("line 3 (stage 1): `{base}`: {why}"))
        .says("map it with [from] in reprov.toml or --from OLD=NEW");
    let ran = build(&["--require-vetted", "--trust", &trust]).exits(1);
    assert!(ran.err.contains("line 1") && !ran.err.contains("line 3"), "{ran}");
    assert_eq!(registry.tag("vetted", "1"), None);
    let swap = format!("{tiny}={base}");
    build(&["--require-vetted", "--trust", &trust, "--from", &swap]).exits(0);
    build(&["--from", &swap, "--from", &swap]).exits(2).says("is mapped twice");
    let traced =
        lab.reprov(&["trace", &to, "--trust", &trust, "--store", &store, "--format", "json"]).exits(0);
    assert_eq!(traced.json()["bases"].as_array().unwrap().len(), 2, "{traced}");
}

#[test]
#[ignore = "slow: make acceptance"]
fn unvetted_sources_of_every_tool_are_refused_with_their_line() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/debian:bookworm\n\
        RUN apt-get update && apt-get install -y --no-install-recommends python3-pip npm curl\n\
        RUN echo 'deb http://unvetted.example.org/debian stable main' > /etc/apt/sources.list.d/x.list && apt-get update || true\n\
        RUN rm /etc/apt/sources.list.d/x.list; pip install --retries 0 --break-system-packages --index-url https://unvetted.example.org/simple frobnicate || true\n\
        RUN mkdir /app && cd /app && npm init -y && npm install --fetch-retries 0 --registry https://unvetted.example.org/ left-pad || true\n\
        RUN curl -fsS https://unvetted.example.org/tool.tar.gz || true\n\
        ADD https://unvetted.example.org/tool.tar.gz /opt/\n";
    let tables = must(Command::new(fixtures("repositories")).arg("apt"));
    let source = lab.source("app", &[("Dockerfile", dockerfile), ("reprov.toml", &tables)]);
    let ran = lab.build(registry, &source, &registry.name("unvetted"), &[]).exits(1);
    let answer = ran.json();
    let refused = answer["inputs"]["refused"].as_array().unwrap();
    for line in 3..=7 {
        let of_line = |refused: &&Value| refused["line"] == line;
        let found = refused.iter().find(of_line).unwrap_or_else(|| panic!("line {line}: {answer:#}"));
        assert!(found["url"].as_str().unwrap().contains("unvetted.example.org"), "{found}");
        assert!(ran.err.contains(&format!("line {line}: refused ")), "{ran}");
    }
    assert!(refused.iter().all(|refused| refused["line"] != 2), "{answer:#}");
}

#[test]
fn a_package_is_judged_wherever_it_lies() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let (served, signer) = (Served::start(), Signer::generate());
    fs::create_dir(served.dir.path().join("repodata")).unwrap();
    let package = [&[0xed, 0xab, 0xee, 0xdb][..], &[0; 200]].concat();
    for (name, bytes) in [("repomd.xml", &b"<repomd/>"[..]), ("greeting.rpm", &package)] {
        fs::write(served.dir.path().join("repodata").join(name), bytes).unwrap();
    }
    let url = &served.url;
    let recipe =
        format!("[[repository]]\nname = \"vetted\"\nkind = \"yum\"\nurl = \"{url}\"\nkey = \"vetted.asc\"\n");
    let url = url.trim_end_matches('/');
    let dockerfile = format!(
        "FROM base.example/tiny:1\nRUN wget -q -O /a {url}/repodata/repomd.xml\n\
        RUN wget -q -O /b {url}/repodata/greeting.rpm || true\n"
    );
    let key = signer.public();
    let files = [("Dockerfile", dockerfile.as_str()), ("reprov.toml", &recipe), ("vetted.asc", &key)];
    let ran = lab.build(registry, &lab.source("app", &files), &registry.name("misplaced"), &[]).exits(1);
    assert_eq!(refused(&ran), [("signer".into(), 3.into())], "{ran}");
}

#[test]
#[ignore = "slow: make acceptance"]
fn dnf_installs_what_the_pinned_signer_signed() {
    let registry = Registry::shared();
    let (served, signer) = (Served::start(), Signer::generate());
    let package = repositories::yum(served.dir.path(), &signer, "from dnf");
    let good = fs::read(&package).unwrap();
    let tables = must(Command::new(fixtures("repositories")).arg("apt"));
    let recipe = format!(
        "{tables}\n[[repository]]\nname = \"vetted\"\nkind = \"yum\"\nurl = \"{}\"\nkey = \"vetted.asc\"\nconfigure = true\n",
        served.url
    );
    let dockerfile = "FROM base.example/debian:bookworm\n\
        RUN apt-get update && apt-get install -y --no-install-recommends dnf && mkdir -p /etc/yum.repos.d\n\
        RUN dnf install -y --nogpgcheck greeting && rm -rf /var/cache/dnf /var/log/dnf* /var/log/hawkey.log\n";
    let build = |name: &str, key: &str| {
        let lab = Lab::new();
        let files = [("Dockerfile", dockerfile), ("reprov.toml", recipe.as_str()), ("vetted.asc", key)];
        let source = lab.source("app", &files);
        let to = registry.name(name);
        (lab.build(registry, &source, &to, &[]), lab)
    };
    let (ran, lab) = build("dnf", &signer.public());
    ran.exits(0);
    let image = registry.image("dnf");
    assert_eq!(image.text("usr/share/greeting/word"), "from dnf\n");
    assert!(image.layers.iter().all(|layer| !layer.keys().any(|path| path.starts_with("etc/yum.repos.d/"))));
    let answer = lab.rebuild(&registry.name("dnf"), &[]);
    let verdict = answer.json()["images"][0].clone();
    assert_eq!(
        (&verdict["upstream_requests"], &verdict["undeclared_inputs"]),
        (&json!(0), &json!([])),
        "{verdict:#}"
    );

    let refused_line = |name: &str, key: &str| {
        let (ran, _lab) = build(name, key);
        let ran = ran.exits(1);
        let refused = refused(&ran);
        assert!(refused.contains(&("signer".into(), 3.into())), "{ran}");
        ran
    };
    let other = Signer::generate();
    refused_line("dnf-other", &other.public()).says(&other.fingerprint());
    // Signed header, other content: the last byte of the payload.
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    serve(served.dir.path(), &package, &changed);
    refused_line("dnf-changed", &signer.public()).says("its content is not what its signed header names");
}

#[test]
#[ignore = "slow: make acceptance"]
fn the_distribution_itself_is_pinned_to_its_keys() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.commit("apt", |dir| {
        must(Command::new("cp").arg("-rT").args([&fixtures("apt"), dir]));
        let tables = must(Command::new(fixtures("repositories")).arg("apt"));
        fs::write(dir.join("reprov.toml"), tables.replace("\nurl", "\nkey = \"archive.gpg\"\nurl")).unwrap();
        fs::copy("/usr/share/keyrings/debian-archive-keyring.gpg", dir.join("archive.gpg")).unwrap();
    });
    let to = registry.name("distribution");
    let built = lab.build(registry, &source, &to, &[]).exits(0).json();
    assert_eq!(built["repositories"][0]["key"]["path"], "archive.gpg");
    lab.rebuild(&to, &[]).exits(0).says("reproduced");
}

/// Puts `bytes` in a package's place and makes the metadata fit.
fn serve(dir: &Path, package: &Path, bytes: &[u8]) {
    fs::write(package, bytes).unwrap();
    must(Command::new("createrepo_c").args(["--quiet", "--no-database"]).arg(dir));
}

#[test]
#[ignore = "slow: make acceptance"]
fn pip_asks_the_configured_index() {
    let (lab, registry, served) = (Lab::new(), Registry::shared(), Served::start());
    let wheel = "greeting-1-py3-none-any.whl";
    fs::create_dir_all(served.dir.path().join("simple/greeting")).unwrap();
    let page =
        format!("<!DOCTYPE html><html><body><a href=\"/simple/greeting/{wheel}\">{wheel}</a></body></html>");
    fs::write(served.dir.path().join("simple/greeting/index.html"), page).unwrap();
    let make = "import sys, zipfile\n\
        z = zipfile.ZipFile(sys.argv[1], 'w')\n\
        z.writestr('greeting.py', 'word = \"from pip\"\\n')\n\
        z.writestr('greeting-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: greeting\\nVersion: 1\\n')\n\
        z.writestr('greeting-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        z.writestr('greeting-1.dist-info/RECORD', '')\n";
    let path = served.dir.path().join("simple/greeting").join(wheel);
    must(Command::new("/usr/bin/python3").args(["-c", make]).arg(path));
    let tables = must(Command::new(fixtures("repositories")).arg("apt"));
    let recipe = format!(
        "{tables}\n[[repository]]\nname = \"vetted\"\nkind = \"pypi\"\nurl = \"{}/simple\"\nconfigure = true\n",
        served.url
    );
    let dockerfile = "FROM base.example/debian:bookworm\n\
        RUN apt-get update && apt-get install -y --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*\n\
        RUN pip install --break-system-packages greeting && python3 -c 'import greeting; print(greeting.word)' > /word\n";
    let source = lab.source("app", &[("Dockerfile", dockerfile), ("reprov.toml", &recipe)]);
    let to = registry.name("pip-configured");
    lab.build(registry, &source, &to, &[]).exits(0);
    assert_eq!(registry.image("pip-configured").text("word"), "from pip\n");
    lab.rebuild(&to, &[]).exits(0).says("reproduced");
}
