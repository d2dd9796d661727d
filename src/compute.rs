//! The one door between waiting (tokio) and counting (rayon).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

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

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn answers_in_order() {
        let squares = super::each((0..100).collect(), |number: u32| number * number).await;
        assert_eq!(squares, (0..100).map(|number| number * number).collect::<Vec<_>>());
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
