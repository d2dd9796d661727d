//! `[[repository]]`: kinds, keys, and what must hold between several.

use super::*;

fn table(name: &str, kind: &str, url: &str, more: &str) -> String {
    format!("[[repository]]\nname = \"{name}\"\nkind = \"{kind}\"\nurl = \"{url}\"\n{more}\n")
}

#[test]
fn a_misspelt_kind_names_the_nearest() {
    let check = |kind: &str, meant: &str| {
        let names = "write one of apt, yum, pypi, npm, crates, go, generic";
        let expected = format!("line 3: `kind = \"{kind}\"`: did you mean `{meant}`? {names}");
        refuses(&table("a", kind, "http://a.example", ""), &expected);
    };
    for (kind, meant) in [
        ("Apt", "apt"),
        ("atp", "apt"),
        ("deb", "apt"),
        ("dnf", "yum"),
        ("pipy", "pypi"),
        ("pip", "pypi"),
        ("nmp", "npm"),
        ("crate", "crates"),
        ("cargo", "crates"),
        ("golang", "go"),
        ("genric", "generic"),
    ] {
        check(kind, meant);
    }
    refuses(
        &table("a", "frobnicate", "http://a.example", ""),
        "line 3: `kind = \"frobnicate\"`: write one of apt, yum, pypi, npm, crates, go, generic",
    );
}

#[test]
fn requests_are_not_led_in_a_circle() {
    let one = |url: &str, replace: &str| table("a", "apt", url, &format!("replace = [\"{replace}\"]"));
    let circle = |line, (replace, replacing): (&str, &str), (url, replaced): (&str, &str)| {
        format!(
            "line {line}: bad [[repository]]: `{replace}` in `replace` of `{replacing}` and `{url}`, the `url` of \
             `{replaced}`, lie one under the other, so requests would be led in a circle; take one of them away"
        )
    };
    for (url, replace) in [
        ("http://a.example/x", "http://a.example/x"),
        ("http://a.example/x", "http://a.example/x/y"),
        ("http://a.example/x/y", "http://a.example/x"),
        ("http://a.example/x", "http://a.example"),
    ] {
        refuses(&one(url, replace), &circle(1, (replace, "a"), (url, "a")));
    }
    let equal = one("http://A.example:80/x/", "http://a.example/./x");
    refuses(&equal, &circle(1, ("http://a.example/x", "a"), ("http://a.example/x", "a")));
    let chain = one("http://a.example", "http://b.example")
        + &table("b", "apt", "http://b.example", "replace = [\"http://a.example\"]");
    refuses(&chain, &circle(6, ("http://b.example", "a"), ("http://b.example", "b")));
    let twice = one("http://a.example", "http://old.example/x")
        + &table("b", "apt", "http://b.example", "replace = [\"http://old.example/x/y\"]");
    refuses(
        &twice,
        "line 6: bad [[repository]]: `http://old.example/x/y` lies under `http://old.example/x`; keep one of them",
    );
    Recipe::parse(&one("http://a.example/x", "http://a.example/xy")).unwrap();
}

#[test]
fn only_what_is_signed_can_be_pinned() {
    let key = "key = \"keys/./a.asc\"";
    for kind in ["apt", "yum"] {
        let recipe = Recipe::parse(&table("a", kind, "http://a.example", key)).unwrap();
        assert_eq!(recipe.access["a"].key.as_deref(), Some("keys/a.asc"));
    }
    for kind in ["pypi", "npm", "crates", "go", "generic"] {
        refuses(
            &table("a", kind, "http://a.example", key),
            &format!(
                "line 5: `key = \"keys/./a.asc\"`: a key pins repositories of kind apt and yum; what {kind} serves has no \
                 OpenPGP signatures to check"
            ),
        );
    }
    refuses(
        &table("a", "apt", "http://a.example", "key = \"../a.asc\""),
        "line 5: `key = \"../a.asc\"`: write a path relative to the source, without `..`",
    );
}

#[test]
fn a_tool_has_one_default_index() {
    let configured =
        |name: &str, kind: &str| table(name, kind, &format!("http://{name}.example"), "configure = true");
    let parsed = |text: &str| Recipe::parse(text).unwrap().repositories;
    for kind in ["yum", "pypi", "npm", "go"] {
        let Repositories::Only(read) = parsed(&configured("a", kind)) else { panic!("{kind}") };
        assert!(read[0].configure);
    }
    parsed(&(configured("a", "yum") + &configured("b", "yum")));
    parsed(&(configured("a", "npm") + &configured("b", "go")));
    for kind in ["pypi", "npm", "go"] {
        refuses(
            &(configured("a", kind) + &configured("b", kind)),
            &format!(
                "line 6: bad [[repository]]: `a` and `b` are both configured as the one {kind} index of the steps; \
                 configure one"
            ),
        );
    }
    for (kind, why) in
        [("apt", "apt needs nothing set"), ("crates", "cargo reads"), ("generic", "no tool has")]
    {
        let error = Recipe::parse(&configured("a", kind)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("line 5: `configure = \"true\"`: {why}")), "{error}");
        parsed(&table("a", kind, "http://a.example", "configure = false"));
    }
}
