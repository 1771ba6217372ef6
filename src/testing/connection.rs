//! One connection through a proxy.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::mode::{Mode, OneReply, Shared};

/// Begins like no reply does.
const GARBAGE: &[u8] = b"\x15\x03\x01 these bytes are no reply \xff\xfe\r\n";
/// Begins a string that no client can have the end of.
const ENDLESS: &[u8] = b"$1099511627776\r\n";
/// What is read at once.
const BUFFER: usize = 16 * 1024;
/// A byte is surely read by itself only if the next is late; more than this many prove no more.
const SPACED_BYTES: usize = 32;

/// A connection, as its task and the proxy's thread know it.
#[derive(Debug)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    frozen: watch::Sender<bool>,
    reset: AtomicBool,
    lost: AtomicBool,
    held: AtomicUsize,
    /// What is done with what the server says next.
    one_reply: Mutex<Option<OneReply>>,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.counters.update(|stats| {
            stats.connections += 1;
            stats.open += 1;
        });
        Self {
            shared,
            frozen: watch::Sender::new(false),
            reset: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            one_reply: Mutex::new(None),
        }
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    pub(super) fn has_lost_bytes(&self) -> bool {
        self.lost.load(Relaxed)
    }

    pub(super) fn reset_when_closed(&self) {
        self.reset.store(true, Relaxed);
    }

    fn lose(&self, count: usize) {
        self.lost.store(true, Relaxed);
        self.shared.counters.update(|stats| stats.lost_bytes += count);
    }

    fn hold(&self, count: usize) {
        self.held.fetch_add(count, Relaxed);
        self.shared.counters.update(|stats| stats.held_bytes += count);
    }

    /// Writes bytes of the client to the server; `held` tells whether they were held until now.
    async fn forward(&self, server: &TcpStream, bytes: &[u8], held: bool) -> io::Result<()> {
        send(server, bytes).await?;
        // Not before it has arrived, or an earlier reply could close the connection under it. No
        // reply is read meanwhile: that is done in the same task.
        if let Some(what) = self.shared.take_broken(bytes) {
            *lock(&self.one_reply) = Some(what);
        }
        let held = if held { self.held.swap(0, Relaxed) } else { 0 };
        self.shared.counters.update(|stats| {
            stats.forwarded_bytes += bytes.len();
            stats.held_bytes -= held;
        });
        Ok(())
    }
}

