//! What the gateway remembers; one lock guards it, and no one waits while holding it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;
use url::Url;

use super::{Closed, Refusal, StepRef, Traffic, ask::Ask, pinned::Expected};
use crate::{
    model::{Digest, Exceeded, Reason, Taint, limits::REFUSALS_MAX},
    transcript::Transcript,
};

/// URL, method (`GET` for `HEAD`) and request digest: what is asked upstream once at a time.
pub(super) type Flight = (String, String, Option<Digest>);

/// URL, method, request digest and `Accept` of one request.
type Question = (String, String, Option<Digest>, String);

/// A URL that an allowed answer pointed to.
#[derive(Debug, Clone)]
pub(super) struct Via {
    pub(super) real: Url,
    pub(super) from: String,
    pub(super) repository: String,
    /// What the build asked for before the first redirect.
    pub(super) origin: String,
    pub(super) hops: usize,
}

/// Everything that changes while the gateway runs.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) transcript: Transcript,
    /// Redacted URL without userinfo to what it stands for.
    pub(super) vias: BTreeMap<String, Via>,
    /// Redacted URL to the digest its body must have.
    pub(super) checksums: BTreeMap<String, Digest>,
    /// What verified indexes of pinned repositories name, by URL.
    pub(super) expected: BTreeMap<String, Expected>,
    /// Recordings under way; the receiver hears when one ends.
    pub(super) flights: BTreeMap<Flight, watch::Receiver<()>>,
    /// Blobs that were checked or written in this run, and whether they were whole.
    pub(super) checked: BTreeMap<Digest, bool>,
    /// Bodies fetched with credentials.
    pub(super) private: BTreeSet<Digest>,
    /// Bodies fetched without: what anybody gets need not be hidden.
    pub(super) public: BTreeSet<Digest>,
    pub(super) traffic: Traffic,
    pub(super) upstream_requests: u64,
    pub(super) exceeded: Option<Exceeded>,
    refused: BTreeSet<Refusal>,
    undeclared: BTreeSet<(String, String)>,
    missing: BTreeSet<Digest>,
    failed: BTreeSet<Question>,
    tainted: BTreeSet<Taint>,
}

impl Ledger {
    /// An event was not kept.
    pub(super) fn lose_event(&mut self) {
        self.tainted.insert(Taint::EventsFull);
    }

    /// A request was not let through.
    pub(super) fn refuse(
        &mut self,
        (method, url): (&str, &str),
        (reason, because): (Reason, Option<String>),
        step: Option<StepRef>,
    ) {
        self.tainted.insert(Taint::Refused);
        let (step, line) = step.map_or((None, None), |step| (Some(step.step), step.line));
        if self.refused.len() < REFUSALS_MAX {
            let (method, url, reason) = (method.to_owned(), url.to_owned(), reason.code().to_owned());
            self.refused.insert(Refusal { method, url, reason, because, line, step });
        }
    }

    /// The client saw a failure; taints unless a good answer follows.
    pub(super) fn fail(&mut self, ask: &Ask) {
        if self.failed.len() < REFUSALS_MAX {
            let method = ask.method.to_string();
            self.failed.insert((ask.url.clone(), method, ask.request, ask.accept.clone()));
        } else {
            self.tainted.insert(Taint::Failed);
        }
    }

    /// The recording does not have this request.
    pub(super) fn undeclared(&mut self, method: &str, url: &str) {
        if self.undeclared.len() < REFUSALS_MAX {
            self.undeclared.insert((method.to_owned(), url.to_owned()));
        }
    }

    /// The store does not have this body.
    pub(super) fn missing(&mut self, digest: Digest) {
        self.missing.insert(digest);
    }

    /// All that was seen, and the taint that follows from it.
    pub(super) fn close(mut self) -> Closed {
        let transcript = &mut self.transcript;
        let unanswered = |(url, method, request, accept): &Question| {
            transcript.find(method, url, *request, accept).is_none()
        };
        if self.failed.iter().any(unanswered) {
            self.tainted.insert(Taint::Failed);
        }
        transcript.taint(self.tainted.into_iter().map(|taint| taint.code().to_owned()));
        Closed {
            transcript: self.transcript,
            refused: self.refused.into_iter().collect(),
            undeclared: self.undeclared.into_iter().collect(),
            missing: self.missing.into_iter().collect(),
            exceeded: self.exceeded,
            private: self.private.difference(&self.public).copied().collect(),
            upstream_requests: self.upstream_requests,
            answered: self.traffic.answers,
        }
    }
}
