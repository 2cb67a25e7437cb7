//! `/events`: what happens, as server-sent events, for as long as somebody listens.
//!
//! Each event has an id; `Last-Event-ID` goes on behind it as far as the app remembers. A comment comes now and then, so that neither side takes
//! the connection for dead. A stream ends after a while: whoever listens shows a token again then, which may not be valid any more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use tintype_app::types::EventInfo;
use tintype_app::{App, EventPlace};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;

use super::Shared;
use super::asked::Asked;
use super::operation::{Content, Value, named};
use super::resource::{Resource, reference};
use crate::problem::Problem;

/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long one stream may last.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// Events that are fetched at once.
const BATCH: usize = 64;
/// The header in which clients say what they have seen.
const LAST: &str = "last-event-id";

/// What wakes those who listen.
#[derive(Clone)]
pub struct Wake {
    /// Changes with each event.
    pub news: watch::Receiver<u64>,
    /// Tells that the server stops.
    pub stopping: watch::Receiver<bool>,
}

impl Wake {
    /// Rings with the app's events.
    pub fn new(app: &App, stopping: watch::Receiver<bool>) -> Self {
        let (ring, news) = watch::channel(0);
        app.ring_events(Arc::new(move || ring.send_modify(|count| *count += 1)));
        Self { news, stopping }
    }
}

pub fn resource() -> Resource {
    let (_, schemas) = reference::<EventInfo>();
    Resource::new("events", "What happens to volumes, snapshots and tasks").bare(
        Method::GET,
        "/events",
        named(
            "follow_events",
            "Events as they come: EventInfo in each `data`; Last-Event-ID goes on",
        )
        .query("after", Value::Text, "go on behind this id, as Last-Event-ID does")
        .query("follow", Value::Flag, "false: end when there are no more for now"),
        Content::Nothing,
        Content::Lines("text/event-stream", schemas),
        follow,
    )
}

async fn follow(
    State(shared): State<Shared>,
    Extension(asked): Extension<Arc<Asked>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get(LAST).and_then(|value| value.to_str().ok());
    let last = asked.text("after").or(last);
    let go_on = asked.text("follow").is_none() || asked.flag("follow");
    let place = match last.map(EventPlace::read) {
        None => shared.app.events_end(),
        Some(Some(place)) => place,
        // What we never gave is as good as too old.
        Some(None) => EventPlace::unknown(),
    };
    let (pieces, body) = channel(4);
    // An id alone is no event; it says where to go on when nothing comes. What a client sent is not sent back.
    let greeting = match last {
        None => format!("id: {place}\n\n"),
        Some(_) => ":\n\n".to_owned(),
    };
    let feed = Feed { app: Arc::clone(&shared.app), pieces, place, go_on, greeting };
    tokio::spawn(feed.run(shared.wake.clone()));
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(EventBody(body))).into_response())
}

/// Whoever fills the body of one who listens.
struct Feed {
    app: Arc<App>,
    pieces: Sender<Bytes>,
    place: EventPlace,
    go_on: bool,
    /// What is sent first.
    greeting: String,
}

impl Feed {
    async fn run(mut self, wake: Wake) {
        let Wake { mut news, mut stopping } = wake;
        let end = tokio::time::sleep(LIFE);
        tokio::pin!(end);
        let greeting = std::mem::take(&mut self.greeting);
        if self.send(greeting).await.is_err() {
            return;
        }
        loop {
            news.mark_unchanged();
            match self.pass_on().await {
                Err(Gone) => return,
                Ok(true) => continue,
                Ok(false) if !self.go_on => return,
                Ok(false) => {}
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(HEARTBEAT) => {
                    if self.send(":\n\n".to_owned()).await.is_err() { return }
                }
                () = self.pieces.closed() => return,
                () = told(&mut stopping) => return,
                () = &mut end => return,
            }
        }
    }

    /// Sends what is there; whether there was anything.
    async fn pass_on(&mut self) -> Result<bool, Gone> {
        let news = self.app.events_after(&self.place, BATCH);
        if news.missed {
            // What is left would tell half of it.
            self.place = self.app.events_end();
            let text = format!("id: {}\nevent: missed\ndata: {{}}\n\n", self.place);
            return self.send(text).await.map(|()| true);
        }
        let mut text = String::new();
        for (place, event) in &news.events {
            let data = serde_json::to_string(&**event).unwrap_or_default();
            let kind = event.kind.name();
            text.push_str(&format!("id: {place}\nevent: {kind}\ndata: {data}\n\n"));
        }
        if let Some((place, _)) = news.events.last() {
            self.place = place.clone();
        }
        if text.is_empty() {
            return Ok(false);
        }
        self.send(text).await.map(|()| true)
    }

    async fn send(&self, text: String) -> Result<(), Gone> {
        self.pieces.send(Bytes::from(text)).await.map_err(|_| Gone)
    }
}

/// Waits until the server shall stop.
async fn told(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stop| *stop).await);
}

/// Nobody listens any more.
struct Gone;

struct EventBody(Receiver<Bytes>);

impl axum::body::HttpBody for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().0.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
