mod repositories;

use super::*;
use crate::model::RepositoryKind;

#[track_caller]
fn refuses(text: &str, expected: &str) {
    let error = Recipe::parse(text).unwrap_err();
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    assert_eq!(message, expected, "{text}");
}

#[test]
fn an_empty_recipe_is_the_default() {
    assert_eq!(Recipe::parse("").unwrap(), Recipe::default());
    assert_eq!(Recipe::parse("[image]\n[drift]\n").unwrap(), Recipe::default());
}

#[test]
fn reads_every_key() {
    let text = r#"
[image]
context = "./app/"
dockerfile = "app/Dockerfile"
target = "runtime"
build-args = { VERSION = "1.2" }
git = "minimal"

[[repository]]
name = "debian"
kind = "apt"
url  = "HTTP://Mirror.example.org:80/debian/"
replace = ["http://security.example.org/debian-security"]

[from]
"debian:bookworm" = "registry.example.org/base/debian:1"

[normalize]
profile = "none"
drop = [{ path = "var/log/*.log", because = "timestamps only" }]

[build]
buildroot = "host"
timeout = "30m"
clock = "commit"
on-refused = "record"
"#;
    let expected = Recipe {
        context: "app".into(),
        dockerfile: "app/Dockerfile".into(),
        target: Some("runtime".into()),
        git: GitDirectory::Minimal,
        build_args: BTreeMap::from([("VERSION".into(), "1.2".into())]),
        buildroot: Buildroot::Host,
        clock: Clock::Commit,
        accept: Vec::new(),
        tests: Vec::new(),
        access: BTreeMap::new(),
        repositories: Repositories::Only(vec![Repository {
            replace: vec!["http://security.example.org/debian-security".into()],
            ..Repository::plain(
                "debian".into(),
                RepositoryKind::Apt,
                "http://mirror.example.org/debian".into(),
            )
        }]),
        from: BTreeMap::from([(
            "docker.io/library/debian:bookworm".into(),
            "registry.example.org/base/debian:1".parse().unwrap(),
        )]),
        profile: "none".into(),
        drop: vec![Dropped { path: "var/log/*.log".into(), because: "timestamps only".into() }],
        timeout: "30m".parse().unwrap(),
        on_refused: OnRefused::Record,
    };
    assert_eq!(Recipe::parse(text).unwrap(), expected);
}

#[test]
fn git_is_none_or_minimal() {
    assert_eq!(Recipe::parse("[image]\ngit = \"none\"\n").unwrap(), Recipe::default());
    refuses("[image]\ngit = \"full\"\n", "line 2: `git = \"full\"`: write `none` or `minimal`");
}

#[test]
fn no_repository_at_all_is_not_no_table() {
    assert_eq!(Recipe::parse("repository = []").unwrap().repositories, Repositories::Only(vec![]));
}

#[test]
fn unknown_keys_name_the_nearest_of_their_table() {
    refuses("[imgae]\n", "line 1: unknown key `imgae` in the recipe; did you mean `image`?");
    refuses(
        "[image]\n\ncontxt = \".\"\n",
        "line 3: unknown key `contxt` in [image]; did you mean `context`?",
    );
    refuses(
        "[[repository]]\nname = \"a\"\nuri = \"x\"\n",
        "line 3: unknown key `uri` in [[repository]]; did you mean `url`?",
    );
    refuses(
        "[build]\non_refused = \"fail\"\n",
        "line 2: unknown key `on_refused` in [build]; did you mean `on-refused`?",
    );
    refuses(
        "[normalize]\ndrop = [{ path = \"a\", why = \"b\" }]\n",
        "line 2: unknown key `why` in drop; did you mean `path`?",
    );
    refuses("[drift]\naccepts = []\n", "line 2: unknown key `accepts` in [drift]; did you mean `accept`?");
}

#[test]
fn a_buildroot_is_the_hosts_or_named_by_digest() {
    let digest = format!("registry.example.org/b@sha256:{}", "0".repeat(64));
    let recipe = Recipe::parse(&format!("[build]\nbuildroot = \"{digest}\"\n")).unwrap();
    assert_eq!(recipe.buildroot, Buildroot::Image(digest.parse().unwrap()));
    refuses(
        "[build]\nbuildroot = \"registry.example.org/b:1\"\n",
        "line 2: `buildroot = \"registry.example.org/b:1\"`: a buildroot is named by digest; write `host` or IMAGE@sha256:DIGEST",
    );
}

