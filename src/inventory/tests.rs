use super::*;

const FULL: &str = r#"
[defaults]
owner = "platform@example.org"
trust = ["keys/ci.pub"]
every = "7d"

[[group]]
name = "web"
images = ["registry.example.org/web:1", "registry.example.org/web@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
repository = "registry.example.org/api"
tags = ["1.*", "2.*"]
policy = "release"
rebuild = "both"
vary = ["time=+30d", "hostname"]
priority = 10
timeout = "30m"
accept = ["compression-only"]

[[group]]
name = "cluster"
pods = "pods.json"
file = ["a.txt", "b.txt"]
owner = "ops@example.org"
every = "12h"
rebuild = "none"
trust = []

[[notify]]
kind = "webhook"
url = "https://hooks.example.org/x"
"#;

#[test]
fn reads_every_key() {
    let inventory = Inventory::parse(FULL).unwrap();
    let [web, cluster] = &inventory.groups[..] else { panic!("two groups") };
    assert_eq!(web.images.len(), 2);
    assert_eq!(web.tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["1.*", "2.*"]);
    assert_eq!(web.repositories[0].to_string(), "registry.example.org/api");
    assert_eq!((web.rebuild, web.verify, web.priority), (Rebuild::Both, true, 10));
    assert_eq!(web.vary.names(), ["time=+30d", "hostname"]);
    assert_eq!((web.every.to_string(), web.timeout.to_string()), ("7d".to_owned(), "30m".to_owned()));
    assert_eq!(web.owner.as_deref(), Some("platform@example.org"));
    assert_eq!(web.accept, [Verdict::CompressionOnly]);
    assert_eq!(web.platform, "linux/amd64");
    assert_eq!(
        (cluster.rebuild, cluster.priority, cluster.timeout.to_string()),
        (Rebuild::No, 0, "2h".to_owned())
    );
    assert_eq!(
        (cluster.owner.as_deref(), cluster.every.to_string()),
        (Some("ops@example.org"), "12h".to_owned())
    );
    assert!(cluster.trust.is_empty(), "a group's own list is not joined with the defaults");
    assert_eq!((cluster.files.len(), cluster.pods.len()), (2, 1));
    assert_eq!(inventory.notify[0]["kind"].as_str(), Some("webhook"));
}

#[test]
fn says_what_is_wrong_and_where() {
    let check = |text: &str, expected: &str| {
        let error = Inventory::parse(text).unwrap_err().to_string();
        assert_eq!(error, expected);
    };
    let group = "[[group]]\nname = \"a\"\nimages = [\"registry.example.org/a:1\"]\n";
    check("", "there is no [[group]]; write one with `name` and `images`");
    check(&format!("{group}evry = \"7d\"\n"), "line 4: unknown key `evry`; did you mean `every`?");
    check(&format!("[default]\n{group}"), "line 1: unknown key `default`; did you mean `defaults`?");
    check(
        &format!("[defaults]\nimages = []\n{group}"),
        "line 2: unknown key `images`; did you mean `owner`?",
    );
    check(
        &format!("{group}every = \"weekly\"\n"),
        "line 4: `every = \"weekly\"`: `weekly` is not a span of time; write a number with s, m, h, d or w: `90m`, `6h`, `7d`",
    );
    check(
        &format!("{group}rebuild = \"yes\"\n"),
        "line 4: `rebuild = \"yes\"`: write `none`, `replay`, `live` or `both`",
    );
    check(&format!("{group}{group}"), "line 5: `name = \"a\"`: another group has this name already");
    check(&format!("{group}priority = 101\n"), "line 4: `priority = \"101\"`: write -100 to 100");
    check(
        &format!("{group}verify = false\nrebuild = \"none\"\n"),
        "group `a` asks for nothing: `verify = false` and `rebuild = \"none\"`",
    );
    check(
        &format!("{group}vary = [\"time\"]\nrebuild = \"live\"\n"),
        "group `a` has `vary`, which changes replays, and replays nothing; write `rebuild = \"replay\"`",
    );
    check(
        "[[group]]\nname = \"a\"\n",
        "group `a` names no image; give it `images`, `repository` with `tags`, `file` or `pods`",
    );
    check(
        &format!("{group}tags = \"1.*\"\n"),
        "group `a` has `tags` without `repository`; tags are those of a repository",
    );
    check(
        "[[group]]\nname = \"a\"\nimages = [\n  \"registry.example.org/a:1\",\n  \"web:1\",\n]\n",
        "line 5: `images = \"web:1\"`: it names no registry; write HOST/REPOSITORY:TAG or oci:DIR:TAG",
    );
    check(
        "[[group]]\nname = \"a\"\nrepository = \"registry.example.org/a:1\"\ntags = \"*\"\n",
        "line 3: `repository = \"registry.example.org/a:1\"`: a repository has no tag and no digest; images with one stand in `images`",
    );
    check(
        "[[group]]\nname = \"a\"\nrepository = \"registry.example.org/a\"\ntags = [\"*\", \"[1]\"]\n",
        "line 4: `tags = \"[1]\"`: write letters, digits, `_`, `.`, `-`, `*` for any run of them, `?` for one",
    );
    check(&format!("{group}name = \"b\"\n"), "line 4: duplicate key");
    let notify =
        format!("{group}owner = \"team\"\n[[notify]]\nname = \"x\"\ngroups = [\"a\"]\nowners = [\"team\"]\n");
    assert!(Inventory::parse(&notify).is_ok());
    check(
        &notify.replace("groups = [\"a\"]", "groups = [\n  \"a\",\n  \"aa\",\n]"),
        "line 9: `groups = \"aa\"`: no group is called so; did you mean `a`?",
    );
    check(
        &notify.replace("[\"team\"]", "[\"taem\"]"),
        "line 8: `owners = \"taem\"`: no group has this owner; did you mean `team`?",
    );
    check(&notify.replace("owner = \"team\"\n", ""), "line 7: `owners = \"team\"`: no group has this owner");
    let large = format!("#{}\n{group}", "x".repeat(1 << 20));
    assert!(matches!(Inventory::parse(&large), Err(InventoryError::Size { .. })));
}
