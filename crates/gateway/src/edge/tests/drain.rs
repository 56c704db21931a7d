//! Ending in good order.

use testkit::http::{HttpUpstream, whole};
use tokio::sync::Semaphore;

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An upstream that answers when the test lets it, and tells when it has been asked.
async fn held() -> (HttpUpstream, Arc<Semaphore>, mpsc::UnboundedReceiver<()>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let (asked, heard) = mpsc::unbounded_channel();
    let upstream = HttpUpstream::streaming(move |_| {
        let gate = Arc::clone(&opened);
        let asked = asked.clone();
        async move {
            asked.send(()).unwrap();
            gate.acquire().await.unwrap().forget();
            Response::new(whole("late"))
        }
    })
    .await;
    (upstream, gate, heard)
}

#[tokio::test]
async fn a_request_under_way_is_answered_and_others_are_not_taken() {
    let (upstream, gate, mut asked) = held().await;
    let edge = Edge::before(&upstream.url());
    let address = edge.address;
    let mut idle = edge.connect().await;
    idle.send(GET).await;
    asked.recv().await.unwrap();
    gate.add_permits(1);
    assert_eq!(idle.message().await.unwrap().field("connection"), Vec::<&str>::new());
    let mut busy = edge.connect().await;
    busy.send(GET).await;
    asked.recv().await.unwrap();

    let draining = tokio::spawn(edge.running.drain(Duration::from_secs(20)));
    assert!(idle.is_closed().await);
    gate.add_permits(1);
    let answer = busy.message().await.unwrap();

    assert_eq!((answer.text().as_str(), answer.field("connection")), ("late", vec!["close"]));
    assert!(busy.is_closed().await);
    draining.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_comes_while_draining_is_answered() {
    let long = Limits { drain_idle: Duration::from_secs(20), ..Limits::default() };
    let edge = Edge::start(super::limits(long), None, |_, _| answer(200, "yes"));
    let mut client = edge.connect().await;
    assert_eq!(client.ask(GET).await.status(), 200);
    let address = edge.address;

    let draining = tokio::spawn(edge.running.drain(Duration::from_secs(20)));
    while tokio::net::TcpStream::connect(address).await.is_ok() {}
    let answer = client.ask(GET).await;

    assert_eq!((answer.status(), answer.field("connection")), (200, vec!["close"]));
    assert!(client.is_closed().await);
    draining.await.unwrap();
}

#[tokio::test]
async fn what_does_not_end_is_cut_and_accounted_for() {
    let (upstream, _gate, mut asked) = held().await;
    let Edge { running, address, mut finished } = Edge::before(&upstream.url());
    let mut stuck = RawConnection::connect(address).await;
    stuck.send(GET).await;
    asked.recv().await.unwrap();

    running.drain(Duration::from_millis(10)).await;

    assert!(stuck.is_closed().await);
    assert!(finished.recv().await.unwrap().1.broken_off);
}

#[tokio::test]
async fn dropping_the_handle_ends_everything() {
    let edge = Edge::start(config(), None, |_, _| answer(200, "yes"));
    let mut client = edge.connect().await;
    assert_eq!(client.ask(GET).await.status(), 200);

    drop(edge);

    assert!(client.is_closed().await);
}

#[tokio::test]
async fn several_workers_share_a_listener() {
    let edge = Edge::start(EdgeConfig { workers: 3, ..config() }, None, |_, _| answer(200, "yes"));
    let mut clients = Vec::new();
    for _ in 0..30 {
        let mut client = edge.connect().await;
        assert_eq!(client.ask(GET).await.status(), 200);
        clients.push(client);
    }
    assert_eq!(edge.running.connections(), 30);

    edge.running.drain(Duration::from_secs(20)).await;

    for mut client in clients {
        assert!(client.is_closed().await);
    }
}

/// Ends only when it is told that the client has gone, and then takes until `proceed`.
struct Undoing {
    begun: Arc<tokio::sync::Notify>,
    told: Arc<tokio::sync::Notify>,
    proceed: Arc<tokio::sync::Notify>,
    done: Arc<std::sync::atomic::AtomicBool>,
}

impl Work for Undoing {
    fn run(self: Box<Self>, means: Means) -> futures_util::future::LocalBoxFuture<'static, Composed> {
        Box::pin(async move {
            self.begun.notify_one();
            means.gone.cancelled().await;
            self.told.notify_one();
            self.proceed.notified().await;
            self.done.store(true, std::sync::atomic::Ordering::SeqCst);
            Composed {
                response: Response::default(),
                failed: None,
                parts: None,
                missing_parts: [None, None],
                attempts: 0,
            }
        })
    }
}

#[tokio::test]
async fn what_is_being_undone_is_waited_for_though_its_client_has_gone() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let notify = || Arc::new(tokio::sync::Notify::new());
    let (begun, told, proceed, done) = (notify(), notify(), notify(), Arc::new(AtomicBool::new(false)));
    let parts = (Arc::clone(&begun), Arc::clone(&told), Arc::clone(&proceed), Arc::clone(&done));
    let edge = Edge::start(config(), None, move |_, _| {
        let (begun, told, proceed, done) = parts.clone();
        Decision::Compose(Compose {
            wants_body: false,
            max_body_bytes: 0,
            idle_timeout: Duration::from_secs(5),
            calls: true,
            outlives_client: true,
            work: Box::new(Undoing { begun, told, proceed, done }),
        })
    });
    let mut connection = edge.connect().await;
    connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    begun.notified().await;
    drop(connection);
    told.notified().await;

    let mut draining = Box::pin(edge.running.drain(Duration::from_secs(20)));
    assert!(futures_util::poll!(&mut draining).is_pending());
    proceed.notify_one();
    draining.await;

    assert!(done.load(Ordering::SeqCst));
}

/// Who asks and leaves at once takes no place among the connections; what goes on for them has a bound all the same.
#[tokio::test]
async fn work_that_outlives_its_clients_is_bounded() {
    let notify = || Arc::new(tokio::sync::Notify::new());
    let (begun, told, proceed) = (notify(), notify(), notify());
    let parts = (Arc::clone(&begun), Arc::clone(&told), Arc::clone(&proceed));
    let mut config = config();
    config.workers = 1;
    config.limits.outliving = 1;
    let edge = Edge::start(config, None, move |_, _| {
        let (begun, told, proceed) = parts.clone();
        let done = Arc::default();
        Decision::Compose(Compose {
            wants_body: false,
            max_body_bytes: 0,
            idle_timeout: Duration::from_secs(5),
            calls: true,
            outlives_client: true,
            work: Box::new(Undoing { begun, told, proceed, done }),
        })
    });
    let mut first = edge.connect().await;
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    begun.notified().await;
    drop(first);
    told.notified().await;

    let refused = edge.connect().await.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;

    assert_eq!(refused.status(), 503, "{}", refused.text());
    proceed.notify_one();
    edge.running.drain(Duration::from_secs(20)).await;
}
