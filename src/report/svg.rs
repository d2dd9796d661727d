//! The tree of where an image came from as a drawing that needs nothing else and runs nothing: a box for each part, a line of
//! boxes downwards, each below and right of what it belongs to.
//!
//! Names are strangers'. They are cut, escaped, and clipped to their own line of their own box, so no letter of theirs covers
//! anything that reprov says.

use std::fmt::Write as _;

use super::{
    junit::escaped,
    tree::{Node, State},
};
use crate::model::path::printable;

/// Width of a letter; of one that is not ASCII twice that.
const COLUMN: usize = 8;
const INDENT: usize = 28;
const MARGIN: usize = 12;
const BOX_HEIGHT: usize = 46;
/// From the top of one box to the top of the next.
const ROW_HEIGHT: usize = BOX_HEIGHT + 10;
const PADDING: usize = 10;
/// Widest name that is shown whole.
const NAME_COLUMNS_MAX: usize = 80;
/// How many letters of a digest are shown after its algorithm.
const DIGEST_LETTERS: usize = 12;
const STYLE: &str = "text{font:13px monospace;fill:#1c1e21;white-space:pre}.kind{font-weight:bold}.digest{fill:#555}\
                     path{fill:none;stroke:#888}";

impl Node {
    /// The tree as SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut drawing = Drawing { body: String::new(), rows: 0, right: 0 };
        drawing.node(self, 0, None);
        let counted = State::ALL.map(|state| format!("{} {}", self.count(state), state.name())).join(", ");
        let (left, base) = (MARGIN, MARGIN + drawing.rows * ROW_HEIGHT + 14);
        let width = drawing.right.max(left + columns(&counted) * COLUMN) + MARGIN;
        let height = base + MARGIN;
        let title = escaped(&printable(&self.name));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <title>Where {title} came from</title>\n<style>{STYLE}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n{}\
             <text x=\"{left}\" y=\"{base}\">{counted}</text>\n</svg>\n",
            drawing.body
        )
    }
}

/// What is drawn so far.
struct Drawing {
    body: String,
    rows: usize,
    /// Right end of the widest box.
    right: usize,
}

impl Drawing {
    /// Draws `node` and what is below it; `above` is the left upper corner of the box it hangs from.
    fn node(&mut self, node: &Node, depth: usize, above: Option<(usize, usize)>) {
        let (x, y) = (MARGIN + depth * INDENT, MARGIN + self.rows * ROW_HEIGHT);
        self.rows += 1;
        if let Some((above_x, above_y)) = above {
            let (from_x, from_y) = (above_x + INDENT / 2, above_y + BOX_HEIGHT);
            let _ = writeln!(self.body, "<path d=\"M{from_x} {from_y}V{}H{x}\"/>", y + BOX_HEIGHT / 2);
        }
        let width = self.part(node, (x, y));
        self.right = self.right.max(x + width);
        for child in &node.children {
            self.node(child, depth + 1, Some((x, y)));
        }
    }

    /// Draws one box, and says how wide it is.
    fn part(&mut self, node: &Node, (x, y): (usize, usize)) -> usize {
        let (fill, stroke) = match node.state {
            State::Verified => ("#d3f2dc", "#2f8f4e"),
            State::Claimed => ("#fdf0cf", "#b58a1b"),
            State::Missing => ("#fbd9d7", "#c0392b"),
        };
        let (name, digest) = (
            cut(&printable(&node.name)),
            node.other_digest().map(|digest| short(digest)).unwrap_or_default(),
        );
        let state = node.state.name();
        let state_at = PADDING + (columns(node.kind) + 2) * COLUMN;
        let gap = usize::from(!name.is_empty()) * 2;
        let digest_at = (columns(&name) + gap) * COLUMN;
        let line = digest_at + columns(&digest) * COLUMN;
        let width = (state_at + columns(state) * COLUMN).max(PADDING + line) + PADDING;
        let parts = [node.kind, state, &node.name, node.digest.as_deref().unwrap_or_default(), &node.why];
        let title: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).map(printable).collect();
        let _ = writeln!(
            self.body,
            "<g transform=\"translate({x} {y})\"><title>{}</title>\
             <rect width=\"{width}\" height=\"{BOX_HEIGHT}\" rx=\"4\" fill=\"{fill}\" stroke=\"{stroke}\"/>\
             <text class=\"kind\" x=\"{PADDING}\" y=\"18\">{}</text>\
             <text x=\"{state_at}\" y=\"18\" style=\"fill:{stroke}\">{state}</text>\
             <svg x=\"{PADDING}\" y=\"23\" width=\"{}\" height=\"20\"><text y=\"14\">{}</text>\
             <text class=\"digest\" x=\"{digest_at}\" y=\"14\">{}</text></svg></g>",
            escaped(&title.join("\n")),
            escaped(node.kind),
            line.max(1),
            escaped(&name),
            escaped(&digest)
        ); // Writing to a String cannot fail.
        width
    }
}

fn width(letter: char) -> usize {
    if letter.is_ascii() { 1 } else { 2 }
}

fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// A name that fits, with `…` where something is left out.
fn cut(name: &str) -> String {
    if columns(name) <= NAME_COLUMNS_MAX {
        return name.to_owned();
    }
    let mut left = NAME_COLUMNS_MAX - width('…');
    let fits = |letter: &char| {
        let fits = width(*letter) <= left;
        left = left.saturating_sub(width(*letter));
        fits
    };
    name.chars().take_while(fits).chain(['…']).collect()
}

