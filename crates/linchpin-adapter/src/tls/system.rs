//! The authorities that the system trusts.

use crate::url::invalid;
use linchpin_core::{Error, Result};
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_native_certs::CertificateResult;
use std::sync::{Arc, OnceLock};

/// Verifies by them. Where no server shows a certificate they are never read: that takes longer than all else that a
/// connection costs.
///
/// # Errors
/// `InvalidArgument` if they are `required` and the system has none.
pub(super) fn authorities(provider: &Arc<CryptoProvider>, required: bool) -> Result<Arc<dyn ServerCertVerifier>> {
    static READ: Authorities = Authorities::unread(rustls_native_certs::load_native_certs);
    let system = System { provider: provider.clone(), authorities: &READ };
    if required {
        system.verifier()?;
    }
    Ok(Arc::new(system))
}

/// The authorities of a system, once they were read and there are some.
#[derive(Debug)]
struct Authorities {
    read: fn() -> CertificateResult,
    verifier: OnceLock<Arc<WebPkiServerVerifier>>,
    reading: Mutex<()>,
}

impl Authorities {
    const fn unread(read: fn() -> CertificateResult) -> Self {
        Self { read, verifier: OnceLock::new(), reading: Mutex::new(()) }
    }
}

#[derive(Debug)]
struct System {
    provider: Arc<CryptoProvider>,
    authorities: &'static Authorities,
}

impl System {
    fn verifier(&self) -> Result<&Arc<WebPkiServerVerifier>> {
        let Authorities { read, verifier, reading } = self.authorities;
        if let Some(verifier) = verifier.get() {
            return Ok(verifier);
        }
        // Many that connect at once wait for one.
        let _reading = reading.lock();
        if let Some(verifier) = verifier.get() {
            return Ok(verifier);
        }
        let mut found = read();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        let made = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build();
        let made = made.map_err(|empty| -> Error {
            let error = invalid("the system has no certificate authorities to trust; name one with tls_ca");
            match found.errors.pop() {
                Some(source) => error.with_source(source),
                None => error.with_source(empty),
            }
        })?;
        Ok(verifier.get_or_init(|| made))
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
        let verifier = self.verifier().map_err(|error| {
            tracing::debug!(%error, "nobody is trusted");
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)
        })?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, KeyPair};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn shown(system: &System, certificate: &CertificateDer<'_>) -> std::result::Result<(), rustls::Error> {
        let name = ServerName::try_from("localhost").expect("a name");
        system.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).map(drop)
    }

    fn system(authorities: &'static Authorities) -> System {
        System { provider: Arc::new(rustls::crypto::ring::default_provider()), authorities }
    }

    fn made() -> CertifiedKey<KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made")
    }

    #[test]
    fn they_are_read_once_when_a_server_shows_a_certificate() {
        static KNOWN: LazyLock<CertificateDer<'static>> = LazyLock::new(|| made().cert.der().clone());
        static READS: AtomicUsize = AtomicUsize::new(0);
        static AUTHORITIES: Authorities = Authorities::unread(|| {
            READS.fetch_add(1, Ordering::SeqCst);
            let mut found = CertificateResult::default();
            found.certs.push(KNOWN.clone());
            found
        });
        assert!(!system(&AUTHORITIES).supported_verify_schemes().is_empty());
        assert_eq!(READS.load(Ordering::SeqCst), 0, "nobody has shown anything");
        for _ in 0..2 {
            let refused = shown(&system(&AUTHORITIES), made().cert.der());
            assert!(matches!(refused, Err(rustls::Error::InvalidCertificate(_))), "{refused:?}");
            shown(&system(&AUTHORITIES), &KNOWN).expect("it is an authority");
        }
        assert_eq!(READS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn where_there_are_none_nobody_is_trusted_and_the_next_looks_again() {
        static NONE: Authorities = Authorities::unread(CertificateResult::default);
        let refused = shown(&system(&NONE), made().cert.der());
        assert_eq!(refused, Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)));
        assert!(
            system(&NONE).verifier().expect_err("none").to_string().contains("tls_ca") && NONE.verifier.get().is_none()
        );
    }
}
