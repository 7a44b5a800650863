//! One TLS stack for the process: rustls on ring, with the certificate authorities of this machine.

use rustls::crypto::{CryptoProvider, ring};

/// Installs ring as the process's cryptography. Calling it again changes nothing.
pub fn install_tls() {
    if CryptoProvider::get_default().is_none() {
        // Another thread may be first, and brings the same provider.
        let _ = ring::default_provider().install_default();
    }
}

/// A configuration that trusts nobody: for the client that speaks plain http on loopback only, so that it is
/// made without reading hundreds of certificates.
pub(crate) fn trusting_nobody() -> rustls::ClientConfig {
    install_tls();
    rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}
