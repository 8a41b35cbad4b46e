//! Certificates and keys are checked here, by name: sqlx would find out at each connection, and tell less.

use super::invalid;
use linchpin_core::Result;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// Checks authorities (PEM), and the certificate and key of a client (PEM).
///
/// # Errors
/// `InvalidArgument` if one of them is not PEM of its kind, or certificate and key cannot be used together.
pub(super) fn check(authorities: Option<&[u8]>, client: Option<(&[u8], &[u8])>) -> Result<()> {
    let mut roots = RootCertStore::empty();
    if let Some(pem) = authorities {
        const NAME: &str = "the certificate authority (tls_ca)";
        for certificate in certificates(NAME, pem)? {
            roots.add(certificate).map_err(|error| invalid(format!("{NAME} is not usable")).with_source(error))?;
        }
    }
    let Some((certificate, key)) = client else { return Ok(()) };
    let chain = certificates("the client certificate (tls_cert)", certificate)?;
    // The error is not kept as a source: it could speak of what stands in the key.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| invalid("the client key (tls_key) is not a private key in PEM, or is encrypted"))?;
    let unusable = |error| {
        invalid("the client certificate and key (tls_cert, tls_key) cannot be used together").with_source(error)
    };
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("TLS cannot be set up").with_source(error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(unusable)?;
    Ok(())
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    match CertificateDer::pem_slice_iter(pem).collect::<std::result::Result<Vec<_>, _>>() {
        Ok(read) if !read.is_empty() => Ok(read),
        _ => Err(invalid(format!("{name} is not a certificate in PEM"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_needs_its_own_key_and_no_key_is_repeated() {
        let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let (one, other) = (make(), make());
        let certificate = one.cert.pem();
        let with = |key: &str| check(None, Some((certificate.as_bytes(), key.as_bytes())));
        with(&one.signing_key.serialize_pem()).expect("its own key");
        for (key, word) in [
            (other.signing_key.serialize_pem(), "used together"),
            ("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----".to_owned(), "used together"),
            (certificate.clone(), "not a private key"),
        ] {
            let error = with(&key).expect_err(word);
            let text = format!("{error} {error:?}");
            assert!(text.contains(word) && !text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn an_authority_that_is_none_is_refused() {
        for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
            let error = check(Some(pem.as_bytes()), None).expect_err(pem);
            assert!(error.to_string().contains("tls_ca"), "{error}");
        }
    }
}
