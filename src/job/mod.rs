//! One verb each: gather → judge → commit.

pub mod accepted;
pub mod archive;
pub mod assemble;
pub mod attest;
pub mod audit;
pub mod bases;
pub mod build;
pub mod builder;
pub mod bundle;
pub mod check;
pub mod clean;
pub mod compare;
pub mod configured;
pub mod copy;
pub mod dossier;
mod events;
pub mod evidence;
pub mod execute;
pub mod failure;
mod follow;
pub mod history;
pub mod import;
pub mod inputs;
pub mod layout;
pub mod lineage;
pub mod link;
mod live;
mod log;
mod masks;
pub mod night;
pub mod notify;
mod owned;
pub mod plan;
pub mod promote;
pub mod publish;
pub mod rebuild;
pub mod remains;
pub mod remember;
mod result;
pub mod source;
mod stages;
pub mod standing;
pub mod test;
pub mod track;
pub mod tree;
mod trust;
pub mod turns;
pub mod verify;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::{model::Network, progress::Progress, registry::Registries, source::Checkout, store::Store};

/// A commit that several steps of a job read, one at a time: libgit2 shares no repository between threads.
#[derive(Debug, Clone)]
pub struct SharedCheckout(Arc<Mutex<Checkout>>);

impl SharedCheckout {
    /// Shares `checkout`.
    #[must_use]
    pub fn new(checkout: Checkout) -> Self {
        Self(Arc::new(Mutex::new(checkout)))
    }

    /// Takes it for a while; never held across an `await`.
    pub fn lock(&self) -> MutexGuard<'_, Checkout> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The edges a job works through.
#[derive(Debug, Clone)]
pub struct Ports {
    /// Blobs on this machine.
    pub store: Store,
    /// Images elsewhere.
    pub registries: Arc<Registries>,
    /// How mirrors are reached.
    pub network: Network,
    /// Who hears how it goes.
    pub progress: Arc<dyn Progress>,
    /// Set when the user has had enough.
    pub cancel: CancellationToken,
}
