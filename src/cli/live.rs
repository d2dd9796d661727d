//! What `rebuild --inputs live` needs of the caller, and what it says.

use std::sync::Arc;

use super::credentials;
use crate::{
    job::{
        evidence::Trust,
        rebuild::{Credentials, DateMoved, Lived, Outcome},
    },
    report::live::{IndexDate, InputsCompared, Split},
};

/// Where `auth` of a recorded recipe is looked up; never for a recipe that nobody vouches for.
pub(super) fn credentials(trust: &Trust) -> Credentials {
    let vouched = matches!(trust, Trust::Keys(_));
    Credentials(Arc::new(move |wanted| {
        if !vouched {
            return Err(
                "with --insecure-skip-verify nobody vouches for where its credential would go".to_owned()
            );
        }
        credentials::resolve(wanted).map_err(|failure| failure.messages().join(": "))
    }))
}

/// The comparison as it is answered.
pub(super) fn compared(lived: &Lived, outcome: &Outcome) -> InputsCompared {
    let dates = lived.dates.iter().cloned();
    let dates = dates.map(|DateMoved { url, field, from, to }| IndexDate { url, field, from, to });
    InputsCompared {
        drifts: outcome.origins().map(|(inputs, build)| Split { inputs, build }),
        replay_verdict: lived.replay,
        third_verdict: lived.third,
        error: lived.error.clone(),
        ..InputsCompared::new(&lived.compared, dates.collect())
    }
}