/// A digest by its first letters.
fn short(digest: &str) -> String {
    let digest = printable(digest);
    let (algorithm, value) = digest.split_once(':').unwrap_or(("", &digest));
    let value: String = value.chars().take(DIGEST_LETTERS).collect();
    cut(&if algorithm.is_empty() { value } else { format!("{algorithm}:{value}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str) -> Node {
        let mut image = Node::new("image", "r.example/app", State::Verified, "its manifest has this digest")
            .digest(format!("sha256:{}", "a1".repeat(32)));
        let mut repository = Node::new("repository", "main", State::Claimed, "the builder says so");
        repository.children = vec![Node::new("input", name, State::Missing, "").digest("sha256:bb")];
        image.children = vec![repository, Node::new("log", "", State::Verified, "").digest("sha256:cc")];
        image
    }

    #[test]
    fn as_a_drawing() {
        insta::assert_snapshot!(tree("a\"b\\n<b>\u{202e}").svg(), @r##"
        <svg xmlns="http://www.w3.org/2000/svg" width="316" height="262" viewBox="0 0 316 262" role="img">
        <title>Where r.example/app came from</title>
        <style>text{font:13px monospace;fill:#1c1e21;white-space:pre}.kind{font-weight:bold}.digest{fill:#555}path{fill:none;stroke:#888}</style>
        <rect width="316" height="262" fill="#fff"/>
        <g transform="translate(12 12)"><title>image
        verified
        r.example/app
        sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
        its manifest has this digest</title><rect width="292" height="46" rx="4" fill="#d3f2dc" stroke="#2f8f4e"/><text class="kind" x="10" y="18">image</text><text x="66" y="18" style="fill:#2f8f4e">verified</text><svg x="10" y="23" width="272" height="20"><text y="14">r.example/app</text><text class="digest" x="120" y="14">sha256:a1a1a1a1a1a1</text></svg></g>
        <path d="M26 58V91H40"/>
        <g transform="translate(40 68)"><title>repository
        claimed
        main
        the builder says so</title><rect width="172" height="46" rx="4" fill="#fdf0cf" stroke="#b58a1b"/><text class="kind" x="10" y="18">repository</text><text x="106" y="18" style="fill:#b58a1b">claimed</text><svg x="10" y="23" width="48" height="20"><text y="14">main</text><text class="digest" x="48" y="14"></text></svg></g>
        <path d="M54 114V147H68"/>
        <g transform="translate(68 124)"><title>input
        missing
        a&quot;b\n&lt;b&gt;\u{202e}
        sha256:bb</title><rect width="236" height="46" rx="4" fill="#fbd9d7" stroke="#c0392b"/><text class="kind" x="10" y="18">input</text><text x="66" y="18" style="fill:#c0392b">missing</text><svg x="10" y="23" width="216" height="20"><text y="14">a&quot;b\n&lt;b&gt;\u{202e}</text><text class="digest" x="144" y="14">sha256:bb</text></svg></g>
        <path d="M26 58V203H40"/>
        <g transform="translate(40 180)"><title>log
        verified
        sha256:cc</title><rect width="124" height="46" rx="4" fill="#d3f2dc" stroke="#2f8f4e"/><text class="kind" x="10" y="18">log</text><text x="50" y="18" style="fill:#2f8f4e">verified</text><svg x="10" y="23" width="72" height="20"><text y="14"></text><text class="digest" x="0" y="14">sha256:cc</text></svg></g>
        <text x="12" y="250">2 verified, 1 claimed, 1 missing</text>
        </svg>
        "##);
    }

    /// Elements and attributes are reprov's own, whatever a name is; it is never in the drawing but as text.
    #[track_caller]
    fn check(name: &str) {
        let drawing = tree(name).svg();
        let plain = tree("x").svg();
        let shape = |text: &str| -> Vec<String> {
            let tag = |part: &str| part.split('>').next().unwrap_or_default().to_owned();
            let digits = |tag: String| tag.chars().filter(|letter| !letter.is_ascii_digit()).collect();
            text.split('<').skip(1).map(tag).map(digits).collect()
        };
        assert_eq!(shape(&drawing), shape(&plain), "{name:?}");
        let allowed = |letter: char| letter == '\n' || printable(&letter.to_string()) == letter.to_string();
        assert!(
            drawing.chars().all(|letter| allowed(letter) && !"\u{fffe}\u{ffff}".contains(letter)),
            "{name:?}"
        );
        assert_eq!(
            drawing.matches('&').count(),
            ["amp;", "lt;", "gt;", "quot;", "apos;"]
                .map(|entity| drawing.matches(&format!("&{entity}")).count())
                .iter()
                .sum::<usize>()
        );
        assert_eq!(drawing, tree(name).svg());
    }

    #[test]
    fn names_draw_nothing_of_their_own() {
        for name in [
            "",
            "</text><script>alert(1)</script>",
            "]]>&lt;&#0;&\"' onload='x'",
            "<!--",
            "\0\u{1b}[2J\u{7}\r\n\t\u{85}",
            "\u{202e}\u{2066}evil\u{200b}",
            "\u{fffe}\u{ffff}\u{fffd}",
            "a\u{300}\u{300}\u{300}\u{300}\u{300}",
            "日本語🦀",
        ] {
            check(name);
            check(&name.repeat(500));
        }
    }

    #[test]
    fn long_names_are_cut_and_whole_in_the_title() {
        let name = format!("{}END", "x".repeat(20_000));
        let drawing = tree(&name).svg();
        assert_eq!(drawing.matches("END").count(), 1);
        assert!(drawing.contains(&format!("input\nmissing\n{name}\nsha256:bb</title>")));
        let width: usize = drawing.split('"').nth(3).unwrap().parse().unwrap();
        assert!(width < 1000, "{width}");
        let wide = |columns| cut(&"日".repeat(columns));
        assert_eq!((columns(&wide(40)), columns(&wide(41))), (80, 80));
        assert!(wide(41).ends_with('…') && !wide(40).ends_with('…'));
    }
}
