//! Whose turn it is: builds run together as far as cores and memory allow.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    host::{Memory, memory},
    progress::{Progress, Update},
};

/// How often free memory is looked at while a build waits for it.
const LOOK: Duration = Duration::from_millis(500);

/// Lets so many builds run at a time, in the order they asked, and a further one beside others only while there is
/// memory for it. One alone always runs.
#[derive(Debug)]
pub struct Turns {
    jobs: usize,
    /// What each may use, if the caller said so.
    each_bytes: Option<u64>,
    permits: Arc<Semaphore>,
    running: Mutex<usize>,
    ended: Notify,
    /// Held by the one who waits for memory.
    first: tokio::sync::Mutex<()>,
}

/// A turn, as long as it is held.
#[derive(Debug)]
pub struct Turn {
    of: Arc<Turns>,
    _turn: OwnedSemaphorePermit,
}

impl Turns {
    /// `jobs` at a time (at least one), each of which may use `each_bytes` of memory.
    #[must_use]
    pub fn new(jobs: usize, each_bytes: Option<u64>) -> Arc<Self> {
        let jobs = jobs.max(1);
        Arc::new(Self {
            jobs,
            each_bytes,
            permits: Arc::new(Semaphore::new(jobs)),
            running: Mutex::default(),
            ended: Notify::new(),
            first: tokio::sync::Mutex::default(),
        })
    }

    /// Waits until it is the caller's turn. `progress` hears once if memory is what is missing. Who cancels need not
    /// wait: the build behind it ends at once.
    #[expect(clippy::missing_panics_doc, reason = "the semaphore is never closed")]
    pub async fn take(self: Arc<Self>, progress: &dyn Progress, cancel: &CancellationToken) -> Turn {
        let turn = Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");
        let first = self.first.lock().await;
        let mut told = false;
        while !cancel.is_cancelled() && !self.begins(memory()) {
            if !std::mem::replace(&mut told, true) {
                progress.update(Update::Phase("waits", "for memory that others use"));
            }
            let _ = tokio::time::timeout(LOOK, self.ended.notified()).await;
        }
        if cancel.is_cancelled() {
            *self.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        }
        drop(first);
        Turn { of: self, _turn: turn }
    }

    /// Counts one more as running, if there is room.
    fn begins(&self, found: Memory) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let room = room(*running, self.jobs, self.each_bytes, found);
        *running += usize::from(room);
        room
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.of.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.of.ended.notify_one();
    }
}

/// Whether one more may begin beside `running`. What each may use must fit the machine for all of them, and be free
/// now; where nobody said it, a build needs an even share of the half.
fn room(running: usize, jobs: usize, each_bytes: Option<u64>, found: Memory) -> bool {
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let need = each_bytes.unwrap_or(found.total_bytes / 2 / count(jobs).max(1));
    let all = need.saturating_mul(count(running).saturating_add(1));
    running == 0 || (all <= found.total_bytes && need <= found.available_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    const GIB: u64 = 1 << 30;

    fn found(available: u64) -> Memory {
        Memory { total_bytes: 16 * GIB, available_bytes: available * GIB }
    }

    #[test]
    fn one_more_begins_only_where_its_memory_is_free() {
        for (running, jobs, each, available, begins) in [
            (0, 4, Some(64), 0, true),  // One alone always.
            (1, 4, Some(8), 8, true),   // Both fit.
            (1, 4, Some(8), 7, false),  // Something else has it.
            (2, 4, Some(6), 16, false), // Three would not fit, whatever is free now.
            (3, 4, None, 2, true),      // A quarter of the half.
            (3, 4, None, 1, false),
        ] {
            let said = room(running, jobs, each.map(|each| each * GIB), found(available));
            assert_eq!(said, begins, "{running} of {jobs}, {each:?} GiB each, {available} GiB free");
        }
    }

    #[tokio::test]
    async fn turns_come_back() {
        let turns = Turns::new(1, Some(u64::MAX)); // More than any machine has.
        let cancel = CancellationToken::new();
        let take = || Arc::clone(&turns).take(&Silent, &cancel);
        for _ in 0..3 {
            let turn = take().await;
            assert!(tokio::time::timeout(Duration::from_millis(5), take()).await.is_err(), "two at a time");
            drop(turn);
        }
    }

    #[tokio::test]
    async fn who_waits_for_memory_gets_it_when_another_ends_and_goes_when_cancelled() {
        let turns = Turns::new(3, Some(u64::MAX));
        let cancel = CancellationToken::new();
        let one = Arc::clone(&turns).take(&Silent, &cancel).await;
        let waits = tokio::spawn({
            let (turns, cancel) = (Arc::clone(&turns), cancel.clone());
            async move { turns.take(&Silent, &cancel).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waits.is_finished(), "it began beside one that has all memory");
        drop(one);
        let _two = waits.await.unwrap();
        cancel.cancel();
        let _three = turns.take(&Silent, &cancel).await;
    }
}
