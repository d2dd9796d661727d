//! Rules about artifacts, as the reference implementation applies them: in order, each consuming what it names
//! (in-toto specification v1.0 §4.3.3; `in_toto.verifylib` 3.1). What no rule names is allowed.

use std::collections::{BTreeMap, BTreeSet};

use super::fnmatch::Pattern;
use crate::{
    attest::{Artifacts, Link, Match, Rule},
    model::path::printable,
};

/// Names told of those that a rule refuses.
const TOLD: usize = 5;

/// Holds the `products` or materials of `link` against `rules`; the first rule that refuses, in words. `links` are those that
/// MATCH may look into, by step.
pub(super) fn refused(
    rules: &[Rule],
    link: &Link,
    products: bool,
    links: &BTreeMap<String, Link>,
) -> Option<String> {
    let artifacts = if products { &link.products } else { &link.materials };
    let mut queue: BTreeSet<&str> = artifacts.keys().map(String::as_str).collect();
    for rule in rules {
        match rule {
            Rule::Require(name) if !queue.contains(name.as_str()) => {
                return Some(format!("{rule} does not find it"));
            }
            Rule::Require(_) => {}
            Rule::Disallow(pattern) => {
                let found = globbed(&queue, pattern);
                if !found.is_empty() {
                    return Some(format!("{rule} matches {}", told(&found)));
                }
            }
            rule => {
                for name in consumed(rule, &queue, link, artifacts, links) {
                    queue.remove(name);
                }
            }
        }
    }
    None
}

fn consumed<'a>(
    rule: &Rule,
    queue: &BTreeSet<&'a str>,
    link: &Link,
    artifacts: &Artifacts,
    links: &BTreeMap<String, Link>,
) -> Vec<&'a str> {
    let (materials, products) = (&link.materials, &link.products);
    let those = |pattern: &str, keep: &dyn Fn(&str) -> bool| {
        let mut found = globbed(queue, pattern);
        found.retain(|name| keep(name));
        found
    };
    match rule {
        Rule::Create(pattern) => {
            those(pattern, &|name| products.contains_key(name) && !materials.contains_key(name))
        }
        Rule::Delete(pattern) => {
            those(pattern, &|name| materials.contains_key(name) && !products.contains_key(name))
        }
        Rule::Modify(pattern) => those(pattern, &|name| {
            materials.get(name).zip(products.get(name)).is_some_and(|(before, after)| before != after)
        }),
        Rule::Allow(pattern) => those(pattern, &|_| true),
        Rule::Match(rule) => matched(rule, queue, artifacts, links),
        Rule::Disallow(_) | Rule::Require(_) => Vec::new(),
    }
}

fn matched<'a>(
    rule: &Match,
    queue: &BTreeSet<&'a str>,
    artifacts: &Artifacts,
    links: &BTreeMap<String, Link>,
) -> Vec<&'a str> {
    let Some(there) = links.get(&rule.from) else { return Vec::new() };
    let there = if rule.products { &there.products } else { &there.materials };
    let pattern = Pattern::new(&rule.pattern);
    let prefix = with_slash(&rule.prefix);
    let same = |name: &&&str| {
        let Some(rest) = name.strip_prefix(prefix.as_str()) else { return false };
        let other = joined(&rule.there, rest);
        pattern.matches(&rest.chars().collect::<Vec<_>>())
            && artifacts.get(**name).zip(there.get(&other)).is_some_and(|(here, there)| here == there)
    };
    queue.iter().filter(same).copied().collect()
}

fn with_slash(prefix: &str) -> String {
    let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
    format!("{prefix}{slash}").replace('\\', "/")
}

/// As Python joins paths: a second one that begins at the root is taken alone.
fn joined(prefix: &str, rest: &str) -> String {
    match prefix {
        "" => rest.to_owned(),
        _ if rest.starts_with('/') => rest.replace('\\', "/"),
        prefix => format!("{}{rest}", with_slash(prefix)).replace('\\', "/"),
    }
}

fn globbed<'a>(queue: &BTreeSet<&'a str>, pattern: &str) -> Vec<&'a str> {
    let pattern = Pattern::new(pattern);
    queue.iter().filter(|name| pattern.matches(&name.chars().collect::<Vec<_>>())).copied().collect()
}

fn told(names: &[&str]) -> String {
    let shown = |name: &&str| format!("`{}`", printable(&name.chars().take(200).collect::<String>()));
    let listed = names.iter().take(TOLD).map(shown).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(TOLD) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}
