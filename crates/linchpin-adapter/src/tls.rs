//! Certificates and keys, and TLS with full verification by a crypto provider that is named here: what a process has
//! installed otherwise does not matter.

mod system;

use crate::url::{file, invalid};
use linchpin_core::Result;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::sync::Arc;

/// Whom a client trusts and what it shows, as PEM. `Debug` shows none of it.
///
/// ```
/// use linchpin_adapter::tls::Material;
/// let mut material = Material::default();
/// assert!(!material.is_given() && !material.set("user", "me")?);
/// material.trust("not a certificate");
/// assert!(material.check().expect_err("it is none").to_string().contains("tls_ca"));
/// # Ok::<(), linchpin_core::Error>(())
/// ```
///
/// With all of it:
///
/// ```
/// use linchpin_adapter::tls::Material;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
/// # let (authority, certificate, key) = (made.cert.pem(), made.cert.pem(), made.signing_key.serialize_pem());
/// let mut material = Material::default();
/// material.trust(authority.clone());
/// material.show(certificate.clone(), key.clone());
/// assert!(material.client_config(true)?.client_auth_cert_resolver.has_certs());
/// // A client that reads PEM itself is given it as it is, once it was seen to fit.
/// material.check()?;
/// assert_eq!(material.authorities(), Some(authority.as_bytes()));
/// assert_eq!(material.client(), Some((certificate.as_bytes(), key.as_bytes())));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Material {
    authorities: Option<Vec<u8>>,
    certificate: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Material {
    /// The query keys that name files of it, for [`Parts::read_query`](crate::url::Parts::read_query).
    pub const KEYS: &str = "tls_ca, tls_cert, tls_key";

    /// Reads the file that a query key names if it is one of these; whether it was.
    ///
    /// # Errors
    /// `InvalidArgument` if the file cannot be read, or one is given twice.
    pub fn set(&mut self, key: &str, path: &str) -> Result<bool> {
        let slot = match key {
            "tls_ca" => &mut self.authorities,
            "tls_cert" => &mut self.certificate,
            "tls_key" => &mut self.key,
            _ => return Ok(false),
        };
        if slot.replace(file(key, path, key == "tls_key")?).is_some() {
            return Err(invalid(format!("{key} is given twice, by one name or another")));
        }
        Ok(true)
    }

    /// Trusts the certificate authorities in this PEM text.
    pub fn trust(&mut self, pem: impl Into<Vec<u8>>) {
        self.authorities = Some(pem.into());
    }

    /// Shows the server this certificate (with its chain), proven by this key.
    pub fn show(&mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) {
        (self.certificate, self.key) = (Some(certificate.into()), Some(key.into()));
    }

    /// Whether anything was given that only TLS can use.
    pub fn is_given(&self) -> bool {
        self.authorities.is_some() || self.certificate.is_some() || self.key.is_some()
    }

    /// The authorities to trust, if they are given.
    pub fn authorities(&self) -> Option<&[u8]> {
        self.authorities.as_deref()
    }

    /// The client's certificate and key, if they are given.
    pub fn client(&self) -> Option<(&[u8], &[u8])> {
        self.certificate.as_deref().zip(self.key.as_deref())
    }

    /// Sees that a certificate comes with a key.
    ///
    /// # Errors
    /// `InvalidArgument` if it does not.
    ///
    /// ```
    /// use linchpin_adapter::tls::Material;
    /// use linchpin_adapter::url::Parts;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let file = std::env::temp_dir().join(format!("linchpin-doc-cert-{}", std::process::id()));
    /// # std::fs::write(&file, "a certificate")?;
    /// # let url = format!("desk://room?tls_cert={}", file.display());
    /// // desk://room?tls_cert=...
    /// let mut material = Material::default();
    /// Parts::of(&url, &["desk"])?.read_query(Material::KEYS, |key, path| material.set(key, path))?;
    /// # std::fs::remove_file(file)?;
    /// let error = material.check_pair().expect_err("no key");
    /// assert!(error.to_string().contains("tls_key"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn check_pair(&self) -> Result<()> {
        if self.certificate.is_some() == self.key.is_some() {
            return Ok(());
        }
        Err(invalid("tls_cert and tls_key belong together; give both or neither"))
    }

    /// Sees that all of it can be used, for a client that reads it itself and would say less.
    ///
    /// # Errors
    /// `InvalidArgument` if one of them is not PEM of its kind, or certificate and key cannot be used together.
    pub fn check(&self) -> Result<()> {
        self.client_config(false).map(drop)
    }

    /// A configuration that trusts only the given authorities, or else the system's: those are read once in a process, when
    /// they are first needed. Where TLS is not `required` a system may have none.
    ///
    /// # Errors
    /// As [`check`](Self::check); `InvalidArgument` also if TLS is required and the system has no authorities.
    pub fn client_config(&self, required: bool) -> Result<ClientConfig> {
        self.check_pair()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = match self.authorities() {
            Some(pem) => given_authorities(pem, &provider)?,
            None => system::authorities(&provider, required)?,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid("TLS cannot be set up").with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let Some((certificate, key)) = self.client() else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates("the client certificate (tls_cert)", certificate)?;
        // The error is not kept as a source: it could speak of what stands in the key.
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| invalid("the client key (tls_key) is not a private key in PEM, or is encrypted"))?;
        builder.with_client_auth_cert(chain, key).map_err(|error| {
            invalid("the client certificate and key (tls_cert, tls_key) cannot be used together").with_source(error)
        })
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("is_given", &self.is_given()).finish_non_exhaustive()
    }
}

