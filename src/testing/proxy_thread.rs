//! The thread of a proxy: accepts connections and carries out orders.

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};

use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::connection::{Client, Connection, serve};
use super::mode::{Mode, Shared};

/// What a proxy's thread is told to do.
#[derive(Debug)]
pub(super) enum Order {
    Mode(Mode),
    Cut { reset: bool },
    Freeze(bool),
    End,
}

/// Runs a proxy until it is told to end.
pub(super) async fn run(
    listener: TcpListener,
    mut orders: UnboundedReceiver<(Order, mpsc::Sender<()>)>,
    shared: Arc<Shared>,
) {
    let addr = match listener.local_addr() {
        Ok(addr) => addr,
        Err(error) => panic!("a listening socket has no address: {error}"),
    };
    let mut door = Door { addr, open: Some(OpenDoor::new(listener)), served: Vec::new(), shared };
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some((Order::End, _)) | None => return,
                Some((order, done)) => {
                    door.obey(order).await;
                    // Whoever gave the order may have gone.
                    let _gone = done.send(());
                }
            },
            stream = accept(door.open.as_ref()) => door.serve(stream),
        }
    }
}

struct Door {
    addr: SocketAddr,
    /// Absent while connections are refused.
    open: Option<OpenDoor>,
    served: Vec<(Arc<Connection>, JoinHandle<()>)>,
    shared: Arc<Shared>,
}

impl Door {
    async fn obey(&mut self, order: Order) {
        // A client believes to be connected once the system has queued it, so those are present.
        while let Some(stream) = self.open.as_ref().and_then(OpenDoor::accept_queued) {
            self.serve(stream);
        }
        match order {
            Order::Mode(Mode::Refuse) => {
                self.open = None;
                self.shared.mode.send_replace(Mode::Refuse);
                self.cut(false, |_| true).await;
            }
            Order::Mode(mode) => {
                let before = self.shared.mode.send_replace(mode);
                if mode != before && mode != Mode::BlackHole {
                    self.cut(false, Connection::has_lost_bytes).await;
                }
                if self.open.is_none() {
                    self.open = Some(OpenDoor::new(listen_again(self.addr)));
                }
            }
            Order::Cut { reset } => self.cut(reset, |_| true).await,
            Order::Freeze(frozen) => {
                for (connection, _) in &self.served {
                    connection.freeze(frozen);
                }
            }
            Order::End => {}
        }
    }

    fn serve(&mut self, stream: TcpStream) {
        self.served.retain(|(_, task)| !task.is_finished());
        let connection = Arc::new(Connection::new(Arc::clone(&self.shared)));
        let task = tokio::spawn(serve(Client::new(stream, Arc::clone(&connection))));
        self.served.push((connection, task));
    }

    /// Closes some connections and returns when they are.
    async fn cut(&mut self, reset: bool, which: impl Fn(&Connection) -> bool) {
        let (cut, kept) = std::mem::take(&mut self.served)
            .into_iter()
            .partition(|(connection, _)| which(connection));
        self.served = kept;
        for (connection, task) in cut {
            if reset {
                connection.reset_when_closed();
            }
            task.abort();
            // It is cancelled, or had ended before.
            let _ended = task.await;
        }
    }
}

/// A listener, for the runtime and also to be asked at once.
struct OpenDoor {
    awaited: tokio::net::TcpListener,
    asked: TcpListener,
}

impl OpenDoor {
    fn new(listener: TcpListener) -> Self {
        let both = listener
            .try_clone()
            .and_then(|asked| Ok((tokio::net::TcpListener::from_std(listener)?, asked)));
        match both {
            Ok((awaited, asked)) => Self { awaited, asked },
            Err(error) => panic!("the proxy cannot listen: {error}"),
        }
    }

    /// A connection that waits to be accepted, if there is one.
    fn accept_queued(&self) -> Option<TcpStream> {
        let (stream, _) = self.asked.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        TcpStream::from_std(stream).ok()
    }
}

async fn accept(open: Option<&OpenDoor>) -> TcpStream {
    let Some(open) = open else {
        return pending().await;
    };
    loop {
        // An error is that of a connection that was given up before it was accepted.
        if let Ok((stream, _)) = open.awaited.accept().await {
            return stream;
        }
        tokio::task::yield_now().await;
    }
}

/// Has the port back that was given up to refuse connections.
fn listen_again(addr: SocketAddr) -> TcpListener {
    let listener = TcpListener::bind(addr)
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    match listener {
        Ok(listener) => listener,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            panic!("another process has taken the proxy's port {addr}")
        }
        Err(error) => panic!("the proxy cannot listen on {addr} again: {error}"),
    }
}
