//! TLS with full verification, by a crypto provider that is named here.

use crate::config::invalid;
use linchpin_core::Result;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// A configuration that trusts only the authorities in `authorities` (PEM), or else the system's, and shows
/// the certificate and key of `client` (PEM).
///
/// async-nats could make one from paths, but with whatever crypto provider the process has, or a panic if
/// it has two.
///
/// # Errors
/// `InvalidArgument` if one of them is not PEM of its kind, certificate and key cannot be used together, or
/// TLS is `required` and the system has no authorities.
pub(crate) fn client_config(
    required: bool,
    authorities: Option<&[u8]>,
    client: Option<(&[u8], &[u8])>,
) -> Result<ClientConfig> {
    let roots = match authorities {
        Some(pem) => given_roots(pem)?,
        None => system_roots(required)?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("TLS cannot be set up").with_source(error))?
        .with_root_certificates(roots);
    let Some((certificate, key)) = client else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates("the client certificate (tls_cert)", certificate)?;
    // The error is not kept as a source: it could speak of what stands in the key.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| invalid("the client key (tls_key) is not a private key in PEM"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        invalid("the client certificate and key (tls_cert, tls_key) cannot be used together").with_source(error)
    })
}

fn given_roots(pem: &[u8]) -> Result<RootCertStore> {
    const NAME: &str = "the certificate authority (tls_ca)";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(NAME, pem)? {
        roots.add(certificate).map_err(|error| invalid(format!("{NAME} is not usable")).with_source(error))?;
    }
    Ok(roots)
}

fn system_roots(required: bool) -> Result<RootCertStore> {
    let mut found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if required && roots.is_empty() {
        let error = invalid("the system has no certificate authorities to trust; name one with tls_ca");
        return Err(match found.errors.pop() {
            Some(source) => error.with_source(source),
            None => error,
        });
    }
    Ok(roots)
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
        let with = |key: &str| {
            let client = Some((certificate.as_bytes(), key.as_bytes()));
            client_config(true, Some(certificate.as_bytes()), client)
        };
        assert!(with(&one.signing_key.serialize_pem()).is_ok());
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
            let error = client_config(true, Some(pem.as_bytes()), None).expect_err(pem);
            assert!(error.to_string().contains("tls_ca"), "{error}");
        }
    }
}
