//! What of a source lies outside its own commit: submodules, and tags for a minimal `.git`.

use std::time::Duration;

use super::{Ports, SharedCheckout};
use crate::{
    attest::{ExternalParameters, GitDirectory, GitTag},
    host,
    source::{self, SourceError, Tag},
};

/// Longest wait for `git` to fetch.
pub const SOURCE_TIMEOUT: Duration = Duration::from_mins(10);

/// What the source edge is told for this run.
#[must_use]
pub fn options(ports: &Ports, allow_dirty: bool, env: Vec<(String, String)>) -> source::Options<'_> {
    source::Options {
        store: &ports.store,
        now_s: host::now_s(),
        allow_dirty,
        env,
        timeout: SOURCE_TIMEOUT,
        cancel: ports.cancel.clone(),
    }
}

/// Which tags a minimal `.git` has.
#[derive(Debug, Clone)]
pub(super) enum Tags {
    /// There is no `.git`.
    Unwanted,
    /// Those at the commit now.
    Current,
    /// Those recorded.
    Recorded(Vec<Tag>),
}

impl Tags {
    pub(super) fn recorded(external: &ExternalParameters) -> Self {
        let Some(git) = &external.git else { return Self::Unwanted };
        let tag = |tag: &GitTag| Tag { name: tag.name.clone(), id: tag.id.clone() };
        Self::Recorded(git.tags.iter().map(tag).collect())
    }
}

/// Fetches the submodules that the context needs, and the tags.
///
/// # Errors
/// Those of the source edge.
pub(super) async fn complete(
    ports: &Ports,
    checkout: &SharedCheckout,
    env: &[(String, String)],
    [context, dockerfile]: [&str; 2],
    tags: Tags,
) -> Result<(), SourceError> {
    let (ports, checkout, env) = (ports.clone(), checkout.clone(), env.to_vec());
    let (context, dockerfile) = (context.to_owned(), dockerfile.to_owned());
    let fetching = tokio::task::spawn_blocking(move || {
        let options = options(&ports, false, env);
        let mut checkout = checkout.lock();
        checkout.fetch_submodules(&context, &dockerfile, &options)?;
        match tags {
            Tags::Unwanted => Ok(()),
            Tags::Current => checkout.take_tags(None, &options),
            Tags::Recorded(tags) => checkout.take_tags(Some(&tags), &options),
        }
    });
    match fetching.await {
        Ok(fetched) => fetched,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// What the definition says of the `.git` that `checkout` is exported with.
pub(super) fn git_directory(checkout: &source::Checkout, wanted: bool) -> Option<GitDirectory> {
    let tag = |tag: Tag| GitTag { name: tag.name, id: tag.id };
    wanted.then(|| GitDirectory { tags: checkout.tags().into_iter().map(tag).collect() })
}
