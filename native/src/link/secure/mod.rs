//! TLS 1.3 in both directions, with one key that both hosts share, and nothing to choose: one cipher, one exchange, one
//! kind of signature, no resumption, no early data, no tickets. A session that was recorded proves nothing in another one.
//!
//! The handshake blocks, in the thread of the caller or of the dialer; after it the stream works without blocking.

mod key;
mod pin;
mod stream;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite::TLS13_AES_128_GCM_SHA256 as SUITE};
use rustls::pki_types::ServerName;
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Connection, Error,
    ServerConfig, ServerConnection,
};

use self::pin::{ForeignKey, Pin};
use super::LinkError;
use super::opening::{FRAME_BYTE, drain, first_byte, is_late, left};

#[cfg(test)]
pub(super) use key::tests::key_file;
pub use key::{Key, KeyError};
pub use stream::SecureStream;

/// Why there is no secure connection.
#[derive(Debug, thiserror::Error)]
pub enum SecureError {
    /// The peer has another key.
    #[error(
        "the peer's sync key is {theirs}, ours is {ours}: copy the key file of one host to the other"
    )]
    ForeignKey {
        /// Its fingerprint.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// The peer has refused our key.
    #[error("the peer refuses our sync key {ours}: copy the key file of one host to the other")]
    KeyRefused {
        /// Its fingerprint.
        ours: String,
    },
    /// The peer left in the middle of it.
    #[error(
        "the peer hung up while TLS began: it may run an older Kemari, which speaks without it, or have no key: its \
         log says why"
    )]
    HungUp,
    /// The peer answers in clear.
    #[error("the peer speaks without TLS")]
    WithoutTls,
    /// Something else about TLS.
    #[error("TLS failed")]
    Tls(#[source] Error),
}

impl SecureError {
    fn new(error: Error, key: &Key) -> Self {
        let ours = key.fingerprint().to_owned();
        match error {
            Error::InvalidCertificate(CertificateError::Other(other))
                if other.0.downcast_ref::<ForeignKey>().is_some() =>
            {
                let theirs = other.0.downcast_ref::<ForeignKey>();
                let theirs = theirs.map(|foreign| foreign.theirs.clone());
                Self::ForeignKey {
                    theirs: theirs.unwrap_or_default(),
                    ours,
                }
            }
            Error::AlertReceived(AlertDescription::CertificateUnknown) => Self::KeyRefused { ours },
            other => Self::Tls(other),
        }
    }
}

/// Makes the connection that we dialed a secure one.
///
/// # Errors
/// A [`LinkError`], also if it is not there at the `deadline`.
pub fn connect(socket: &TcpStream, key: Key, deadline: Instant) -> Result<SecureStream, LinkError> {
    let provider = provider();
    let resolver = AlwaysResolvesClientRawPublicKeys::new(Arc::clone(&key.certified));
    let pin = Pin::new(key.clone(), provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(SecureError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pin))
        .with_client_cert_resolver(Arc::new(resolver));
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // It is the key that is checked; the name is never sent, being an address.
    let name = ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED));
    let client = ClientConnection::new(Arc::new(config), name).map_err(SecureError::Tls)?;
    shake_hands(socket, client.into(), key, deadline)
}

/// Makes a caller's connection a secure one.
///
/// # Errors
/// A [`LinkError`], also if it is not there at the `deadline`.
pub fn accept(socket: &TcpStream, key: Key, deadline: Instant) -> Result<SecureStream, LinkError> {
    let provider = provider();
    let resolver = AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&key.certified));
    let pin = Pin::new(key.clone(), provider.signature_verification_algorithms);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(SecureError::Tls)?
        .with_client_cert_verifier(Arc::new(pin))
        .with_cert_resolver(Arc::new(resolver));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    let server = ServerConnection::new(Arc::new(config)).map_err(SecureError::Tls)?;
    shake_hands(socket, server.into(), key, deadline)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![SUITE],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    })
}

fn shake_hands(
    socket: &TcpStream,
    mut tls: Connection,
    key: Key,
    deadline: Instant,
) -> Result<SecureStream, LinkError> {
    let mut has_heard = false;
    loop {
        while tls.wants_write() {
            socket.set_write_timeout(Some(left(deadline)?))?;
            match tls.write_tls(&mut &*socket) {
                Ok(_) => {}
                Err(error) if is_late(&error) => _ = left(deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
        if !tls.is_handshaking() {
            return Ok(SecureStream::new(socket.try_clone()?, tls, key));
        }
        // Only what the peer begins with tells: later on any byte may come first.
        if !has_heard {
            match first_byte(socket, deadline) {
                Ok(FRAME_BYTE) => return Err(SecureError::WithoutTls.into()),
                Ok(_) => has_heard = true,
                Err(error) => return Err(or_hung_up(error)),
            }
        }
        socket.set_read_timeout(Some(left(deadline)?))?;
        match tls.read_tls(&mut &*socket) {
            Ok(0) => return Err(SecureError::HungUp.into()),
            Ok(_) => {}
            Err(error) if is_late(&error) => _ = left(deadline)?,
            Err(error) => return Err(or_hung_up(error.into())),
        }
        if let Err(error) = tls.process_new_packets() {
            say_why(socket, &mut tls, deadline);
            return Err(SecureError::new(error, &key).into());
        }
    }
}

fn or_hung_up(error: LinkError) -> LinkError {
    match error {
        LinkError::Closed => SecureError::HungUp.into(),
        LinkError::Io(error) if error.kind() == ErrorKind::ConnectionReset => {
            SecureError::HungUp.into()
        }
        other => other,
    }
}

/// Sends the alert that tells the peer what is wrong, and waits until it can have read it: a close with something unread
/// would take it back.
fn say_why(socket: &TcpStream, tls: &mut Connection, deadline: Instant) {
    let sent = left(deadline).and_then(|left| {
        socket.set_write_timeout(Some(left))?;
        while tls.wants_write() {
            tls.write_tls(&mut &*socket)?;
        }
        Ok(())
    });
    if sent.is_ok() {
        drain(socket, deadline);
    }
}
