//! TLS by rustls, which does no I/O of its own.
//!
//! Sessions are not resumed: every connection pays for a whole handshake, as many different clients would.

use crate::error::Error;
use crate::scenario::template::{Template, Values};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme, WantsVerifier,
};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the command line says of TLS.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TlsOptions {
    /// A file of certificates to trust instead of the system's.
    pub(crate) ca: Option<PathBuf>,
    /// The client's certificates, a template for a file name.
    pub(crate) cert: Option<String>,
    /// Its key, a template for a file name.
    pub(crate) key: Option<String>,
    /// Trust every server.
    pub(crate) insecure: bool,
}

impl TlsOptions {
    /// True when something is said.
    pub(super) fn is_given(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.key.is_some() || self.insecure
    }
}

/// What the connections of a run are made from.
#[derive(Debug)]
pub(super) struct TlsSetup {
    server: ServerName<'static>,
    provider: Arc<CryptoProvider>,
    trust: Trust,
    identity: Option<(Template, Template)>,
    /// The configuration of all clients, if they have no certificates or the same.
    shared: Option<Arc<ClientConfig>>,
}

#[derive(Debug)]
enum Trust {
    Roots(Arc<RootCertStore>),
    Everyone,
}

impl TlsSetup {
    /// For connections to `host`.
    pub(super) fn new(host: &str, options: &TlsOptions) -> Result<Self, Error> {
        let server = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Usage(format!("--target: `{host}` cannot be the name of a TLS server")))?;
        let template =
            |name: &str, text: &String| Template::parse(text).map_err(|e| Error::Usage(format!("{name}: {e}")));
        let identity = match (&options.cert, &options.key) {
            (Some(cert), Some(key)) => Some((template("--cert", cert)?, template("--key", key)?)),
            (None, None) => None,
            _ => return Err(Error::Usage("--cert and --key go together".to_owned())),
        };
        let trust =
            if options.insecure { Trust::Everyone } else { Trust::Roots(Arc::new(roots(options.ca.as_deref())?)) };
        let mut setup = Self { server, provider: Arc::new(ring::default_provider()), trust, identity, shared: None };
        if setup.identity.as_ref().is_none_or(|(cert, key)| cert.is_constant() && key.is_constant()) {
            let config = setup.config(Values { index: 0, group: "", run: 0 }).map_err(Error::Usage)?;
            setup.shared = Some(config);
        }
        Ok(setup)
    }

    fn config(&self, values: Values<'_>) -> Result<Arc<ClientConfig>, String> {
        let builder: ConfigBuilder<ClientConfig, WantsVerifier> =
            ClientConfig::builder_with_provider(Arc::clone(&self.provider))
                .with_safe_default_protocol_versions()
                .map_err(|e| format!("TLS cannot be set up: {e}"))?;
        let builder = match &self.trust {
            Trust::Roots(roots) => builder.with_root_certificates(Arc::clone(roots)),
            Trust::Everyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(TrustEveryone(Arc::clone(&self.provider)))),
        };
        let mut config = match &self.identity {
            Some((cert, key)) => {
                let (cert, key) = (PathBuf::from(cert.fill(values)), PathBuf::from(key.fill(values)));
                let certs: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&cert)
                    .and_then(Iterator::collect)
                    .map_err(|e| format!("{}: {e}", cert.display()))?;
                let private = PrivateKeyDer::from_pem_file(&key).map_err(|e| format!("{}: {e}", key.display()))?;
                builder.with_client_auth_cert(certs, private).map_err(|e| format!("{}: {e}", cert.display()))?
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// A new connection of a client.
    pub(super) fn open(&self, values: Values<'_>) -> Result<Tls, String> {
        let config = match &self.shared {
            Some(config) => Arc::clone(config),
            None => self.config(values)?,
        };
        let mut connection =
            ClientConnection::new(config, self.server.clone()).map_err(|e| format!("TLS cannot begin: {e}"))?;
        // What is said before the handshake is over waits inside; the caller bounds it.
        connection.set_buffer_limit(None);
        Ok(Tls(connection))
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let bad = |e: String| Error::Report { path: path.to_path_buf(), what: e };
    for cert in CertificateDer::pem_file_iter(path).map_err(|e| bad(e.to_string()))? {
        roots.add(cert.map_err(|e| bad(e.to_string()))?).map_err(|e| bad(e.to_string()))?;
    }
    if roots.is_empty() { Err(bad("there is no certificate in it".to_owned())) } else { Ok(roots) }
}

/// A TLS connection.
#[derive(Debug)]
pub(super) struct Tls(ClientConnection);

impl Tls {
    /// Takes records and appends what they say to `plain`.
    pub(super) fn receive(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
        while !bytes.is_empty() {
            let read = self.0.read_tls(&mut bytes).map_err(|e| format!("TLS failed: {e}"))?;
            let state = self.0.process_new_packets().map_err(|e| format!("TLS failed: {e}"))?;
            let from = plain.len();
            plain.resize(from + state.plaintext_bytes_to_read(), 0);
            // All of it is there, so it is read without an end in between.
            self.0.reader().read_exact(&mut plain[from..]).map_err(|e| format!("TLS failed: {e}"))?;
            if read == 0 {
                return Err("it went on after the end of its TLS".to_owned());
            }
        }
        Ok(())
    }

    /// Appends records for `plain`, and those of the connection itself, to `out`.
    pub(super) fn send(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.0.writer().write_all(plain).map_err(|e| format!("TLS failed: {e}"))?;
        while self.0.wants_write() {
            self.0.write_tls(out).map_err(|e| format!("TLS failed: {e}"))?;
        }
        Ok(())
    }

    /// True when the connection has records of its own to send.
    pub(super) fn has_more(&self) -> bool {
        self.0.wants_write()
    }
}

/// `--insecure`: takes every certificate, but still checks that the server holds its key.
#[derive(Debug)]
struct TrustEveryone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustEveryone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
