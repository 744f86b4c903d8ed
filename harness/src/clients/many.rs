//! Many operations: at once up to a limit, or one after the other.

use std::future::Future;
use std::panic::resume_unwind;

use tokio::task::JoinSet;

/// Runs `make(0)` to `make(count - 1)` as tasks, `limit` at once at the most (one at the least), begun in this order; returns
/// their results in this order too. When it is dropped, those under way are aborted.
pub async fn concurrent<T, F>(count: usize, limit: usize, mut make: impl FnMut(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut under_way = JoinSet::new();
    let mut results: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let mut next = 0;
    loop {
        while next < count && under_way.len() < limit.max(1) {
            let (index, operation) = (next, make(next));
            under_way.spawn(async move { (index, operation.await) });
            next += 1;
        }
        match under_way.join_next().await {
            Some(Ok((index, result))) => results[index] = Some(result),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Only a runtime that shuts down cancels them, and this future with them.
                Err(_) => continue,
            },
            None => break,
        }
    }
    results.into_iter().flatten().collect()
}

/// Runs `make(0)` to `make(count - 1)`, one after the other.
pub async fn sequential<T, F: Future<Output = T>>(count: usize, mut make: impl FnMut(usize) -> F) -> Vec<T> {
    let mut results = Vec::with_capacity(count);
    for index in 0..count {
        results.push(make(index).await);
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_limit_is_kept_and_reached() {
        let active = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let results = concurrent(20, 6, |index| {
            let (active, most) = (active.clone(), most.clone());
            async move {
                most.fetch_max(active.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20 - index as u64)).await;
                active.fetch_sub(1, Ordering::SeqCst);
                index
            }
        })
        .await;
        assert_eq!(results, (0..20).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), 6);
    }

    #[tokio::test]
    async fn one_after_the_other_keeps_the_order() {
        assert_eq!(sequential(4, |index| async move { index * 2 }).await, [0, 2, 4, 6]);
    }
}
