use super::*;

const CODES: &[&str] = &["sbom-missing", "stale"];

fn read(text: &str) -> Result<Policy, PolicyError> {
    Policy::parse(text, CODES)
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = read(text).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn defaults_are_the_documented_ones() {
    let policy = read("builders = [\"https://ci.example.org/reprov@v1\"]").unwrap();
    let these = Allowed::These(["https://ci.example.org/reprov@v1".to_owned()].into());
    let digest = policy.digest;
    assert_eq!(policy, Policy { digest, builders: these, ..Policy::none() });
    assert!(policy.is_applied());
}

#[test]
fn the_starters_are_policies() {
    for (name, text) in STARTERS {
        assert_eq!(&read(text).unwrap().name, name);
        assert_eq!(starter(name), Some(*text));
    }
    assert_eq!(starter("slsa-l4"), None);
}

#[test]
fn unknown_keys_name_the_nearest() {
    refused("bulders = []", "line 1: unknown key `bulders`; did you mean `builders`?");
    refused(
        "builders = [\"*\"]\n\n[bases]\npined = true",
        "line 4: unknown key `pined`; did you mean `pinned`?",
    );
    refused(
        "builders = [\"*\"]\n[[waiver]]\nowners = \"x\"",
        "line 3: unknown key `owners`; did you mean `owner`?",
    );
}

#[test]
fn says_what_is_promoted_where() {
    let policy = read("builders = [\"*\"]\n[promote]\nto = [\"a.example/prod/*\"]\nindex = true").unwrap();
    let promote = policy.promote.unwrap();
    assert!(promote.from.is_none() && promote.index && promote.to.unwrap()[0].matches("a.example/prod/x"));
    let policy = read("builders = [\"*\"]\n[promoted]\nto = [\"a.example/x\"]\nmax-age = \"1h\"").unwrap();
    assert_eq!(policy.promoted.unwrap().max_age_s, Some(3600));
    refused("builders = [\"*\"]\n[promote]\nform = []", "line 3: unknown key `form`; did you mean `from`?");
    refused("builders = [\"*\"]\n[promoted]\nmax-age = \"1h\"", "missing field `to`");
    refused("builders = [\"*\"]\n[promote]\nto = [\"\"]", "matches nothing");
}

#[test]
fn says_what_verifiers_must_have_said_of_the_commit() {
    let policy = read("builders = [\"*\"]\n[source]").unwrap();
    assert_eq!(policy.source, Some(Source { level: 1, max_age_s: None, refs: None }));
    let text = "builders = [\"*\"]\n[source]\nlevel = 4\nmax-age = \"1h\"\nrefs = [\"refs/tags/*\"]";
    let source = read(text).unwrap().source.unwrap();
    assert_eq!((source.level, source.max_age_s), (4, Some(3600)));
    assert!(source.refs.unwrap()[0].matches("refs/tags/v1"));
    for level in ["0", "5", "-1"] {
        refused(&format!("builders = [\"*\"]\n[source]\nlevel = {level}"), "line 3: `level");
    }
    refused(
        "builders = [\"*\"]\n[source]\nlevels = 3",
        "line 3: unknown key `levels`; did you mean `level`?",
    );
    refused("builders = [\"*\"]\n[source]\nmax-age = \"old\"", "line 3: `max-age");
    refused("builders = [\"*\"]\n[source]\nrefs = [\"\"]", "matches nothing");
    let trust = |rest: &str| format!("builders = [\"*\"]\n[[trust]]\nkey = \"scs.pub\"\n{rest}");
    assert_eq!(read(&trust("")).unwrap().trust[0].source_level, 4);
    assert_eq!(read(&trust("source-level = 2")).unwrap().trust[0].source_level, 2);
    refused(&trust("source-level = 5"), "line 4: `source-level = \"5\"`: write 0 to 4");
}

#[test]
fn values_that_mean_nothing_have_their_line() {
    refused("builders = [", "line 1:");
    refused("builders = 1", "line 1:");
    refused("builders = []", "names no builder");
    refused("predicates = []", "names no builder");
    refused("builders = [\"*\"]\nsources = [\"git+https://h*\"]", "line 2: `sources = \"git+https://h*\"`");
    refused("builders = [\"*\"]\nlevel = 4", "line 2: `level = \"4\"`: write 0 to 3");
    refused("builders = [\"*\"]\nmax-age = \"1y\"", "line 2: `max-age = \"1y\"`");
    refused("builders = [\"*\"]\nexternal-parameters = \"all\"", "write `strict` or `any`");
    refused("builders = [\"*\"]\nclosed = [\"weekend\"]", "write `sat`");
    refused("builders = [\"*\"]\n[[rule]]\ncode = \"sbom-mising\"", "did you mean `sbom-missing`?");
    refused("builders = [\"*\"]\n[[rule]]\ncode = \"stale\"\nseverity = \"fatal\"", "write `deny`");
    refused("builders = [\"*\"]\n[rebuild]\nverdicts = [\"same\"]", "write some of reproduced");
    refused("builders = [\"*\"]\n[inputs]\nrefuse = [{ because = \"x\" }]", "name either `url` or `package`");
    refused(
        "builders = [\"*\"]\n[[repository]]\nurl = \"https://m/*\"\nkeys = [\"md5:1\"]",
        "does not start with `sha256:`",
    );
    refused(&format!("#{}", "x".repeat(1 << 20)), "larger than");
}

#[test]
fn signers_are_one_of_two_kinds() {
    let trust = |rest: &str| format!("builders = [\"*\"]\n[[trust]]\n{rest}");
    for rest in ["", "key = \"a\"\nidentity = \"b\"\nissuer = \"c\"", "identity = \"b\"", "issuer = \"c\""] {
        refused(&trust(rest), "[[trust]] 1: name its signer");
    }
    refused(&trust("identity = \"b\"\nissuer = \"c\""), "[[trust]] 1 is an identity; say with `trusted-root");
    let trust = |rest: &str| format!("trusted-root = \"root.json\"\n{}", trust(rest));
    for anybody in ["*", "**"] {
        refused(&trust(&format!("identity = \"{anybody}\"\nissuer = \"c\"")), "anybody is nobody");
    }
    let policy = read(&trust("key = \"ci.pub\"\nbuilders = [\"https://x\"]\nlevel = 3")).unwrap();
    assert_eq!((policy.trust[0].level, policy.trust[0].builders.has("https://x")), (3, true));
    let own = "[[trust]]\nkey = \"ci.pub\"\nbuilders = [\"https://x\"]";
    assert_eq!(read(own).unwrap().builders, Allowed::These([].into()));
}

#[test]
fn waivers_have_an_owner_a_reason_and_an_end() {
    let whole = "builders = [\"*\"]\n[[waiver]]\ncode = \"sbom-missing\"\nowner = \"ops\"\nreason = \"soon\"\nuntil = \"2027-06-30\"";
    let waiver = read(whole).unwrap().waivers.remove(0);
    assert_eq!((waiver.until.as_str(), waiver.until_s), ("2027-06-30", 1_814_399_999));
    for key in ["code", "owner", "reason", "until"] {
        let without: Vec<&str> = whole.lines().filter(|line| !line.starts_with(key)).collect();
        refused(&without.join("\n"), &format!("[[waiver]] 1 has no `{key}`"));
    }
    refused(&whole.replace("\"ops\"", "\" \""), "has no `owner`");
    refused(&whole.replace("2027-06-30", "soon"), "write a day");
    refused(&whole.replace("sbom-missing", "signer-untrusted"), "no finding that a policy may change");
}
