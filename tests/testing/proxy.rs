//! What a client sees of each fault of a proxy, and what the server has done by then.

use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use auth_adapter_redis::testing::{Data, Proxy, Server, random_prefix, shared};

use super::{Client, LONG, Outcome};

/// A proxy to the shared server, and a key of the test's own.
fn proxy_and_key() -> Result<(Proxy, String), Box<dyn std::error::Error>> {
    Ok((Proxy::to(shared())?, format!("{}n", random_prefix())))
}

fn value(key: &str) -> Option<String> {
    let reply = shared().command(&["GET", key]).expect("it answers");
    reply.text().map(str::to_owned)
}

#[test]
fn passes_and_counts() -> Outcome {
    let (proxy, key) = proxy_and_key()?;
    assert_eq!(proxy.url(), format!("redis://127.0.0.1:{}", proxy.port()));
    let mut client = Client::connect(proxy.addr())?;
    let request = format!("INCR {key}");
    assert_eq!(client.ask(&request)?, ":1");
    assert_eq!(proxy.connections(), 1);
    assert_eq!(proxy.forwarded_bytes(), request.len() + 2);
    assert!(proxy.wait_until(|stats| stats.returned_bytes == 4, LONG));
    assert!(!proxy.wait_until(|stats| stats.connections == 2, Duration::ZERO));
    let addr = proxy.addr();
    let second = thread::spawn(move || Client::connect(addr));
    assert!(proxy.wait_until(|stats| stats.connections == 2, LONG));
    drop(second.join());
    assert!(proxy.wait_until(|stats| stats.open == 1, LONG));
    drop(proxy);
    assert_eq!(client.rest()?, b"");
    assert!(Client::connect(addr).is_err());
    Ok(())
}

#[test]
fn passes_much_both_ways_at_once() -> Outcome {
    let (proxy, key) = proxy_and_key()?;
    let mut client = Client::connect(proxy.addr())?;
    let big = "x".repeat(60_000);
    assert_eq!(client.ask(&format!("SET {key} {big}"))?, "+OK");
    // The client reads nothing before it has sent all.
    for _ in 0..200 {
        client.send(&format!("GET {key}"))?;
    }
    for _ in 0..200 {
        assert_eq!(client.line()?, "$60000");
        assert!(client.line()? == big);
    }
    Ok(())
}

#[test]
fn delays() -> Outcome {
    let (proxy, _) = proxy_and_key()?;
    let mut client = Client::connect(proxy.addr())?;
    let by = Duration::from_millis(80);
    proxy.delay(by);
    let since = Instant::now();
    for _ in 0..5 {
        client.send("PING")?;
    }
    for _ in 0..5 {
        assert_eq!(client.line()?, "+PONG");
        assert!(since.elapsed() >= by);
    }
    proxy.pass();
    assert_eq!(client.ask("PING")?, "+PONG");
    Ok(())
}

