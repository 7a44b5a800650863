//! A small HTTP/1.1 server on loopback: the sandbox and the tests play providers with it, bad days included.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use sync_core::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// A request as the server sees it.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Such as `GET`.
    pub method: String,
    /// The path, percent-encoded as it came.
    pub path: String,
    /// The query without its question mark, percent-encoded as it came; empty if there was none.
    pub query: String,
    /// Headers, names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Bytes,
}

impl Incoming {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What the server does with a request.
pub enum Reply {
    /// Answers well.
    Whole {
        /// The status.
        status: u16,
        /// Headers, without the length.
        headers: Vec<(String, String)>,
        /// The body.
        body: Bytes,
    },
    /// Announces the whole body, sends its beginning, and closes the connection.
    Cut {
        /// The status.
        status: u16,
        /// Headers, without the length.
        headers: Vec<(String, String)>,
        /// The body as announced.
        body: Bytes,
        /// How many bytes of it are sent.
        sent: usize,
    },
    /// Sends the body in chunks of unannounced length, each when its moment has come.
    Chunks {
        /// The status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// The pieces of the body.
        chunks: Vec<Chunk>,
        /// Whether the body ends as it should; otherwise the connection is closed in the middle of it.
        whole: bool,
    },
    /// Never answers. The connection stays open until the client leaves.
    Hang,
    /// Resets the connection.
    Reset,
}

impl Reply {
    /// A JSON answer.
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self::Whole { status, headers, body: body.into() }
    }
}

/// A piece of a chunked body.
pub struct Chunk {
    /// What is waited for before it is sent, such as a clock's sleep.
    pub after: Option<BoxFuture<'static, ()>>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Decides how each request is answered.
///
/// Called for every request, from many connections at once. A future that is dropped means that the client
/// left.
pub trait Handler: Send + Sync + 'static {
    /// The reply to one request.
    fn answer(&self, incoming: Incoming) -> BoxFuture<'_, Reply>;
}

impl<F: Fn(Incoming) -> Reply + Send + Sync + 'static> Handler for F {
    fn answer(&self, incoming: Incoming) -> BoxFuture<'_, Reply> {
        Box::pin(std::future::ready(self(incoming)))
    }
}

/// A server that runs until it is shut down or dropped.
pub struct Server {
    addr: SocketAddr,
    connections: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Listens on a loopback address (port 0: any free port) and answers in the background. Any other address
    /// is refused, because this server has no TLS and no limits. Must be called inside a tokio runtime.
    #[expect(clippy::disallowed_methods, reason = "this is the crate that listens")]
    pub fn start(addr: SocketAddr, handler: Arc<dyn Handler>) -> io::Result<Self> {
        if !addr.ip().is_loopback() {
            let message = format!("{addr} is not a loopback address");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = std::net::TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let addr = listener.local_addr()?;
        let connections = Arc::<AtomicU64>::default();
        let accepting = tokio::spawn(accept(listener, handler, connections.clone()));
        Ok(Self { addr, connections, accepting })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections were made to it so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Closes the listener and every connection, and returns when that is done.
    pub async fn shutdown(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Connections live in the set, so they end with this future.
async fn accept(listener: TcpListener, handler: Arc<dyn Handler>, count: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    count.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(serve(stream, handler.clone()));
                }
                // Out of file descriptors, or the client left before it was met: the next may do better.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, handler: Arc<dyn Handler>) {
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(Notify::new());
    let asked_to_reset = reset.clone();
    let service = hyper::service::service_fn(move |request| {
        let (handler, reset) = (handler.clone(), reset.clone());
        let answer: BoxFuture<'static, _> = Box::pin(async move { answer(&*handler, request, &reset).await });
        answer
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // An error here is the client's leaving or our own cutting short; both are meant to end it.
        _ = &mut connection => {}
        () = asked_to_reset.notified() => {
            let stream = connection.into_parts().io.into_inner();
            let _ = stream.set_zero_linger();
        }
    }
}

async fn answer(
    handler: &dyn Handler,
    request: hyper::Request<hyper::body::Incoming>,
    reset: &Notify,
) -> Result<hyper::Response<Pieces>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let incoming = Incoming {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: body.collect().await?.to_bytes(),
    };
    let response = match handler.answer(incoming).await {
        Reply::Whole { status, headers, body } => response(status, headers, Pieces::whole(body)),
        Reply::Cut { status, headers, body, sent } => response(status, headers, Pieces::cut(&body, sent)),
        Reply::Chunks { status, headers, chunks, whole } => {
            response(status, headers, Pieces::chunks(chunks, whole))
        }
        Reply::Hang => std::future::pending().await,
        Reply::Reset => {
            reset.notify_one();
            std::future::pending().await
        }
    };
    Ok(response)
}

fn response(status: u16, headers: Vec<(String, String)>, body: Pieces) -> hyper::Response<Pieces> {
    let mut builder = hyper::Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.body(body).unwrap_or_else(|error| {
        let body = Pieces::whole(Bytes::from(format!("the handler's reply is not HTTP: {error}")));
        let mut response = hyper::Response::new(body);
        *response.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// A body in steps, which may fail to keep what it announced.
struct Pieces {
    steps: VecDeque<Step>,
    announced: Option<u64>,
}

enum Step {
    Wait(BoxFuture<'static, ()>),
    Send(Bytes),
    Break,
}

impl Pieces {
    fn whole(body: Bytes) -> Self {
        let announced = Some(body.len() as u64);
        // An empty chunk would end a chunked body, so none is ever sent.
        let steps = (!body.is_empty()).then_some(Step::Send(body)).into_iter().collect();
        Self { steps, announced }
    }

    fn cut(body: &Bytes, sent: usize) -> Self {
        let mut pieces = Self::whole(body.slice(..sent.min(body.len())));
        pieces.announced = Some(body.len() as u64);
        pieces.breaking()
    }

    fn chunks(chunks: Vec<Chunk>, whole: bool) -> Self {
        let steps = chunks.into_iter().flat_map(|Chunk { after, bytes }| {
            let send = (!bytes.is_empty()).then_some(Step::Send(bytes));
            after.map(Step::Wait).into_iter().chain(send)
        });
        let pieces = Self { steps: steps.collect(), announced: None };
        if whole { pieces } else { pieces.breaking() }
    }

    /// What was written is flushed only while a body is waiting, so the break comes one round later.
    fn breaking(mut self) -> Self {
        self.steps.extend([Step::Wait(Box::pin(tokio::task::yield_now())), Step::Break]);
        self
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        while let Some(step) = self.steps.front_mut() {
            match step {
                Step::Wait(moment) => std::task::ready!(moment.as_mut().poll(cx)),
                Step::Send(bytes) => {
                    let frame = Frame::data(std::mem::take(bytes));
                    self.steps.pop_front();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Step::Break => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            }
            self.steps.pop_front();
        }
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
