//! The events of one watch, as JSON lines.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{Receiver, error::TryRecvError},
    time::{Instant, sleep_until},
};

use crate::{
    convert,
    faults::Fault,
    http::{Call, Form, Wanted, negotiate},
    metadata,
    registry::Resource,
    status::{ApiError, ApiResult},
    store::{Change, ChangeKind, Object, Store, Subscription},
    verbs::{Selection, Tables, parse_revision},
};

/// How often a watcher that wants bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// How long before its end a watch gets the last one, to be resumed from there.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// Marks the bookmark that ends the initial events.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What is left to send of a watch.
pub(super) struct Events {
    lens: Lens,
    ready: VecDeque<Bytes>,
    live: Option<Receiver<Arc<Change>>>,
    bookmarks: Bookmarks,
    /// Where the client said that it is.
    after: u64,
    /// The revision of the last change that was read for it.
    told: u64,
    store: Store,
}

/// When bookmarks are due.
#[derive(Debug, Clone, Copy)]
struct Bookmarks {
    next: Option<Instant>,
    last: Instant,
}

impl Bookmarks {
    fn new(wanted: bool, lifetime: Duration) -> Self {
        let now = Instant::now();
        let last = now + lifetime.saturating_sub(LAST_BOOKMARK).max(lifetime / 2);
        Self {
            next: wanted.then(|| last.min(now + BOOKMARK_INTERVAL)),
            last,
        }
    }

    /// Waits until one is due; for ever when none will be.
    async fn due(&mut self) {
        match self.next {
            Some(next) => {
                sleep_until(next).await;
                let after = self.last.min(next + BOOKMARK_INTERVAL);
                self.next = (next < self.last).then_some(after);
            }
            None => std::future::pending().await,
        }
    }
}

/// How one watcher sees objects.
struct Lens {
    resource: Arc<Resource>,
    version: String,
    selection: Selection,
    wanted: Wanted,
    tables: Tables,
    /// Only the first table event carries the columns.
    columns_sent: bool,
}

/// Where a watch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With everything that is there, then what happens.
    State,
    /// The same, and a bookmark in between.
    StateThenBookmark,
    /// With what happens from now on.
    Now,
    /// With what happened after a revision.
    After(u64),
}

impl Start {
    fn read(call: &Call) -> ApiResult<Self> {
        let revision = call
            .query
            .get("resourceVersion")
            .map(|text| parse_revision(text).map_err(ApiError::unknown))
            .transpose()?;
        let initial = call
            .query
            .get("sendInitialEvents")
            .map(|value| value == "true");
        let current = call.server.store.revision();
        Ok(match (initial, revision) {
            (Some(true), Some(asked)) if asked > current => {
                return Err(ApiError::revision_too_large(asked, current));
            }
            // Without a revision this is the same as asking for the initial events.
            (Some(true), _) | (None, None | Some(0)) if call.query.flag("allowWatchBookmarks") => {
                Self::StateThenBookmark
            }
            (Some(true), _) | (None, None | Some(0)) => Self::State,
            (Some(false), None | Some(0)) => Self::Now,
            (Some(false) | None, Some(revision)) => Self::After(revision),
        })
    }
}

impl Events {
    pub(super) fn begin(call: &Call, lifetime: Duration) -> ApiResult<Self> {
        let lens = Lens {
            resource: Arc::clone(&call.resource),
            version: call.target.version.clone(),
            selection: Selection::parse(call)?,
            wanted: negotiate(&call.headers)?,
            tables: Tables::new(call),
            columns_sent: false,
        };
        let start = Start::read(call)?;
        let after = match start {
            Start::After(revision) => revision,
            Start::State | Start::StateThenBookmark | Start::Now => 0,
        };
        let mut events = Self {
            lens,
            ready: VecDeque::new(),
            live: None,
            bookmarks: Bookmarks::new(call.query.flag("allowWatchBookmarks"), lifetime),
            after,
            told: 0,
            store: call.server.store.clone(),
        };
        if call.fault == Some(Fault::ExpireWatch) {
            events.expire(0, 0);
            return Ok(events);
        }
        events.subscribe(call, start);
        Ok(events)
    }

    fn subscribe(&mut self, call: &Call, start: Start) {
        let store = &call.server.store;
        let scope = call.resource.scope(&call.target.namespace);
        let subscription = match start {
            Start::State | Start::StateThenBookmark => {
                let (snapshot, subscription) = store.list_and_watch(&scope);
                for (_, object) in &snapshot.objects {
                    let line = self.lens.initial(object);
                    self.ready.extend(line);
                }
                if start == Start::StateThenBookmark {
                    let line = self.lens.bookmark(snapshot.revision, true);
                    self.ready.push_back(line);
                }
                subscription
            }
            Start::Now => store.list_and_watch(&scope).1,
            Start::After(revision) => match store.watch(&scope, revision) {
                Ok(subscription) => subscription,
                Err(too_old) => {
                    self.expire(revision, too_old.oldest);
                    return;
                }
            },
        };
        let Subscription { backlog, queue, .. } = subscription;
        for change in backlog {
            let line = self.lens.change(&change);
            self.ready.extend(line);
        }
        self.live = Some(queue);
    }