/// The client's end of a connection, owned by the task: closed and no longer counted when that
/// ends, whether by itself or because it is cut.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Client {
    pub(super) fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        // Only a matter of speed, and of single bytes being sent as such.
        let _slower = stream.set_nodelay(true);
        Self { stream, connection }
    }

    async fn deliver(&self, bytes: &[u8]) -> io::Result<()> {
        send(&self.stream, bytes).await?;
        self.connection.shared.counters.update(|stats| stats.returned_bytes += bytes.len());
        Ok(())
    }

    /// Goes on until the client is gone; slowly enough for one that waits for the end in vain.
    async fn deliver_endlessly(&self) -> io::Result<()> {
        self.deliver(ENDLESS).await?;
        loop {
            self.deliver(&[b'x'; BUFFER]).await?;
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn deliver_singly(&self, bytes: &[u8]) -> io::Result<()> {
        for (position, byte) in bytes.chunks(1).enumerate() {
            if (1..SPACED_BYTES).contains(&position) {
                sleep(Duration::from_millis(1)).await;
            }
            self.deliver(byte).await?;
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.connection.reset.load(Relaxed) {
            // Deprecated because it may block when closing, which a time of zero does not; what
            // replaces it is not in every tokio this works with.
            #[allow(deprecated)]
            let _closed_instead = self.stream.set_linger(Some(Duration::ZERO));
        }
        let held = self.connection.held.load(Relaxed);
        self.connection.shared.counters.update(|stats| {
            stats.open -= 1;
            stats.held_bytes -= held;
        });
    }
}

/// Serves one client to its end.
pub(super) async fn serve(client: Client) {
    let client = &client;
    if !wait_for_use_of_server(client).await {
        return;
    }
    let Ok(server) = TcpStream::connect(client.connection.shared.target).await else {
        return;
    };
    let _slower = server.set_nodelay(true);
    let (from_server, to_server) = server.into_split();
    let requests = async {
        match pass_requests(client, to_server).await {
            // The server still answers, and closes when it has.
            Ok(()) => pending().await,
            Err(_server_gone) => {}
        }
    };
    tokio::select! {
        () = requests => {}
        () = pass_replies(client, from_server) => {}
    }
}

/// Serves a client without a server while nothing is forwarded; false if the client goes.
async fn wait_for_use_of_server(client: &Client) -> bool {
    let connection = &client.connection;
    let mut mode = connection.shared.mode.subscribe();
    let mut buffer = vec![0; BUFFER];
    loop {
        let now = *mode.borrow_and_update();
        if !matches!(now, Mode::BlackHole | Mode::Garbage) {
            return true;
        }
        tokio::select! {
            biased;
            _changed = mode.changed() => {}
            count = read(&client.stream, &mut buffer) => {
                let Ok(count @ 1..) = count else {
                    return false;
                };
                connection.lose(count);
                if now == Mode::Garbage && client.deliver(GARBAGE).await.is_err() {
                    return false;
                }
            }
        }
    }
}

/// From the client to the server, until the client ends; then tells the server so.
async fn pass_requests(client: &Client, server: OwnedWriteHalf) -> io::Result<()> {
    let connection = &client.connection;
    let mut frozen = connection.frozen.subscribe();
    let mut held = Vec::new();
    let mut client_ended = false;
    let mut buffer = vec![0; BUFFER];
    loop {
        let is_frozen = *frozen.borrow_and_update();
        if !is_frozen {
            if !held.is_empty() {
                connection.forward(server.as_ref(), &held, true).await?;
                held.clear();
            }
            if client_ended {
                return Ok(());
            }
        }
        tokio::select! {
            biased;
            _changed = frozen.changed() => {}
            count = read(&client.stream, &mut buffer), if !client_ended => {
                let bytes = &buffer[..count.unwrap_or(0)];
                match connection.shared.mode() {
                    _ if bytes.is_empty() => client_ended = true,
                    _ if is_frozen => {
                        held.extend_from_slice(bytes);
                        connection.hold(bytes.len());
                    }
                    Mode::BlackHole => connection.lose(bytes.len()),
                    Mode::Garbage => {
                        connection.lose(bytes.len());
                        client.deliver(GARBAGE).await?;
                    }
                    _ => connection.forward(server.as_ref(), bytes, false).await?,
                }
            }
        }
    }
}

/// From the server to the client, until the server ends or the connection is to be closed.
async fn pass_replies(client: &Client, server: OwnedReadHalf) {
    let connection = &client.connection;
    let mut frozen = connection.frozen.subscribe();
    // What is delayed, and when it is due.
    let mut queue: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut server_ended = false;
    let mut buffer = vec![0; BUFFER];
    while !server_ended || !queue.is_empty() {
        if *frozen.borrow_and_update() {
            // It cannot fail, since the connection holds the sender.
            let _changed = frozen.changed().await;
            continue;
        }
        let due = queue.front().map(|(due, _)| *due);
        tokio::select! {
            biased;
            _changed = frozen.changed() => {}
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                if let Some((_, bytes)) = queue.pop_front() {
                    // The client may have gone, and its requests are to be executed all the same.
                    let _gone = client.deliver(&bytes).await;
                }
            }
            count = read(server.as_ref(), &mut buffer), if !server_ended => {
                let bytes = &buffer[..count.unwrap_or(0)];
                if bytes.is_empty() {
                    server_ended = true;
                    continue;
                }
                let broken = lock(&connection.one_reply).take();
                if let Some(what) = broken {
                    let kept = match what {
                        OneReply::Drop => 0,
                        OneReply::Half => first_line(bytes) / 2,
                    };
                    connection.lose(bytes.len() - kept);
                    let _gone = client.deliver(&bytes[..kept]).await;
                    return;
                }
                let _gone = match connection.shared.mode() {
                    Mode::BlackHole | Mode::Silence | Mode::Garbage => {
                        connection.lose(bytes.len());
                        Ok(())
                    }
                    Mode::Delay(by) => {
                        queue.push_back((Instant::now() + by, bytes.to_vec()));
                        Ok(())
                    }
                    // Not before what is still delayed.
                    _ if !queue.is_empty() => {
                        queue.push_back((Instant::now(), bytes.to_vec()));
                        Ok(())
                    }
                    Mode::OneByte => client.deliver_singly(bytes).await,
                    Mode::Endless => {
                        connection.lose(bytes.len());
                        client.deliver_endlessly().await
                    }
                    Mode::Pass | Mode::Refuse => client.deliver(bytes).await,
                };
            }
        }
    }
}

/// How long it is. What comes after it can be a reply of its own.
fn first_line(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

async fn send(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