fn given_authorities(pem: &[u8], provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    const NAME: &str = "the certificate authority (tls_ca)";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(NAME, pem)? {
        roots.add(certificate).map_err(|error| invalid(format!("{NAME} is not usable")).with_source(error))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    Ok(verifier.map_err(|error| invalid(format!("{NAME} is not usable")).with_source(error))?)
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

    fn material(authorities: Option<&str>, client: Option<(&str, &str)>) -> Material {
        let owned = |text: &str| text.as_bytes().to_vec();
        let (certificate, key) = client.unzip();
        Material { authorities: authorities.map(owned), certificate: certificate.map(owned), key: key.map(owned) }
    }

    #[test]
    fn a_certificate_needs_its_own_key_and_no_key_is_repeated() {
        let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let (one, other) = (make(), make());
        let certificate = one.cert.pem();
        let with = |key: &str| material(Some(&certificate), Some((&certificate, key)));
        with(&one.signing_key.serialize_pem()).check().expect("its own key");
        with(&one.signing_key.serialize_pem()).client_config(true).expect("its own key");
        for (key, word) in [
            (other.signing_key.serialize_pem(), "used together"),
            ("-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----".to_owned(), "used together"),
            (certificate.clone(), "not a private key"),
        ] {
            let error = with(&key).check().expect_err(word);
            let text = format!("{error} {error:?} {:?}", with(&key));
            assert!(text.contains(word) && !text.contains("canary"), "{text}");
        }
        let alone = Material { certificate: Some(certificate.into()), ..Material::default() };
        assert!(alone.check().expect_err("no key").to_string().contains("belong together"));
    }

    #[test]
    fn an_authority_that_is_none_is_refused() {
        for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
            for error in [material(Some(pem), None).check(), material(Some(pem), None).client_config(true).map(drop)] {
                let error = error.expect_err(pem);
                assert!(error.to_string().contains("tls_ca"), "{error}");
            }
        }
    }

    #[test]
    fn what_is_given_twice_is_refused() {
        let mut material = Material::default();
        assert!(material.set("tls_ca", "/dev/null").expect("read") && material.is_given());
        assert!(material.set("tls_ca", "/dev/null").expect_err("twice").to_string().contains("twice"));
    }
}