#[test]
fn accepted_drift() {
    let one = |more: &str| format!("[drift]\naccept = [{{ because = \"known\"{more} }}]\n");
    let all =
        one(", cause = \"password-salt\", path = \"etc/shadow\", until = \"2027-06-30\", owner = \"a@b\"");
    let accepted = Recipe::parse(&all).unwrap().accept.remove(0);
    assert_eq!(
        (accepted.cause.as_deref(), accepted.path.as_deref()),
        (Some("password-salt"), Some("etc/shadow"))
    );
    assert_eq!((accepted.until.as_deref(), accepted.owner.as_deref()), (Some("2027-06-30"), Some("a@b")));
    assert_eq!((accepted.because.as_str(), accepted.line), ("known", 2));
    refuses(&one(""), "line 2: `because = \"known\"`: say what is accepted: `cause`, `path` or both");
    refuses("[drift]\naccept = [{ path = \"x\" }]\n", "line 2: accept has no `because`");
    let wrong = one(", path = \"x\", until = \"2027-6-30\"");
    refuses(&wrong, "line 2: `until = \"2027-6-30\"`: write the last day as YYYY-MM-DD");
    refuses(&one(", cause = \"\""), "line 2: `cause = \"\"`: write something, or leave it out");
    let slash = "write a path in the image without leading slash or `..`; `*` and `**` may stand in it";
    refuses(&one(", path = \"/etc/x\""), &format!("line 2: `path = \"/etc/x\"`: {slash}"));
}

#[test]
fn says_where_credentials_are_and_never_repeats_one() {
    let repository = "[[repository]]\nname=\"a\"\nkind=\"apt\"\nurl=\"http://a.example\"\n";
    let access = |more: &str| Recipe::parse(&format!("{repository}{more}")).unwrap().access;
    assert_eq!(access(""), [].into());
    assert_eq!(access("keep = false\n"), [].into());
    let netrc = Access { auth: Some(Auth::Netrc), keep: true, key: None };
    assert_eq!(access("auth = \"netrc\"\nkeep = true\n"), [("a".to_owned(), netrc)].into());
    let env = Access { auth: Some(Auth::Env("MY_TOKEN".to_owned())), ..Access::default() };
    assert_eq!(access("auth = \"env:MY_TOKEN\"\n"), [("a".to_owned(), env)].into());
    for text in ["user:s3cret", "env:s3cret:x", "env:", "env:1A"] {
        refuses(
            &format!("{repository}auth = \"{text}\"\n"),
            "line 5: `auth = \"…\"`: write `env:NAME` or `netrc`; no credential belongs into a recipe",
        );
    }
    refuses(&format!("{repository}keep = 1\n"), "line 5: `keep` is a number; write true or false");
}

