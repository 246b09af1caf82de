//! A client that sends a large body hears why it is refused. Whoever answers before a body is read, and then closes the
//! connection, cuts the client off while it sends: it sees a broken pipe, and no answer. So what is left of a refused
//! request's body is read and dropped, within bounds.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes that are read and dropped.
const BYTES_MAX: usize = 64 << 20;
/// For how long.
const WITHIN: Duration = Duration::from_secs(5);

/// A body that can be read on when its reader has given up.
struct Shared(Arc<Mutex<Body>>);

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.lock().size_hint()
    }
}

/// Reads the rest of a refused request's body before its answer goes out.
pub(super) async fn hear_out(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    let response = next.run(Request::from_parts(parts, Body::new(Shared(body.clone())))).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        let _ = tokio::time::timeout(WITHIN, drop_rest(Shared(body))).await;
    }
    response
}

async fn drop_rest(mut body: Shared) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > BYTES_MAX {
            return;
        }
    }
}
