//! Drops requests while a difference stays.

use std::future::Future;

use crate::sequence::Sequence;

/// How often a shorter sequence is tried.
const TRIES: usize = 120;

/// The shortest sequence found for which `stays` holds; it holds for the given one.
pub async fn shrink<F, Answer>(sequence: Sequence, mut stays: F) -> Sequence
where
    F: FnMut(Sequence) -> Answer,
    Answer: Future<Output = bool>,
{
    let mut shortest = sequence;
    let mut tries = 0;
    let mut size = shortest.requests.len().div_ceil(2);
    while size > 0 {
        let mut from = shortest.requests.len();
        let mut dropped = false;
        while from > 0 && tries < TRIES {
            let to = from;
            from = from.saturating_sub(size);
            let mut shorter = shortest.clone();
            shorter.requests.drain(from..to.min(shorter.requests.len()));
            if shorter.requests.is_empty() {
                continue;
            }
            tries += 1;
            if stays(shorter.clone()).await {
                shortest = shorter;
                dropped = true;
            }
        }
        // Once more with single requests, as long as one of them goes.
        size = if size == 1 && dropped { 1 } else { size / 2 };
        if tries >= TRIES {
            break;
        }
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{generate, kind::Kind};

    #[test]
    fn only_the_requests_that_it_takes_stay() {
        let sequence = generate::generate(3, &Kind::ALL);
        let needed = [2, 9];
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let shortest = runtime.block_on(shrink(sequence, |shorter| async move {
            needed
                .iter()
                .all(|id| shorter.requests.iter().any(|request| request.id == *id))
        }));
        let ids: Vec<usize> = shortest.requests.iter().map(|request| request.id).collect();
        assert_eq!(ids, needed);
    }
}
