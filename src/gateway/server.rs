//! Connections: plain proxy requests, and tunnels opened with a certificate of ours.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use super::{
    allow::{Refused, Route},
    ask::{self, Ask},
    growing::Recorded,
    record::{self, Start},
    serve::{self, Body},
    shared::{Shared, Source, Turn, Upstream},
};
use crate::{
    model::{Reason, limits::HTTP_HEAD_SIZE_BYTES_MAX},
    transcript::canonical_url,
};

const CONNECTIONS_MAX: usize = 256;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// After an accept that failed (no file descriptors left, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What one connection, and the tunnel in it, needs.
#[derive(Clone)]
struct Connection {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Held by the connection and its tunnel.
    _slot: Arc<OwnedSemaphorePermit>,
}

/// Accepts until cancelled, [`CONNECTIONS_MAX`] at a time.
pub(super) async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true); // Only faster.
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        let connection =
            Connection { shared, tasks: tasks.clone(), stop: stop.clone(), _slot: Arc::new(slot) };
        tasks.spawn(stop.run_until_cancelled_owned(http(connection, stream, None)));
    }
}

/// Speaks HTTP/1.1 on `stream`; `origin` is where a tunnel leads.
async fn http<S>(connection: Connection, stream: S, origin: Option<Arc<Url>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (connection, origin) = (connection.clone(), origin.clone());
        async move { Ok::<_, Infallible>(respond(&connection, origin.as_deref(), request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_header_size(HTTP_HEAD_SIZE_BYTES_MAX)
        .max_buf_size(HTTP_HEAD_SIZE_BYTES_MAX + 8192)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served.as_ref()
        && error.is_parse()
    {
        let event = connection.shared.event("malformed", connection.shared.step().as_ref());
        connection.shared.note(crate::transcript::Event { reason: Some(error.to_string()), ..event });
    }
}

async fn respond(
    connection: &Connection,
    origin: Option<&Url>,
    request: Request<Incoming>,
) -> Response<Body> {
    let method = request.method().clone();
    let written = match origin {
        Some(origin) => format!("{}{}", origin.origin().ascii_serialization(), request.uri()),
        None => request.uri().to_string(),
    };
    let step = connection.shared.step();
    let answer = if method == Method::CONNECT && origin.is_none() {
        let reached = reached(&connection.shared, request.uri().clone()).await;
        reached.and_then(|to| tunnel(connection, request, to))
    } else {
        answer(&connection.shared, origin, request).await
    };
    answer.unwrap_or_else(|refused| {
        let url = ask::shown(&written);
        connection.shared.refused(method.as_str(), &url, refused.reason, step.as_ref());
        let status = match refused.reason {
            Reason::Method => StatusCode::METHOD_NOT_ALLOWED,
            Reason::Size => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::FORBIDDEN,
        };
        serve::sentence(status, "refused", &format!("{method} {url} {}", refused.because))
    })
}

/// Where a tunnel leads, and whether it may be opened.
async fn reached(shared: &Shared, uri: hyper::Uri) -> Result<(Url, bool), Refused> {
    let authority = uri.authority().filter(|authority| authority.port().is_some());
    let authority =
        authority.ok_or_else(|| Refused::new(Reason::Connect, "is not a tunnel to a host and port"))?;
    let origin = canonical_url(&format!("https://{authority}/"))
        .map_err(|error| Refused::new(Reason::Connect, format!("is not let through: {error}")))?;
    let allowed = !authority.as_str().contains('@') && shared.connects(&origin).await;
    Ok((origin, allowed))
}

/// Opens a tunnel to `origin` if it is `allowed`, with TLS of ours at its end.
fn tunnel(
    connection: &Connection,
    mut request: Request<Incoming>,
    (origin, allowed): (Url, bool),
) -> Result<Response<Body>, Refused> {
    let shared = &connection.shared;
    if !allowed {
        if let Source::Recorded(_) = shared.source {
            return Ok(undeclared(shared, "CONNECT", origin.as_str()));
        }
        let because = "leads to a host and port of no https repository; add a [[repository]] table for it";
        return Err(Refused::new(Reason::Connect, because));
    }
    let host = origin.host_str().unwrap_or_default();
    let tls = shared.ca.server(host);
    let tls = tls.map_err(|error| Refused::new(Reason::Connect, format!("cannot be opened: {error}")))?;
    let upgrade = hyper::upgrade::on(&mut request);
    let inner = connection.clone();
    let opened = async move {
        let Ok(upgraded) = upgrade.await else { return };
        let stream = TokioIo::<Upgraded>::new(upgraded);
        let accepted = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await;
        if let Ok(Ok(stream)) = accepted {
            http(inner, stream, Some(Arc::new(origin))).await;
        }
    };
    connection.tasks.spawn(connection.stop.clone().run_until_cancelled_owned(opened));
    Ok(Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync()))
}

async fn answer(
    shared: &Arc<Shared>,
    origin: Option<&Url>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refused> {
    if ![Method::GET, Method::HEAD, Method::POST].contains(request.method()) {
        return Err(Refused::new(Reason::Method, "is not let through; only GET, HEAD and POST are"));
    }
    let upgrade = request.headers().get(header::UPGRADE);
    if upgrade.is_some_and(|protocol| !protocol.as_bytes().eq_ignore_ascii_case(b"h2c")) {
        return Err(Refused::new(Reason::Upgrade, "asks for another protocol, which is not let through"));
    }
    let url = ask::url_of(&request, origin)?;
    let _slot = if ask::has_body(&request) { shared.body_slots.acquire().await.ok() } else { None };
    let ask = Arc::new(Ask::read(request, url, shared.step()).await?);
    match &shared.source {
        Source::Recorded(recorded) => Ok(replay(shared, recorded, &ask).await),
        Source::Upstream(upstream) => {
            let route = shared.route(&upstream.allow, &ask)?;
            Ok(first_or_frozen(shared, upstream, ask, route).await)
        }
    }
}

async fn replay(shared: &Arc<Shared>, recorded: &Recorded, ask: &Ask) -> Response<Body> {
    match recorded.find(ask).await {
        Some(exchange) => serve::frozen(shared, ask, &exchange, "replayed").await,
        None => undeclared(shared, ask.method.as_str(), &ask.url),
    }
}

fn undeclared(shared: &Shared, method: &str, url: &str) -> Response<Body> {
    let url = ask::shown(url);
    shared.undeclared(method, &url, shared.step().as_ref());
    let text = format!("{method} {url} is not in the recording, and a replay fetches nothing");
    serve::sentence(StatusCode::FORBIDDEN, "undeclared", &text)
}

/// Gives what is frozen, or asks upstream; one at a time for each key.
async fn first_or_frozen(
    shared: &Arc<Shared>,
    upstream: &Arc<Upstream>,
    ask: Arc<Ask>,
    route: Route,
) -> Response<Body> {
    let lead = loop {
        match shared.turn(&ask) {
            Turn::Frozen(exchange) => return serve::frozen(shared, &ask, &exchange, "frozen").await,
            // An error says that the leader is done, too.
            Turn::Follow(mut done) => drop(done.changed().await),
            Turn::Lead(lead) => break lead,
        }
    };
    let (start, started) = oneshot::channel();
    let both = (Arc::clone(shared), Arc::clone(upstream));
    shared.recordings.spawn(record::record(both, Arc::clone(&ask), route, start, lead));
    match started.await {
        Ok(Start::Stream { head, pipe }) => serve::streaming(&head, pipe),
        Ok(Start::Frozen(exchange)) => serve::frozen(shared, &ask, &exchange, "fetched").await,
        Ok(Start::Failed(failure)) => serve::failed(&failure),
        Err(_) => serve::sentence(StatusCode::BAD_GATEWAY, "failed", "the build is over"),
    }
}
