//! Gives up a request in which nothing moves.
//!
//! The SDK's limits count the time of a whole request, which for a large part over a slow line is hours. Here the
//! body goes to the connection in small pieces, and what is watched is the time between them, and that until the
//! answer begins. Reads have the same limit on their side, see `read.rs`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::connect::BYTES_PER_SECOND_MIN;
use crate::stream::BoxError;

/// What the connection takes at once. Small, so that a slow line is not taken for a dead one.
const PIECE_BYTES: usize = 64 << 10;
/// What may still be under way when the connection has taken the last piece: the kernel's buffers are that large.
const UNDER_WAY_BYTES: u64 = 4 << 20;

/// `client`, whose requests fail with a time-out once nothing has moved for `limit`. The SDK then tries again.
pub(super) fn watched(client: SharedHttpClient, limit: Duration) -> SharedHttpClient {
    http_client_fn(move |settings, components| {
        let inner = client.http_connector(settings, components);
        SharedHttpConnector::new(Watched { inner, limit })
    })
}

#[derive(Debug)]
struct Watched {
    inner: SharedHttpConnector,
    limit: Duration,
}

impl HttpConnector for Watched {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let progress = Progress::now();
        let inner = request.take_body();
        let under_way = inner.content_length().unwrap_or(UNDER_WAY_BYTES).min(UNDER_WAY_BYTES);
        let at_end = Duration::from_secs(under_way / BYTES_PER_SECOND_MIN);
        let body = Paced { inner, rest: Bytes::new(), at_end, progress: progress.clone() };
        *request.body_mut() = SdkBody::from_body_1_x(body);
        let (mut answer, limit) = (self.inner.call(request), self.limit);
        HttpConnectorFuture::new(async move {
            loop {
                let ends_at = progress.last() + limit;
                tokio::select! {
                    biased;
                    answer = &mut answer => return answer,
                    () = tokio::time::sleep_until(ends_at) => {}
                }
                if progress.last() + limit <= Instant::now() {
                    let text = format!("nothing moved for {} s", limit.as_secs_f32());
                    return Err(ConnectorError::timeout(text.into()));
                }
            }
        })
    }
}

/// When something last moved.
#[derive(Clone, Debug)]
struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self, allowance: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + allowance;
    }
}

/// A body in small pieces.
struct Paced {
    inner: SdkBody,
    rest: Bytes,
    /// What the last piece needs until it is there: it waits below this body, with others.
    at_end: Duration,
    progress: Progress,
}

impl Body for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)).transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => self.rest = data,
                Some(Err(trailers)) => return Poll::Ready(Some(Ok(trailers))),
                None => return Poll::Ready(None),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.progress.moved(if self.is_end_stream() { self.at_end } else { Duration::ZERO });
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (Body::size_hint(&self.inner), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
