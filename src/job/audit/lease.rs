//! A claim that is held as long as the work takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use crate::ledger::{Claim, Ledger};

/// How long a claim is good without a word of its holder: as long as others wait for one that was killed.
pub(super) const CLAIM_S: u64 = 30;
/// How often the holder says so.
const BEAT: Duration = Duration::from_secs(8);

/// Ends with the value; given back by [`Lease::release`].
#[derive(Debug)]
pub(super) struct Lease {
    ledger: Ledger,
    claim: Claim,
    lost: Arc<AtomicBool>,
    beating: JoinHandle<()>,
}

impl Lease {
    /// Holds `claim` from now on.
    pub(super) fn hold(ledger: &Ledger, claim: Claim) -> Self {
        let lost = Arc::new(AtomicBool::new(false));
        let beating = tokio::spawn({
            let (ledger, claim, lost) = (ledger.clone(), claim.clone(), Arc::clone(&lost));
            async move {
                loop {
                    tokio::time::sleep(BEAT).await;
                    // A ledger that cannot be reached says itself when it is written to.
                    if let Ok(None) = ledger.renew(&claim, CLAIM_S).await {
                        lost.store(true, Ordering::Relaxed);
                        return;
                    }
                }
            }
        });
        Self { ledger: ledger.clone(), claim, lost, beating }
    }

    /// Whether somebody else has it now: this process was stopped for too long.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Gives it back, so that nobody waits.
    pub(super) async fn release(self) {
        self.beating.abort();
        let _ = self.ledger.release(&self.claim).await; // It ends by itself.
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.beating.abort();
    }
}
