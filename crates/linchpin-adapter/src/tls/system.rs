//! The authorities that the system trusts.

use crate::url::invalid;
use linchpin_core::{Error, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::{Arc, OnceLock};

/// Verifies by them. Where no server needs to show a certificate they are never read: that takes longer than all else that
/// a connection costs.
///
/// # Errors
/// `InvalidArgument` if they are `required` and the system has none.
pub(super) fn authorities(provider: &Arc<CryptoProvider>, required: bool) -> Result<Arc<dyn ServerCertVerifier>> {
    let system = System(provider.clone());
    if required {
        system.verifier()?;
    }
    Ok(Arc::new(system))
}

#[derive(Debug)]
struct System(Arc<CryptoProvider>);

impl System {
    /// Of this process.
    fn verifier(&self) -> Result<&'static Arc<WebPkiServerVerifier>> {
        static READ: OnceLock<Arc<WebPkiServerVerifier>> = OnceLock::new();
        if let Some(verifier) = READ.get() {
            return Ok(verifier);
        }
        let mut found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.0.clone()).build();
        let verifier = verifier.map_err(|empty| -> Error {
            let error = invalid("the system has no certificate authorities to trust; name one with tls_ca");
            match found.errors.pop() {
                Some(source) => error.with_source(source),
                None => error.with_source(empty),
            }
        })?;
        Ok(READ.get_or_init(|| verifier))
    }
}

impl ServerCertVerifier for System {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let verifier = self.verifier().map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_read_once_and_trust_no_stranger() {
        let system = System(Arc::new(rustls::crypto::ring::default_provider()));
        let verifier = system.verifier().expect("this system has some");
        assert!(Arc::ptr_eq(verifier, system.verifier().expect("read")));
        assert_eq!(system.supported_verify_schemes(), verifier.supported_verify_schemes());
        let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let name = ServerName::try_from("localhost").expect("a name");
        let shown = system.verify_server_cert(stranger.cert.der(), &[], &name, &[], UnixTime::now());
        assert!(matches!(shown, Err(rustls::Error::InvalidCertificate(_))), "{shown:?}");
    }
}
