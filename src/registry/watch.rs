//! Seeing what others write while we write.
//!
//! Registries have no compare-and-swap: what stood behind a tag between our last look and our writing is gone, and who
//! wrote it may never look again (cosign does not). So a writer who knows that he is not alone goes on looking until his
//! own words are there, and can put back what he saw.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{
    http::Http,
    place::Place,
    pull::{self, Manifest, Version},
};
use crate::model::limits::MANIFEST_SIZE_BYTES_MAX;

/// Looks under way at once: the next is at the registry while the last one's answer is still coming.
const LANES: usize = 2;
/// Each look waits for so much of the time that has passed: quick registries are looked at closely, and slow ones are
/// not asked without end.
const SHARE: u32 = 32;
/// Shorter than this nobody can sleep.
const TIMER: Duration = Duration::from_millis(1);
/// How long an answer may be late once our own writing is done.
const GRACE: Duration = Duration::from_millis(200);
/// So many bytes of lists a lane holds before it stops looking: several of the largest, hundreds of what others write.
const HELD_SIZE_BYTES_MAX: u64 = 4 * MANIFEST_SIZE_BYTES_MAX;

/// Does `writing`, and meanwhile looks time and again at what stands behind `tag`, where `version` was seen last: its
/// answer, and what else was seen there. If something else stands there already, nothing is written. Looks that fail
/// are no looks.
pub(super) async fn meanwhile<T>(
    http: &Http,
    place: &Place,
    tag: &str,
    version: &Version,
    writing: impl Future<Output = T>,
) -> (Option<T>, Vec<Manifest>) {
    // A connection for each lane and for the writing: making one may take longer than all that follows.
    let first = (0..=LANES).map(|_| pull::changed(http, place, tag, version));
    let first = futures_util::future::join_all(first).await;
    let changed: Vec<Manifest> = first.into_iter().filter_map(|look| look.ok().flatten()).collect();
    if !changed.is_empty() {
        return (None, changed);
    }
    let done = CancellationToken::new();
    let lanes = futures_util::future::join_all((0..LANES).map(|_| look(http, place, tag, version, &done)));
    let write = async {
        let written = writing.await;
        done.cancel();
        written
    };
    let (seen, written) = tokio::join!(lanes, write);
    (Some(written), seen.into_iter().flatten().collect())
}

/// What one lane sees until `done`.
async fn look(
    http: &Http,
    place: &Place,
    tag: &str,
    version: &Version,
    done: &CancellationToken,
) -> Vec<Manifest> {
    let began = Instant::now();
    let (mut seen, mut version) = (Vec::new(), version.clone());
    let mut held_bytes = 0;
    let late = async {
        done.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::pin!(late);
    // Without an ETag each look would bring the whole list.
    while !done.is_cancelled() && (version.digest.is_none() || version.etag.is_some()) {
        let found = tokio::select! {
            found = pull::changed(http, place, tag, &version) => found,
            () = &mut late => break,
        };
        match found {
            Ok(Some(found)) => {
                version = Version::from(&found);
                held_bytes += found.bytes.len() as u64;
                seen.push(found);
                if held_bytes >= HELD_SIZE_BYTES_MAX {
                    break;
                }
            }
            Ok(None) => {}
            Err(_) => break,
        }
        let pause = began.elapsed() / SHARE;
        if pause >= TIMER {
            tokio::time::sleep(pause).await;
        }
    }
    seen
}
