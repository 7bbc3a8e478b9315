//! Many write and watch at once; every watcher is told the same story.

use std::time::Duration;

use tokio::sync::watch;

use crate::common::crowd::{Size, crowd};
use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn watchers_of_every_habit_are_told_all_that_happens_once_and_in_order() {
    let server = TestServer::start().await;
    let (written, mut progress) = watch::channel(0);
    let size = Size {
        writers: 8,
        writes: 600,
    };
    let client = server.admin();
    let story = crowd(&client, 1, size, &written);
    // History is forgotten now and then, so that some come too late to resume.
    let forget = async {
        for step in 1.. {
            let enough = progress.wait_for(|written| *written >= 1200 * step).await;
            if *enough.unwrap() == u64::MAX {
                return;
            }
            let revision = server.api.revision();
            server.api.compact(revision).await.unwrap();
        }
    };
    let both = futures::future::join(story, forget);
    let (tally, ()) = tokio::time::timeout(Duration::from_mins(2), both)
        .await
        .unwrap();
    println!("{tally:?}");
    assert_eq!(tally.acknowledged, 4800);
    assert_eq!(tally.unanswered, 0);
    assert!(tally.resumed > 100 && tally.relisted > 5, "{tally:?}");
    assert!(tally.bookmarks > 5, "{tally:?}");
}