#[test]
fn refuses_values_that_mean_nothing() {
    refuses("[image]\ntarget = 3\n", "line 2: `target` is a number; write a string");
    refuses("image = \"x\"\n", "line 1: `image` is a string; write a table");
    refuses("[repository]\n", "line 1: `repository` is a table; write an array");
    let outside = "write a path relative to the source, without `..`";
    refuses("[image]\ncontext = \"../x\"\n", &format!("line 2: `context = \"../x\"`: {outside}"));
    refuses("[image]\ncontext = \"/\"\n", &format!("line 2: `context = \"/\"`: {outside}"));
    refuses(
        "[image]\ndockerfile = \".\"\n",
        "line 2: `dockerfile = \".\"`: that is a directory; name a file",
    );
    refuses(
        "[image]\nbuild-args = { \"A-B\" = \"1\" }\n",
        "line 2: `A-B = \"1\"`: not the name of an ARG (letters, digits, `_`)",
    );
    refuses(
        "[build]\ntimeout = \"1d\"\n",
        "line 2: `timeout = \"1d\"`: `1d` is not a time; write `90s`, `30m` or `1h`",
    );
    refuses(
        "[build]\non-refused = \"ignore\"\n",
        "line 2: `on-refused = \"ignore\"`: write `fail` or `record`",
    );
    refuses("[build]\nclock = \"x\"\n", "line 2: `clock = \"x\"`: write `real` or `commit`");
    refuses(
        "[normalize]\nprofile = \"default-9\"\n",
        "line 2: `profile = \"default-9\"`: unknown profile; write `default-2`, `default-1` or `none`",
    );
    for (path, reason) in [
        ("/var", "write a path in the image without leading slash or `..`; `*` and `**` may stand in it"),
        ("a/../b", "write a path in the image without leading slash or `..`; `*` and `**` may stand in it"),
        ("**/*", "this would drop whole layers; name a path"),
    ] {
        refuses(
            &format!("[normalize]\ndrop = [\n{{ path = \"{path}\", because = \"x\" }}]\n"),
            &format!("line 3: `path = \"{path}\"`: {reason}"),
        );
    }
    refuses("[normalize]\ndrop = [{ path = \"a\" }]\n", "line 2: drop has no `because`");
    refuses(
        "[from]\n\"debian\" = \"debian\"\n",
        "line 2: `debian = \"debian\"`: `debian` names no registry; write HOST/REPOSITORY \
         (`docker.io/library/debian` for Docker Hub), or map it with `[from]` in reprov.toml or \
         `--from debian=HOST/REPOSITORY@sha256:...`",
    );
    refuses(
        "[from]\n\"debian\" = \"h.example/a\"\n\"docker.io/library/debian:latest\" = \"h.example/b\"\n",
        "line 3: `docker.io/library/debian:latest` is mapped twice in [from]; keep one",
    );
}

#[test]
fn refuses_what_is_not_toml_or_too_large() {
    assert!(matches!(Recipe::parse("a\n= [").unwrap_err(), RecipeError::Syntax { line: 1, .. }));
    assert!(matches!(Recipe::parse("[image]\n[image]\n").unwrap_err(), RecipeError::Syntax { line: 2, .. }));
    let large = "#".repeat((1 << 20) + 1);
    assert!(matches!(Recipe::parse(&large).unwrap_err(), RecipeError::Size { .. }));
    let deep = format!("[image]\ntarget = {}", "[".repeat(10_000));
    assert!(matches!(Recipe::parse(&deep).unwrap_err(), RecipeError::Syntax { line: 2, .. }));
}

fn repository(name: &str, kind: &str, url: &str) -> String {
    format!("[[repository]]\nname = \"{name}\"\nkind = \"{kind}\"\nurl = \"{url}\"\n")
}

#[test]
fn refuses_repositories_that_cannot_be_allowed() {
    let check = |url: &str, reason: &str, shown: &str| {
        let expected = format!("line 4: `url = \"{url}\"`: `{shown}` cannot be allowed: {reason}");
        refuses(&repository("a", "apt", url), &expected);
    };
    check("mirror.example.org/x", "not an absolute URL", "mirror.example.org/x");
    check("ftp://a.example/", "only http and https can be recorded", "ftp://a.example/");
    check("https://a.example/?x=1", "a prefix has no query or fragment", "https://a.example/?x=1");
    check("https://a.example/#x", "a prefix has no query or fragment", "https://a.example/#x");
    refuses(
        &repository("a", "deb", "http://a.example"),
        "line 3: `kind = \"deb\"`: did you mean `apt`? write one of apt, yum, pypi, npm, crates, go, generic",
    );
    refuses("[[repository]]\nname = \"a\"\n", "line 1: [[repository]] has no `kind`");
    let two = |a: &str, b: &str| repository("a", "apt", a) + &repository("b", "apt", b);
    refuses(
        &two("http://a.example/x/", "http://a.example/x"),
        "line 5: bad [[repository]]: `http://a.example/x` lies under `http://a.example/x`; keep one of them",
    );
    refuses(
        &two("http://a.example/x/y", "http://a.example/x"),
        "line 5: bad [[repository]]: `http://a.example/x/y` lies under `http://a.example/x`; keep one of them",
    );
    Recipe::parse(&two("http://a.example/debian", "http://a.example/debian-security")).unwrap();
    refuses(
        &(repository("a", "apt", "http://a.example") + &repository("a", "apt", "http://b.example")),
        "line 5: bad [[repository]]: two repositories are named `a`; rename one",
    );
    refuses(
        &repository("a b", "apt", "http://a.example"),
        "line 1: bad [[repository]]: `a b` is not a repository's name (letters, digits, `.`, `_`, `-`; at most 64)",
    );
}

