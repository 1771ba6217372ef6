//! A proxy between a client and a server that breaks what passes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::mode::{Breach, Mode, OneReply, Shared};
use super::proxy_thread::{Order, run};
use super::{Server, Stats, ports};

/// A TCP proxy to a [`Server`] with faults that can be switched at any time.
///
/// It runs in a thread of its own, so it works with any runtime or none, and goes on while the
/// test's runtime is blocked. Every method has taken effect when it returns.
///
/// [`pass`](Self::pass), [`delay`](Self::delay), [`refuse`](Self::refuse),
/// [`black_hole`](Self::black_hole), [`silence_replies`](Self::silence_replies),
/// [`one_byte_at_a_time`](Self::one_byte_at_a_time), [`garbage`](Self::garbage) and
/// [`endless_replies`](Self::endless_replies) are modes: each ends the one before, and closes the connections that lost bytes in it, because what follows a
/// gap would be taken for the answer to something else. The others can be added to any mode.
///
/// A client connects to the proxy also while the server is down, and then finds its connection
/// closed at once.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use auth_adapter_redis::testing::{Proxy, Server};
///
/// let server = Server::start()?;
/// let proxy = Proxy::to(&server)?;
///
/// proxy.drop_reply_to("INCR");
/// let mut client = TcpStream::connect(proxy.addr())?;
/// client.write_all(b"INCR n\r\n")?;
/// let mut reply = Vec::new();
/// client.read_to_end(&mut reply)?;
/// assert!(reply.is_empty(), "the client cannot know,");
/// assert_eq!(server.command(&["GET", "n"])?.text(), Some("1"), "but it was done");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    orders: UnboundedSender<(Order, mpsc::Sender<()>)>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy to a server, also after that is restarted.
    ///
    /// # Errors
    ///
    /// When there is no free port or the system cannot start a thread.
    pub fn to(server: &Server) -> io::Result<Self> {
        Self::to_addr(server.addr())
    }

    /// A proxy to whatever listens at an address.
    ///
    /// # Errors
    ///
    /// As [`to`](Self::to).
    pub fn to_addr(target: SocketAddr) -> io::Result<Self> {
        let listener = ports::listen_somewhere()?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared::new(target));
        let (orders, received) = tokio::sync::mpsc::unbounded_channel();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("proxy".into())
            .spawn(move || runtime.block_on(run(listener, received, theirs)))?;
        Ok(Self { addr, shared, orders, thread: Some(thread) })
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// The port clients connect to.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The address clients connect to.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// Mode: everything passes, as at the start.
    ///
    /// Frozen connections stay frozen until [`thaw`](Self::thaw).
    ///
    /// # Panics
    ///
    /// As every mode does after [`refuse`](Self::refuse), when another process has taken the port
    /// meanwhile.
    pub fn pass(&self) {
        self.shared.break_nothing();
        self.order(Order::Mode(Mode::Pass));
    }

    /// Mode: every reply arrives so much later, in order; requests do not.
    pub fn delay(&self, by: Duration) {
        self.order(Order::Mode(Mode::Delay(by)));
    }

    /// Mode: new connections are refused, and present ones closed.
    pub fn refuse(&self) {
        self.order(Order::Mode(Mode::Refuse));
    }

    /// Mode: connections are open or opened, and whatever is sent over them is lost and never
    /// answered.
    pub fn black_hole(&self) {
        self.order(Order::Mode(Mode::BlackHole));
    }

    /// Mode: requests arrive and are executed, and replies are lost; connections stay open.
    pub fn silence_replies(&self) {
        self.order(Order::Mode(Mode::Silence));
    }

    /// Mode: replies arrive as single bytes, with a millisecond between the first 32 of each.
    pub fn one_byte_at_a_time(&self) {
        self.order(Order::Mode(Mode::OneByte));
    }

    /// Mode: every request is lost, and answered by bytes that are no reply.
    pub fn garbage(&self) {
        self.order(Order::Mode(Mode::Garbage));
    }

    /// Mode: requests arrive and are executed, and their replies are lost: each connection gets the
    /// beginning of a string of a terabyte instead, and more and more of it, 16 KiB in a millisecond.
    pub fn endless_replies(&self) {
        self.order(Order::Mode(Mode::Endless));
    }

    /// Closes all present connections; new ones work.
    pub fn cut(&self) {
        self.order(Order::Cut { reset: false });
    }

    /// Resets all present connections ("connection reset by peer"); new ones work.
    pub fn reset(&self) {
        self.order(Order::Cut { reset: true });
    }

    /// Holds what the clients of all present connections send, and what they would be answered;
    /// new connections work.
    ///
    /// A client sees a connection that is open and silent. [`held_bytes`](Self::held_bytes) tells
    /// what has come from it and is held.
    pub fn freeze_present(&self) {
        self.order(Order::Freeze(true));
    }

    /// Delivers what is held by [`freeze_present`](Self::freeze_present), late and in order, also
    /// if the client has closed its side meanwhile, and lets the connections go on.
    ///
    /// The replies of a client that has gone are thrown away. The server has executed all its bytes
    /// when its connection is no longer among [`Stats::open`].
    pub fn thaw(&self) {
        self.order(Order::Freeze(false));
    }

    /// The reply to the next request in which these bytes are is thrown away and its connection is
    /// closed: the request was executed and its client cannot know.
    ///
    /// Any request has the empty string in it. Where others are in flight on that connection, the
    /// first of all their replies is what is lost, and what follows it.
    pub fn drop_reply_to(&self, request: &str) {
        self.break_replies(request, OneReply::Drop, true);
    }

    /// The same with the replies to all such requests, until [`pass`](Self::pass): whoever asks again
    /// is not answered either.
    pub fn drop_replies_to(&self, request: &str) {
        self.break_replies(request, OneReply::Drop, false);
    }

    /// Of the reply that [`drop_reply_to`](Self::drop_reply_to) would throw away, half of the first
    /// line is delivered, and then that connection is closed.
    pub fn half_reply_to(&self, request: &str) {
        self.break_replies(request, OneReply::Half, true);
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.stats().connections
    }

    /// How many bytes of clients were written to the server so far.
    pub fn forwarded_bytes(&self) -> usize {
        self.stats().forwarded_bytes
    }

    /// How many bytes of clients [`freeze_present`](Self::freeze_present) holds back now.
    pub fn held_bytes(&self) -> usize {
        self.stats().held_bytes
    }

    /// All that is counted.
    pub fn stats(&self) -> Stats {
        self.shared.counters.now()
    }

    /// Waits until the condition holds, at most so long, and tells whether it does.
    ///
    /// This blocks the thread: a client that runs on the same thread does not go on meanwhile.
    pub fn wait_until(&self, holds: impl FnMut(&Stats) -> bool, within: Duration) -> bool {
        self.shared.counters.wait(within, holds)
    }

    fn break_replies(&self, request: &str, what: OneReply, once: bool) {
        self.shared.break_replies(Breach { request: request.into(), what, once });
    }

    /// Gives an order and waits until it is done.
    fn order(&self, order: Order) {
        let what = format!("{order:?}");
        let (done, wait) = mpsc::channel();
        let sent = self.orders.send((order, done)).is_ok();
        assert!(
            sent && wait.recv().is_ok(),
            "the proxy on port {} has ended and cannot do {what}",
            self.port()
        );
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let (done, _) = mpsc::channel();
        let _ended = self.orders.send((Order::End, done));
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by itself.
            let _panicked = thread.join();
        }
    }
}
