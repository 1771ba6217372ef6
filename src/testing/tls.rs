//! Certificates for a server that speaks TLS and for its clients.

use std::{fmt, io};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority of a test's own, with a certificate for a server on `127.0.0.1` and
/// `localhost`, and one for a client. All are in the PEM form.
///
/// # Examples
///
/// ```
/// use auth_adapter_redis::testing::{Certificates, Server, StartError};
///
/// let certificates = Certificates::generate()?;
/// match Server::builder().tls(&certificates).start() {
///     Ok(server) => assert!(server.url().starts_with("rediss://127.0.0.1:")),
///     // Not every server program can.
///     Err(error) => assert!(matches!(error, StartError::NoTls { .. }), "{error}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Certificates {
    ca: String,
    server: Identity,
    client: Identity,
}

#[derive(Clone)]
struct Identity {
    certificate: String,
    key: String,
}

impl Certificates {
    /// Makes new ones, which nobody else trusts.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn generate() -> io::Result<Self> {
        Self::try_generate().map_err(io::Error::other)
    }

    fn try_generate() -> Result<Self, rcgen::Error> {
        let mut ca = params("the authority of a test", &[])?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = ca.self_signed(&key)?.pem();
        let issuer = Issuer::new(ca, key);
        let server = params("a server of a test", &["127.0.0.1", "localhost"])?;
        let client = params("a client of a test", &[])?;
        Ok(Self {
            ca: certificate,
            server: signed(server, ExtendedKeyUsagePurpose::ServerAuth, &issuer)?,
            client: signed(client, ExtendedKeyUsagePurpose::ClientAuth, &issuer)?,
        })
    }

    /// The certificate of the authority, which clients are to trust.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// The certificate that a client shows.
    pub fn client_certificate(&self) -> &str {
        &self.client.certificate
    }

    /// The key of the client's certificate.
    pub fn client_key(&self) -> &str {
        &self.client.key
    }

    /// The files that a server needs, by the option that names each.
    pub(super) fn files(&self) -> [(&'static str, &'static str, &str); 3] {
        [
            ("--tls-ca-cert-file", "ca.crt", &self.ca),
            ("--tls-cert-file", "server.crt", &self.server.certificate),
            ("--tls-key-file", "server.key", &self.server.key),
        ]
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys are for no log, not even a test's.
        formatter.debug_struct("Certificates").finish_non_exhaustive()
    }
}

fn params(name: &str, addresses: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let addresses: Vec<_> = addresses.iter().map(|address| (*address).to_owned()).collect();
    let mut params = CertificateParams::new(addresses)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn signed(
    mut params: CertificateParams,
    usage: ExtendedKeyUsagePurpose,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<Identity, rcgen::Error> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?.pem();
    Ok(Identity { certificate, key: key.serialize_pem() })
}