#[test]
fn a_password_is_not_repeated() {
    let error = parse_allow("a=https://user:hunter2@a.example/x").unwrap_err().to_string();
    assert_eq!(error, "`https://a.example/x` cannot be allowed: credentials never belong into a recipe");
}

#[test]
fn reads_flags() {
    let repository = parse_allow("m=http://mirror.example.org/debian/").unwrap();
    assert_eq!(
        (repository.name.as_str(), repository.url.as_str()),
        ("m", "http://mirror.example.org/debian")
    );
    assert!(matches!(parse_allow("http://mirror.example.org"), Err(RepositoryError::Form { .. })));
    let (old, new) = parse_from("debian=registry.example.org/debian:1").unwrap();
    assert_eq!(
        (old.as_str(), new.to_string().as_str()),
        ("docker.io/library/debian:latest", "registry.example.org/debian:1")
    );
    assert!(matches!(parse_from("=registry.example.org/debian"), Err(RepositoryError::Form { .. })));
    assert!(matches!(parse_from("a=debian"), Err(RepositoryError::Image(_))));
}

#[track_caller]
fn system(files: &[(&str, &str)], expected: &[(&str, &str)]) {
    let files: Vec<_> =
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    let found = system_repositories(&files);
    let found: Vec<_> = found.iter().map(|found| (found.name.as_str(), found.url.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn reads_one_line_sources() {
    let text = "# deb http://no.example/a x main\n\
        deb http://a.example/debian/ bookworm main # http://c.example\n\
        deb-src http://src.example/debian bookworm main\n\
        deb [ arch=amd64 signed-by=/k.gpg ] https://b.example/x stable main\n\
        deb http://a.example/debian bookworm-updates main\n\
        deb cdrom:[x]/ bookworm main\ndeb file:///srv/x ./\ndeb\n debx http://d.example\n";
    system(
        &[("etc/apt/sources.list", text)],
        &[("apt-1", "http://a.example/debian"), ("apt-2", "https://b.example/x")],
    );
}

#[test]
fn reads_deb822_sources() {
    let text = "Types: deb deb-src\nURIs: http://a.example/debian\n  http://b.example/debian\nSuites: x\n# note\n\
        Components: main\n\nTypes: deb\nURIs: http://off.example\nEnabled: no\n\n\
        types: deb-src\nuris: http://src.example\n";
    system(
        &[("etc/apt/sources.list.d/x.sources", text)],
        &[("apt-1", "http://a.example/debian"), ("apt-2", "http://b.example/debian")],
    );
}

#[test]
fn reads_yum_repositories() {
    let text = "[main]\ngpgcheck=1\n[a]\nname=A $basearch\nbaseurl = https://a.example/linux/$releasever/os\n\
        [b]\nbaseurl=http://off.example\nenabled = 0\n[c]\nbaseurl=http://b.example/x, http://c.example/\n  \
        http://d.example/v$releasever/\nmetalink=https://m.example/?repo=x\n[d]\nbaseurl=$mirror/x\n";
    system(
        &[("etc/yum.repos.d/x.repo", text)],
        &[
            ("yum-1", "https://a.example/linux"),
            ("yum-2", "http://b.example/x"),
            ("yum-3", "http://c.example"),
            ("yum-4", "http://d.example"),
        ],
    );
}

#[test]
fn the_order_of_files_does_not_matter_and_nothing_is_named_twice() {
    let a =
        ("etc/apt/sources.list.d/a.list", "deb http://b.example/x/y s m\ndeb http://u:p@c.example/ s m\n");
    let b = ("etc/apt/sources.list.d/b.list", "deb http://a.example s m\ndeb http://b.example/x s m\n");
    let expected = [("apt-1", "http://a.example"), ("apt-2", "http://b.example/x")];
    system(&[a, b], &expected);
    system(&[b, a], &expected);
    system(&[("etc/motd", "deb http://a.example s m")], &[]);
}
