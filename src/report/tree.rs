//! Where an image came from as a tree: what each part of it is, and what that is worth.

use std::fmt::Write as _;

use askama::Template;
use serde::Serialize;

use crate::model::path::printable;

/// What a part of the tree is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was looked at in this run: a signature by a trusted key, or bytes of the digest that a trusted statement names.
    Verified,
    /// Somebody says so; nobody looked, or nobody who is trusted says it.
    Claimed,
    /// It is named, and cannot be had; or it should be there and is not.
    Missing,
}

impl State {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Verified, Self::Claimed, Self::Missing];

    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Claimed => "claimed",
            Self::Missing => "missing",
        }
    }

    /// What something is worth that is there, and that a trusted statement names or not.
    #[must_use]
    pub fn of(there: bool, vouched: bool) -> Self {
        match (there, vouched) {
            (true, true) => Self::Verified,
            (true, false) => Self::Claimed,
            (false, _) => Self::Missing,
        }
    }
}

/// A part of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// `image`, `provenance`, `builder`, `commit`, `buildroot`, `repository`, `inputs`, `input`, `log`, `base`, …
    pub kind: &'static str,
    /// What it is called.
    pub name: String,
    /// Of its bytes, or of its commit.
    pub digest: Option<String>,
    /// What it is worth.
    pub state: State,
    /// Why: what was looked at, or what was not.
    pub why: String,
    /// What it came from.
    pub children: Vec<Node>,
}

impl Node {
    /// A part without anything below it.
    #[must_use]
    pub fn new(kind: &'static str, name: impl Into<String>, state: State, why: impl Into<String>) -> Self {
        Self { kind, name: name.into(), digest: None, state, why: why.into(), children: Vec::new() }
    }

    /// With a digest.
    #[must_use]
    pub fn digest(mut self, digest: impl Into<String>) -> Self {
        self.digest = Some(digest.into());
        self
    }

    /// How many parts of the tree are worth `state`.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        usize::from(self.state == state) + self.children.iter().map(|child| child.count(state)).sum::<usize>()
    }

    /// How many parts there are.
    #[must_use]
    pub fn size(&self) -> usize {
        1 + self.children.iter().map(Self::size).sum::<usize>()
    }

    /// Its digest, unless its name has it.
    pub(super) fn other_digest(&self) -> Option<&String> {
        let hex = |digest: &str| digest.rsplit(':').next().unwrap_or_default().to_owned();
        self.digest.as_ref().filter(|digest| !self.name.contains(&hex(digest)))
    }

    /// What it is, in a line.
    fn shown(&self) -> String {
        let mut text = printable(&self.name);
        if let Some(digest) = self.other_digest() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&printable(digest));
        }
        text
    }

    /// For a terminal: a line for each part.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.lines("", "", &mut out);
        let counted = State::ALL.map(|state| format!("{} {}", self.count(state), state.name()));
        let _ = writeln!(out, "{}", counted.join(", ")); // Writing to a String cannot fail.
        out
    }

    fn lines(&self, own: &str, below: &str, out: &mut String) {
        let state = self.state.name().to_uppercase();
        let state = if self.state == State::Verified { self.state.name() } else { state.as_str() };
        let why = printable(&self.why);
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        let _ = writeln!(out, "{own}{} {} [{state}{why}]", self.kind, self.shown());
        for (index, child) in self.children.iter().enumerate() {
            let last = index + 1 == self.children.len();
            let (corner, line) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            child.lines(&format!("{below}{corner}"), &format!("{below}{line}"), out);
        }
    }

    /// For graphviz. Names are quoted, so they can draw nothing of their own.
    #[must_use]
    pub fn dot(&self) -> String {
        let mut out = String::from(
            "digraph reprov {\n  rankdir=LR;\n  node [shape=box, style=filled, fontname=\"sans-serif\"];\n",
        );
        self.nodes(None, &mut 0, &mut out);
        out.push_str("}\n");
        out
    }

    fn nodes(&self, above: Option<usize>, next: &mut usize, out: &mut String) {
        let own = *next;
        *next += 1;
        let color = match self.state {
            State::Verified => "#d3f2dc",
            State::Claimed => "#fdf0cf",
            State::Missing => "#fbd9d7",
        };
        let words = [self.kind, &self.shown(), self.state.name()].map(quoted).join("\\n");
        let why = quoted(&printable(&self.why));
        let _ = writeln!(out, "  n{own} [label=\"{words}\", tooltip=\"{why}\", fillcolor=\"{color}\"];");
        if let Some(above) = above {
            let _ = writeln!(out, "  n{above} -> n{own};");
        }
        for child in &self.children {
            child.nodes(Some(own), next, out);
        }
    }

    /// One page that needs nothing else and runs nothing.
    ///
    /// # Panics
    /// Never: a String takes whatever the template writes.
    #[must_use]
    pub fn html(&self) -> String {
        let page = Page {
            title: self.shown(),
            counts: State::ALL.map(|state| (state.name(), self.count(state))),
            tree: self.branch(),
        };
        page.render().expect("a String takes whatever the template writes")
    }

    /// It and what is below it, as nested lists that fold.
    pub(super) fn branch(&self) -> String {
        let branch = Branch {
            kind: self.kind,
            name: printable(&self.name),
            digest: self.other_digest(),
            state: self.state.name(),
            why: printable(&self.why),
            open: self.kind != "inputs" && self.kind != "repository",
            children: self.children.iter().map(Self::branch).collect(),
        };
        branch.render().expect("a String takes whatever the template writes")
    }
}

