//! The report as one page of HTML: no script, nothing from elsewhere, nothing of an image that could act. The template
//! escapes all it is given; what it is given is printable before; and a policy in the page forbids the rest.

mod inputs;
mod tree;
mod view;

use askama::Template as _;

use super::pair::Pair;

/// All of it.
pub(super) fn render(pairs: &[Pair<'_>]) -> String {
    view::Page::of(pairs).render().expect("a String takes whatever the template writes")
}