#[test]
fn cuts_and_resets() -> Outcome {
    let (proxy, _) = proxy_and_key()?;
    for _ in 0..10 {
        // Neither has been used: the proxy may not have accepted them when it is told.
        let mut cut = Client::connect(proxy.addr())?;
        proxy.cut();
        assert_eq!(cut.rest()?, b"");
        let mut reset = Client::connect(proxy.addr())?;
        proxy.reset();
        let error = reset.rest().expect_err("it is reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(Client::connect(proxy.addr())?.ask("PING")?, "+PONG");
    Ok(())
}

#[test]
fn refuses() -> Outcome {
    let (proxy, _) = proxy_and_key()?;
    let mut present = Client::connect(proxy.addr())?;
    assert_eq!(present.ask("PING")?, "+PONG");
    for _ in 0..5 {
        proxy.refuse();
        assert_eq!(present.rest()?, b"");
        let error = Client::connect(proxy.addr()).err().map(|e| e.kind());
        assert_eq!(error, Some(ErrorKind::ConnectionRefused));
        proxy.pass();
        present = Client::connect(proxy.addr())?;
        assert_eq!(present.ask("PING")?, "+PONG");
    }
    Ok(())
}

#[test]
fn loses_all_in_a_black_hole() -> Outcome {
    let (proxy, key) = proxy_and_key()?;
    let mut present = Client::connect(proxy.addr())?;
    let mut unused = Client::connect(proxy.addr())?;
    assert_eq!(present.ask("PING")?, "+PONG");
    proxy.black_hole();
    let mut new = Client::connect(proxy.addr())?;
    for client in [&mut present, &mut new] {
        client.send(&format!("INCR {key}"))?;
        assert!(client.hears_nothing()?);
    }
    assert_eq!(value(&key), None);
    proxy.pass();
    // Those that lost something are closed.
    assert_eq!(present.rest()?, b"");
    assert_eq!(new.rest()?, b"");
    assert_eq!(unused.ask(&format!("INCR {key}"))?, ":1");
    Ok(())
}

#[test]
fn holds_what_was_sent_and_delivers_it_late() -> Outcome {
    let (proxy, key) = proxy_and_key()?;
    let mut stays = Client::connect(proxy.addr())?;
    let mut goes = Client::connect(proxy.addr())?;
    assert_eq!(stays.ask("PING")?, "+PONG");
    assert_eq!(goes.ask("PING")?, "+PONG");
    proxy.freeze_present();
    let append = |what: &str| format!("APPEND {key} {what}");
    let length = append("a").len() + 2;
    stays.send(&append("a"))?;
    assert!(proxy.wait_until(|stats| stats.held_bytes == length, LONG));
    goes.send(&append("b"))?;
    goes.send(&append("c"))?;
    assert!(proxy.wait_until(|stats| stats.held_bytes == 3 * length, LONG));
    drop(goes);
    assert!(stays.hears_nothing()?);
    assert_eq!(proxy.held_bytes(), 3 * length);
    assert_eq!(proxy.stats().open, 2);

    // New connections work meanwhile, and the server has seen nothing of the held bytes.
    assert_eq!(Client::connect(proxy.addr())?.ask(&append("new"))?, ":3");
    assert!(proxy.wait_until(|stats| stats.open == 2, LONG));
    proxy.thaw();
    assert!(stays.line()?.starts_with(':'));
    assert!(proxy.wait_until(|stats| stats.open == 1, LONG));
    assert_eq!(proxy.held_bytes(), 0);
    let value = value(&key).ok_or("nothing")?;
    assert!(["newabc", "newbac", "newbca"].contains(&&*value), "{value}");

    proxy.freeze_present();
    stays.send(&append("d"))?;
    assert!(proxy.wait_until(|stats| stats.held_bytes > 0, LONG));
    proxy.cut();
    assert_eq!((proxy.held_bytes(), proxy.stats().open), (0, 0));
    Ok(())
}

#[test]
fn drops_and_halves_one_reply() -> Outcome {
    let (proxy, key) = proxy_and_key()?;
    let mut client = Client::connect(proxy.addr())?;
    assert_eq!(client.ask("PING")?, "+PONG");
    proxy.drop_reply_to("SET");
    assert_eq!(client.ask("PING")?, "+PONG", "not to that");
    client.send(&format!("SET {key} done"))?;
    assert_eq!(client.rest()?, b"");
    assert_eq!(value(&key).as_deref(), Some("done"));

    proxy.half_reply_to("");
    let mut client = Client::connect(proxy.addr())?;
    client.send(&format!("GET {key}"))?;
    assert_eq!(client.rest()?, b"$4");
    assert_eq!(Client::connect(proxy.addr())?.ask("PING")?, "+PONG");

    for drop in [Proxy::drop_reply_to, Proxy::drop_replies_to] {
        drop(&proxy, "");
        proxy.pass();
        assert_eq!(Client::connect(proxy.addr())?.ask("PING")?, "+PONG");
    }
    Ok(())
}

#[test]
fn drops_every_reply_to_one_request_until_it_is_told_to_pass() -> Outcome {
    let (proxy, key) = proxy_and_key()?;
    proxy.drop_replies_to("INCR");
    for times in ["1", "2", "3"] {
        let mut client = Client::connect(proxy.addr())?;
        assert_eq!(client.ask("PING")?, "+PONG", "not to that");
        client.send(&format!("INCR {key}"))?;
        assert_eq!(client.rest()?, b"");
        assert_eq!(value(&key).as_deref(), Some(times));
    }
    proxy.pass();
    assert_eq!(Client::connect(proxy.addr())?.ask(&format!("INCR {key}"))?, ":4");
    Ok(())
}

#[test]
fn silences_replies() -> Outcome {
    let (proxy, key) = proxy_and_key()?;
    let mut client = Client::connect(proxy.addr())?;
    proxy.silence_replies();
    client.send(&format!("INCR {key}"))?;
    assert!(proxy.wait_until(|stats| stats.lost_bytes == 4, LONG));
    assert_eq!(value(&key).as_deref(), Some("1"));
    assert!(client.hears_nothing()?);
    proxy.pass();
    assert_eq!(client.rest()?, b"");
    Ok(())
}

#[test]
fn replies_one_byte_at_a_time() -> Outcome {
    let (proxy, _) = proxy_and_key()?;
    let mut client = Client::connect(proxy.addr())?;
    proxy.one_byte_at_a_time();
    assert_eq!(client.ask("PING")?, "+PONG");
    let sent = "x".repeat(100);
    client.send(&format!("ECHO {sent}"))?;
    // The first read gives what has come by then, which is far from all.
    let first = client.0.fill_buf()?.len();
    assert!((1..sent.len()).contains(&first), "{first} bytes at once");
    assert_eq!(client.line()?, "$100");
    assert_eq!(client.line()?, sent);
    Ok(())
}

#[test]
fn replies_without_end() -> Outcome {
    let (proxy, key) = proxy_and_key()?;
    let mut client = Client::connect(proxy.addr())?;
    proxy.endless_replies();
    client.send(&format!("INCR {key}"))?;
    let length: u64 = client.line()?.strip_prefix('$').ok_or("no string")?.parse()?;
    let mut some = vec![0; 1_000_000];
    assert!(length > some.len() as u64);
    client.0.read_exact(&mut some)?;
    assert_eq!(value(&key).as_deref(), Some("1"), "it was done");
    proxy.pass();
    client.rest()?;
    assert_eq!(Client::connect(proxy.addr())?.ask("PING")?, "+PONG");
    Ok(())
}

#[test]
fn answers_garbage() -> Outcome {
    let (proxy, key) = proxy_and_key()?;
    let mut present = Client::connect(proxy.addr())?;
    assert_eq!(present.ask("PING")?, "+PONG");
    proxy.garbage();
    for client in [&mut present, &mut Client::connect(proxy.addr())?] {
        client.send(&format!("INCR {key}"))?;
        let mut first = [0];
        client.0.read_exact(&mut first)?;
        assert!(!b"+-:$*_,#!=(~%>|".contains(&first[0]));
    }
    assert_eq!(value(&key), None);
    proxy.pass();
    assert_eq!(Client::connect(proxy.addr())?.ask("PING")?, "+PONG");
    Ok(())
}

#[test]
fn finds_the_server_down_and_back() -> Outcome {
    let server = Server::start()?;
    let proxy = Proxy::to(&server)?;
    let mut client = Client::connect(proxy.addr())?;
    assert_eq!(client.ask("PING")?, "+PONG");
    server.kill()?;
    assert_eq!(client.rest()?, b"");
    assert_eq!(Client::connect(proxy.addr())?.rest()?, b"");
    server.restart(Data::Lost)?;
    assert_eq!(Client::connect(proxy.addr())?.ask("PING")?, "+PONG");
    Ok(())
}

#[test]
fn goes_to_any_address_and_reads_to_the_end() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let proxy = Proxy::to_addr(listener.local_addr()?)?;
    let mut client = Client::connect(proxy.addr())?;
    let (mut end, _) = listener.accept()?;
    end.write_all(b"hello")?;
    drop(end);
    assert_eq!(client.rest()?, b"hello");
    Ok(())
}

/// The proxy must not need the runtime of the test, which is blocked here all the time.
#[tokio::test]
async fn works_while_the_runtime_is_blocked() -> Outcome {
    let (proxy, key) = proxy_and_key()?;
    let mut client = Client::connect(proxy.addr())?;
    assert_eq!(client.ask(&format!("INCR {key}"))?, ":1");
    proxy.refuse();
    proxy.pass();
    assert_eq!(Client::connect(proxy.addr())?.ask("PING")?, "+PONG");
    Ok(())
}