    /// A watch that cannot go on says so in an event, and ends.
    fn expire(&mut self, asked: u64, oldest: u64) {
        let error = ApiError::expired(format!("too old resource version: {asked} ({oldest})"));
        self.ready
            .push_back(line("ERROR", &Bytes::from(error.to_value().to_string())));
    }

    /// The next line; nothing when the watch is over.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            let live = self.live.as_mut()?;
            tokio::select! {
                change = live.recv() => {
                    let change = change?;
                    self.told = change.revision();
                    let line = self.lens.change(&change);
                    self.ready.extend(line);
                }
                () = self.bookmarks.due() => self.bookmark(),
            }
        }
    }

    /// Queues a bookmark behind everything that happened up to its revision. The store puts
    /// changes into the queue before its revision moves, so what is in the queue after the
    /// revision was read covers it.
    fn bookmark(&mut self) {
        let revision = self.store.revision();
        let Some(live) = self.live.as_mut() else {
            return;
        };
        loop {
            match live.try_recv() {
                Ok(change) => {
                    self.told = change.revision();
                    self.ready.extend(self.lens.change(&change));
                }
                Err(TryRecvError::Empty) => break,
                // The watcher was ended for being slow: there may be a gap, so no bookmark.
                Err(TryRecvError::Disconnected) => {
                    self.live = None;
                    return;
                }
            }
        }
        // Nobody is led back behind what they have been told already, or have asked for.
        let revision = revision.max(self.told);
        if revision >= self.after {
            self.ready.push_back(self.lens.bookmark(revision, false));
        }
    }
}

impl Lens {
    /// An object that was there when the watch began.
    fn initial(&mut self, object: &Object) -> Option<Bytes> {
        self.selects(object).then(|| self.event("ADDED", object))
    }

    /// What a change means to this watcher; nothing when it is outside the selection.
    fn change(&mut self, change: &Change) -> Option<Bytes> {
        let before = match (&change.previous, change.kind) {
            (Some(previous), ChangeKind::Modified | ChangeKind::Deleted) => self.selects(previous),
            _ => false,
        };
        let after = change.kind != ChangeKind::Deleted && self.selects(&change.object);
        let kind = match (before, after) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        if kind == "DELETED" && change.kind == ChangeKind::Modified {
            // It left the selection: the watcher gets what it knew, at the revision of leaving.
            let previous = change.previous.as_ref()?;
            let left = previous.at_revision(change.revision());
            return Some(self.event(kind, &left));
        }
        Some(self.event(kind, &change.object))
    }

    fn selects(&self, object: &Object) -> bool {
        self.selection.admits(&self.resource, &self.version, object)
    }

    fn event(&mut self, kind: &str, object: &Object) -> Bytes {
        match self.wanted.form {
            Form::Objects => line(
                kind,
                &convert::read_json(&self.resource, &self.version, object),
            ),
            Form::Metadata => {
                let partial = metadata::partial(&object.parse());
                line(kind, &Bytes::from(partial.to_string()))
            }
            Form::Table => {
                let value = convert::read(&self.resource, &self.version, object);
                let table = self.tables.of_one(&value);
                self.table_line(kind, table)
            }
        }
    }

    fn bookmark(&mut self, revision: u64, ends_initial_events: bool) -> Bytes {
        let mut meta = json!({"resourceVersion": revision.to_string()});
        if ends_initial_events {
            meta["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let object = match self.wanted.form {
            Form::Objects => json!({
                "kind": self.resource.kind,
                "apiVersion": self.resource.api_version(&self.version),
                "metadata": meta,
            }),
            Form::Metadata => metadata::partial(&json!({"metadata": meta})),
            Form::Table => {
                let row = json!({
                    "cells": self.tables.empty_cells(),
                    "object": metadata::partial(&json!({"metadata": meta})),
                });
                let list_meta = json!({"resourceVersion": revision.to_string()});
                let table = self.tables.table(vec![row], list_meta);
                return self.table_line("BOOKMARK", table);
            }
        };
        line("BOOKMARK", &Bytes::from(object.to_string()))
    }

    fn table_line(&mut self, kind: &str, mut table: Value) -> Bytes {
        if self.columns_sent {
            table["columnDefinitions"] = Value::Null;
        }
        self.columns_sent = true;
        line(kind, &Bytes::from(table.to_string()))
    }
}

/// `{"type":KIND,"object":OBJECT}` and a line feed.
fn line(kind: &str, object: &Bytes) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + kind.len() + 24);
    line.put_slice(b"{\"type\":\"");
    line.put_slice(kind.as_bytes());
    line.put_slice(b"\",\"object\":");
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}