/// Text inside a quoted string of DOT: `\` starts an escape there, `"` ends it.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[derive(Template)]
#[template(path = "trace.html")]
struct Page {
    title: String,
    counts: [(&'static str, usize); 3],
    /// Rendered by [`Branch`], which escapes.
    tree: String,
}

#[derive(Template)]
#[template(path = "branch.html")]
struct Branch<'a> {
    kind: &'a str,
    name: String,
    digest: Option<&'a String>,
    state: &'a str,
    why: String,
    open: bool,
    /// Each rendered by this template, which escapes.
    children: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Node {
        let mut image =
            Node::new("image", "r.example/app@sha256:aa", State::Verified, "its bytes have this digest")
                .digest("sha256:aa");
        let mut repository =
            Node::new("repository", "main http://m.example", State::Claimed, "the builder says so");
        repository.children =
            vec![Node::new("input", "a\"b\\n<b>\u{202e}", State::Missing, "").digest("sha256:bb")];
        image.children = vec![repository, Node::new("log", "", State::Verified, "").digest("sha256:cc")];
        image
    }

    #[test]
    fn as_text() {
        insta::assert_snapshot!(tree().text(), @r#"
        image r.example/app@sha256:aa [verified: its bytes have this digest]
        ├─ repository main http://m.example [CLAIMED: the builder says so]
        │  └─ input a"b\n<b>\u{202e} sha256:bb [MISSING]
        └─ log sha256:cc [verified]
        2 verified, 1 claimed, 1 missing
        "#);
    }

    #[test]
    fn as_a_graph() {
        let dot = tree().dot();
        assert!(dot.contains(r#"label="input\na\"b\\n<b>\\u{202e} sha256:bb\nmissing""#), "{dot}");
        assert!(dot.contains("n1 -> n2;") && dot.contains("n0 -> n3;"), "{dot}");
    }

    #[test]
    fn as_a_page() {
        let page = tree().html();
        assert!(page.contains("&#60;b&#62;") && !page.contains("<b>\\u"), "{page}");
        assert!(!page.contains("<script") && !page.contains("http-equiv=\"refresh"));
        for state in State::ALL {
            assert!(page.contains(state.name()));
        }
    }
}
