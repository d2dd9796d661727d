//! What `rebuild --inputs live` needs of the caller.

use std::sync::Arc;

use super::credentials;
use crate::job::{evidence::Trust, rebuild::Credentials};

/// Where `auth` of a recorded recipe is looked up; never for a recipe that nobody vouches for.
pub(super) fn credentials(trust: &Trust) -> Credentials {
    let vouched = trust.is_particular();
    Credentials(Arc::new(move |wanted| {
        if !vouched {
            return Err(
                "with --insecure-skip-verify nobody vouches for where its credential would go".to_owned()
            );
        }
        credentials::resolve(wanted).map_err(|failure| failure.messages().join(": "))
    }))
}
