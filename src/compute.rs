//! The one door between waiting (tokio) and counting (rayon); and waiting on threads apart.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use tokio::{runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::model::limits::COMPUTED_HERE_BYTES_MAX;

/// Runs `work` on the rayon pool and waits for it without blocking the async runtime; a panic is carried back.
///
/// # Panics
/// If `work` does.
pub async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = tokio::sync::oneshot::channel();
    rayon::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        drop(send.send(result)); // The receiver is gone when the job was cancelled.
    });
    match receive.await.expect("the sender is dropped only after sending") {
        Ok(value) => value,
        Err(panic) => resume_unwind(panic),
    }
}

/// [`run`] of what works on `size_bytes`; here and now if these are so few that handing it over would take longer.
///
/// # Panics
/// If `work` does.
pub async fn sized<T: Send + 'static>(size_bytes: u64, work: impl FnOnce() -> T + Send + 'static) -> T {
    if size_bytes <= COMPUTED_HERE_BYTES_MAX { work() } else { run(work).await }
}

/// [`run`] for each of `items`, on all cores; the answers in the order of the items.
///
/// # Panics
/// If `work` does.
pub async fn each<T: Send + 'static, U: Send + 'static>(
    items: Vec<T>,
    work: impl Fn(T) -> U + Send + Sync + 'static,
) -> Vec<U> {
    run(move || items.into_par_iter().map(work).collect()).await
}

/// [`each`] of items that are of `size_bytes` in all; here and now if these are few, as [`sized`] is.
///
/// # Panics
/// If `work` does.
pub async fn each_sized<T: Send + 'static, U: Send + 'static>(
    size_bytes: u64,
    items: Vec<T>,
    work: impl Fn(T) -> U + Send + Sync + 'static,
) -> Vec<U> {
    if size_bytes <= COMPUTED_HERE_BYTES_MAX {
        return items.into_iter().map(work).collect();
    }
    each(items, work).await
}

/// The answers of what `work` makes for each of `threads`, which have runtimes of their own: where much is waited for and
/// counted in turns, a shared one would wake one thread for the other's sake all the time. Dropped, it stops them.
///
/// # Errors
/// If the system has no descriptors left for a runtime.
///
/// # Panics
/// If one of them does.
pub async fn apart<T: Send + 'static, Waiting: Future<Output = T>>(
    threads: usize,
    work: impl Fn() -> Waiting + Clone + Send + 'static,
) -> io::Result<Vec<T>> {
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let mut running = JoinSet::new();
    for _ in 0..threads {
        let (work, stop) = (work.clone(), stop.clone());
        running.spawn_blocking(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(stop.run_until_cancelled(work())))
        });
    }
    running.join_all().await.into_iter().filter_map(Result::transpose).collect()
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn answers_in_order() {
        for size_bytes in [1, u64::MAX] {
            let squares =
                super::each_sized(size_bytes, (0..100).collect(), |number: u32| number * number).await;
            assert_eq!(squares, (0..100).map(|number| number * number).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn waits_apart() {
        let answers = super::apart(3, || async { tokio::task::yield_now().await }).await.unwrap();
        assert_eq!(answers.len(), 3);
    }

    #[tokio::test]
    #[should_panic(expected = "boom")]
    async fn carries_a_panic_back_from_apart() {
        let _ = super::apart(2, || async { panic!("boom") }).await;
    }

    #[tokio::test]
    async fn stops_what_is_apart() {
        use std::time::Duration;
        let endless = super::apart(2, std::future::pending::<()>);
        assert!(tokio::time::timeout(Duration::from_millis(10), endless).await.is_err());
    }

    #[tokio::test]
    async fn carries_the_value_back() {
        assert_eq!(super::run(|| 6 * 7).await, 42);
    }

    #[tokio::test]
    #[should_panic(expected = "boom")]
    async fn carries_the_panic_back() {
        super::run(|| panic!("boom")).await;
    }
}
