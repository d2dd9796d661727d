//! What the rules profile takes out of layers, and what stays; that it makes what package tools leave reproduce.

use std::{fs, process::Command};

use serde_json::Value;

use crate::support::{Lab, Registry, fixtures, must};

/// The rules that a build applied.
fn normalized(built: &Value) -> Vec<String> {
    let rules = built["normalized"].as_array().unwrap().iter();
    rules.map(|count| count["rule"].as_str().unwrap().to_owned()).collect()
}

const CACHE: &str = "FROM base.example/tiny:1\nRUN mkdir -p /root/.cache/uv/archive-v0/x && cd /root/.cache/uv \
                     && echo code > archive-v0/x/six.py && ln archive-v0/x/six.py /six.py\n";

#[test]
fn an_older_profile_stays_what_it_was() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("cache", &[("Dockerfile", CACHE)]);
    let cached = "root/.cache/uv/archive-v0/x/six.py";
    for (profile, kept) in [("default-1", true), ("default-2", false), ("none", true)] {
        let repository = format!("profile-{profile}");
        let to = registry.name(&repository);
        let built = lab.build(registry, &source, &to, &["--profile", profile]).exits(0).json();
        assert_eq!(normalized(&built).contains(&"uv-cache".to_owned()), !kept, "{built:#}");
        let image = registry.image(&repository);
        assert_eq!(image.find(cached).is_some(), kept, "{profile}");
        let installed = image.entry("six.py");
        let expected = if kept { (Some(cached.to_owned()), "") } else { (None, "code\n") };
        assert_eq!(
            (installed.link.clone(), &installed.bytes[..]),
            (expected.0, expected.1.as_bytes()),
            "{profile}"
        );
        // The statement names the profile; the default of the day does not matter.
        let answer = lab.rebuild(&to, &[]).exits(0).json();
        assert_eq!(answer["images"][0]["rebuilt"], image.digest.as_str(), "{answer:#}");
    }
    let built = lab.build(registry, &source, &registry.name("profile-default"), &[]).exits(0).json();
    assert!(normalized(&built).contains(&"uv-cache".to_owned()), "{built:#}");
}

#[test]
fn a_cache_that_a_later_step_links_to_stays() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let text = format!("{CACHE}RUN ln -s /root/.cache/uv/archive-v0/x /x\n");
    let source = lab.source("linked", &[("Dockerfile", &text)]);
    let built = lab.build(registry, &source, &registry.name("linked-cache"), &[]).exits(0).json();
    assert!(!normalized(&built).contains(&"uv-cache".to_owned()), "{built:#}");
    assert_eq!(registry.image("linked-cache").text("root/.cache/uv/archive-v0/x/six.py"), "code\n");
}

#[test]
fn a_recipes_drops_are_reported_and_warned_of() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/tiny:1\nRUN mkdir -p /var/lib/dpkg/info /opt \
                      && echo /opt/tool.log > /var/lib/dpkg/info/tool.list\n\
                      RUN date > /opt/tool.log; date > /opt/mine.log\n";
    let recipe = "[normalize]\ndrop = [\n  { path = \"opt/*.log\", because = \"logs\" },\n  \
                  { path = \"opt/*.lgo\", because = \"a slip\" },\n]\n";
    let source = lab.source("drops", &[("Dockerfile", dockerfile), ("reprov.toml", recipe)]);
    let ran = lab.build(registry, &source, &registry.name("drops"), &[]).exits(0);
    let built = ran.json();
    assert_eq!(normalized(&built).last().map(String::as_str), Some("drop:opt/*.log"), "{ran}");
    assert!(registry.image("drops").find("opt/mine.log").is_none());
    let warnings: Vec<_> = ran.err.lines().filter(|line| line.contains("[normalize] drop")).collect();
    let expected = [
        "build: warning: [normalize] drop: `opt/*.lgo` matches nothing that a RUN step left",
        "build: warning: [normalize] drop: `opt/tool.log` is a file of package `tool`",
    ];
    assert_eq!(warnings, expected, "{ran}");
    let answer = lab.rebuild(&registry.name("drops"), &[]).exits(0);
    assert!(!answer.err.contains("[normalize]"), "{answer}");
}

