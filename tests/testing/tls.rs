//! A server that speaks TLS: whom it lets in, and what it is without.

use auth_adapter_redis::redis::{
    Client, ClientTlsConfig, Connection, RedisResult, TlsCertificates, cmd,
};
use auth_adapter_redis::testing::{Certificates, Data, Server, ServerBuilder, StartError};

use super::{AnyError, Client as Plain, Outcome};

/// A server with TLS, or nothing where the program has none, which is told as such.
fn start(builder: ServerBuilder) -> Result<Option<Server>, AnyError> {
    match builder.start() {
        Ok(server) => Ok(Some(server)),
        Err(StartError::NoTls { binary }) => {
            println!("not run: {} has no TLS", binary.display());
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn connect(
    server: &Server,
    trusted: &Certificates,
    shown: Option<&Certificates>,
) -> RedisResult<Connection> {
    // An error means that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client_tls = shown.map(|certificates| ClientTlsConfig {
        client_cert: certificates.client_certificate().into(),
        client_key: certificates.client_key().into(),
    });
    let root_cert = Some(trusted.ca().into());
    Client::build_with_tls(server.url(), TlsCertificates { client_tls, root_cert })?
        .get_connection()
}

#[test]
fn lets_in_who_has_its_certificate_and_nobody_else() -> Outcome {
    let certificates = Certificates::generate()?;
    let others = Certificates::generate()?;
    let Some(server) = start(Server::builder().tls(&certificates))? else { return Ok(()) };
    assert_eq!(server.url(), format!("rediss://127.0.0.1:{}", server.port()));
    for data in [Data::Kept, Data::Lost] {
        let mut client = connect(&server, &certificates, Some(&certificates))?;
        assert_eq!(cmd("SET").arg("k").arg("v").query::<String>(&mut client)?, "OK");
        assert_eq!(server.command(&["GET", "k"])?.text(), Some("v"));
        assert!(connect(&server, &certificates, None).is_err(), "it shows nothing");
        assert!(connect(&server, &certificates, Some(&others)).is_err(), "it is a stranger");
        assert!(connect(&server, &others, Some(&certificates)).is_err(), "it trusts others");
        server.restart(data)?;
    }
    let answer = Plain::connect(server.addr())?.ask("PING");
    assert!(!answer.is_ok_and(|answer| answer.contains("PONG")), "it speaks nothing but TLS");
    Ok(())
}

#[test]
fn lets_in_who_shows_nothing_if_told_to() -> Outcome {
    let certificates = Certificates::generate()?;
    let builder = Server::builder().tls(&certificates).client_certificate_required(false);
    let Some(server) = start(builder)? else { return Ok(()) };
    for shown in [None, Some(&certificates)] {
        let mut client = connect(&server, &certificates, shown)?;
        assert_eq!(cmd("PING").query::<String>(&mut client)?, "PONG");
    }
    let others = Certificates::generate()?;
    assert!(connect(&server, &certificates, Some(&others)).is_err(), "it is a stranger");
    Ok(())
}

#[test]
fn a_wrong_option_is_not_taken_for_a_lack_of_tls() -> Outcome {
    let certificates = Certificates::generate()?;
    if start(Server::builder().tls(&certificates))?.is_none() {
        return Ok(());
    }
    let error = Server::builder().tls(&certificates).args(["--no-such-option", "1"]).start();
    let error = error.expect_err("it cannot start");
    assert!(matches!(error, StartError::Ended { .. }), "{error:?}");
    Ok(())
}

#[test]
fn keys_are_not_in_the_debug_output() -> Outcome {
    let certificates = Certificates::generate()?;
    assert!(certificates.client_key().contains("PRIVATE KEY"));
    assert_eq!(format!("{certificates:?}"), "Certificates { .. }");
    Ok(())
}