/// uv as people run it, with its cache left in, for root and for a user; and pip building a wheel for a user.
#[test]
#[ignore = "slow: make acceptance"]
fn uv_and_its_cache() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/debian:bookworm\n\
        ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
        RUN apt-get update && apt-get install -y --no-install-recommends python3-pip python3-wheel && rm -rf /var/lib/apt/lists/*\n\
        RUN pip install --break-system-packages uv\n\
        RUN uv venv /v && uv pip install --python /v/bin/python six\n\
        RUN uv pip install --python /v/bin/python idna && useradd --create-home app\n\
        USER app\n\
        RUN uv venv ~/v && uv pip install --python ~/v/bin/python six\n\
        RUN python3 -m pip install --user --break-system-packages --no-binary six \
        --use-feature=no-binary-enable-wheel-cache --use-pep517 --no-build-isolation six\n";
    let repositories = must(Command::new(fixtures("repositories")).args(["apt", "pypi"]));
    let source = lab.source("uv", &[("Dockerfile", dockerfile), ("reprov.toml", &repositories)]);
    let built = lab.build(registry, &source, &registry.name("uv"), &[]).exits(0).json();
    let rules = normalized(&built);
    for rule in ["uv-cache", "user-pip-cache"] {
        assert!(rules.iter().any(|known| known == rule), "{rule}: {rules:?}");
    }
    let image = registry.image("uv");
    for home in ["v", "home/app/v"] {
        let six = image.text(&format!("{home}/lib/python3.11/site-packages/six.py"));
        assert!(six.contains("Utilities for writing code"), "what was installed keeps its bytes");
    }
    let answer = lab.rebuild(&registry.name("uv"), &[]).exits(0);
    assert_eq!(answer.json()["images"][0]["verdict"], "reproduced", "{answer}");
}

/// A repository of two packages, made in the first step with no times of its own; then dnf, which leaves its history open.
#[test]
#[ignore = "slow: make acceptance"]
fn dnf_and_its_databases() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let spec = "Name: NAME\nVersion: 1\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n\
                %install\nmkdir -p %{buildroot}/opt/NAME\necho x > %{buildroot}/opt/NAME/f\n%files\n/opt/NAME\n";
    let dockerfile = "FROM base.example/debian:bookworm\n\
        RUN apt-get update && apt-get install -y --no-install-recommends dnf createrepo-c rpm \
          && rm -rf /var/lib/apt/lists/*\n\
        COPY . /spec\n\
        RUN for name in alpha beta; do sed s/NAME/$name/ /spec/spec > /tmp/$name.spec && rpmbuild -bb \
          --define '_rpmdir /repo' --define '_buildhost x' --define 'use_source_date_epoch_as_buildtime 1' \
          --define 'clamp_mtime_to_source_date_epoch 1' /tmp/$name.spec || exit 1; done \
          && find /repo -exec touch -d @$SOURCE_DATE_EPOCH {} + && createrepo_c --revision 1 --set-timestamp-to-revision /repo \
          && mkdir -p /etc/yum.repos.d && printf '[r]\\nname=r\\nbaseurl=file:///repo\\ngpgcheck=0\\n' > /etc/yum.repos.d/r.repo\n\
        RUN dnf -y install alpha\n\
        RUN dnf -y install beta\n";
    let repositories = must(Command::new(fixtures("repositories")).arg("apt"));
    let files = [("Dockerfile", dockerfile), ("spec", spec), ("reprov.toml", &repositories)];
    let built = lab.build(registry, &lab.source("dnf", &files), &registry.name("dnf"), &[]).exits(0).json();
    let rules = normalized(&built);
    for rule in ["dnf-log", "rpm-database", "dnf-history", "librepo-attribute"] {
        assert!(rules.iter().any(|known| known == rule), "{rule}: {rules:?}");
    }
    let answer = lab.rebuild(&registry.name("dnf"), &[]).exits(0);
    assert_eq!(answer.json()["images"][0]["verdict"], "reproduced", "{answer}");

    let (image, history) = (registry.image("dnf"), lab.path("history.sqlite"));
    assert!(image.find("var/lib/dnf/history.sqlite-wal").is_none());
    fs::write(&history, &image.entry("var/lib/dnf/history.sqlite").bytes).unwrap();
    let query = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                 print(db.execute('pragma integrity_check').fetchall(), \
                 db.execute('select cmdline from trans order by id').fetchall(), \
                 db.execute('select count(distinct dt_begin) from trans').fetchall())";
    let said = must(Command::new("/usr/bin/python3").args(["-c", query, &history]));
    assert_eq!(said.trim(), "[('ok',)] [('-y install alpha',), ('-y install beta',)] [(1,)]");
}

/// A clone whose commits have a date of their own: what drifts is the machine's.
#[test]
fn git_and_its_index() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/debian:bookworm\n\
        RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*\n\
        RUN export GIT_COMMITTER_DATE=@1700000000 GIT_AUTHOR_DATE=@1700000000 && git init -q /one && cd /one \
          && echo text > file && git add file && git -c user.name=a -c user.email=a@example.org commit -q -m one\n\
        RUN git clone -q file:///one /two && git -C /two status\n";
    let repositories = must(Command::new(fixtures("repositories")).arg("apt"));
    let source = lab.source("git", &[("Dockerfile", dockerfile), ("reprov.toml", &repositories)]);
    let built = lab.build(registry, &source, &registry.name("git"), &[]).exits(0).json();
    let rules = normalized(&built);
    assert!(rules.contains(&"git-index".to_owned()) && rules.contains(&"git-reflog".to_owned()), "{rules:?}");
    let answer = lab.rebuild(&registry.name("git"), &[]).exits(0);
    assert_eq!(answer.json()["images"][0]["verdict"], "reproduced", "{answer}");

    // git reads the index as ever.
    let (image, repository) = (registry.image("git"), lab.path("repository"));
    must(Command::new("git").args(["init", "-q", &repository]));
    fs::write(format!("{repository}/.git/index"), &image.entry("two/.git/index").bytes).unwrap();
    fs::write(format!("{repository}/file"), &image.entry("two/file").bytes).unwrap();
    let git = |args: &[&str]| must(Command::new("git").args(["-C", &repository]).args(args));
    assert_eq!(git(&["ls-files"]), "file\n");
    assert_eq!(git(&["status", "--porcelain"]), "A  file\n", "not modified");
}
