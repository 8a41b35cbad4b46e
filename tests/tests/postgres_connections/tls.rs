//! TLS: what is trusted, what is refused, and what the refused are told.

use super::{ask, config, connect, guarded, key, refused, server, url_for};
use linchpin::{ErrorKind, Transaction};
use linchpin_postgres::PostgresCoordination;
use linchpin_tests::servers::PostgresServer;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tempfile::TempDir;

/// An authority of one's own, and a folder with what it signed.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let signed = params.self_signed(&key).expect("signed");
        std::fs::write(folder.path().join("ca"), signed.pem()).expect("written");
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }

    fn ca(&self) -> String {
        self.path("ca")
    }

    /// Signs a certificate for this host or role, and names its file and that of its key.
    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> [String; 2] {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let signed = params.signed_by(&key, &self.issuer).expect("signed");
        let paths = [self.path(name), self.path(&format!("{name}-key"))];
        std::fs::write(&paths[0], signed.pem()).expect("written");
        std::fs::write(&paths[1], key.serialize_pem()).expect("written");
        paths
    }
}

/// A server with this certificate, and a role called `app` that needs TLS and whatever else the lines say.
async fn with_tls(authority: &Authority, [cert, key]: [String; 2], lines: &str) -> PostgresServer {
    let files = [("cert", cert), ("key", key), ("ca", authority.ca())];
    let files = files.map(|(name, path)| format!("ssl_{name}_file={path}"));
    let settings: Vec<_> = files.iter().map(String::as_str).chain(["ssl=on"]).collect();
    let server = guarded(&authority.folder, lines, &settings).await;
    ask(&server, "CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE postgres TO app").await;
    server
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_and_no_other() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = with_tls(&authority, authority.sign("127.0.0.1", |_| {}), "hostssl all all all trust").await;
    let url = url_for(&server, "app");
    let postgres = connect(&format!("{url}?tls_ca={}", authority.ca())).await;
    postgres.commit(&Transaction::new().put(key("k"), "v", None)).await.expect("a commit");
    let encrypted = "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'linchpin'";
    assert_eq!(ask(&server, encrypted).await, "t");
    connect(&format!("{url}?sslmode=require&sslrootcert={}", authority.ca())).await;

    for untrusted in ["sslmode=verify-full".to_owned(), "sslmode=require".to_owned(), format!("tls_ca={}", other.ca())]
    {
        let error = refused(config(&format!("{url}?{untrusted}"))).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{untrusted}: {error}");
        assert!(error.to_string().contains("certificate") && error.to_string().contains("tls_ca"), "{error}");
    }
    // A certificate for 127.0.0.1 is none for localhost.
    let named = url.replace("127.0.0.1", "localhost");
    let error = refused(config(&format!("{named}?tls_ca={}", authority.ca()))).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("certificate") && error.to_string().contains("name"), "{error}");
    // Without TLS nobody gets in: near by one has to ask for it.
    let error = refused(config(&url)).await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error}");
    assert!(error.to_string().contains("sslmode"), "{error}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let expired = authority.sign("127.0.0.1", |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let server = with_tls(&authority, expired, "hostssl all all all trust").await;
    let error = refused(config(&format!("{}?tls_ca={}", url_for(&server, "app"), authority.ca()))).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let source = std::error::Error::source(&error).expect("a source").to_string();
    assert!(error.to_string().contains("certificate") && source.contains("xpired"), "{error}: {source}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_and_the_way_out_told() {
    let server = server().await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let error = refused(config(&format!("{}?sslmode={mode}", server.url()))).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("sslmode=disable"), "{error}");
    }
    connect(&format!("{}?sslmode=disable", server.url())).await;
}

#[tokio::test]
async fn a_client_certificate_opens_the_server_and_nothing_else_does() {
    let authority = Authority::new();
    let lines = "hostssl all app all trust clientcert=verify-full\nhostssl all other all cert";
    let server = with_tls(&authority, authority.sign("127.0.0.1", |_| {}), lines).await;
    ask(&server, "CREATE ROLE other LOGIN").await;
    let with = |role: &str| format!("{}?tls_ca={}", url_for(&server, role), authority.ca());
    let [cert, client_key] = authority.sign("app", |_| {});
    let shown = format!("&tls_cert={cert}&tls_key={client_key}");
    let postgres = connect(&format!("{}{shown}", with("app"))).await;
    postgres.commit(&Transaction::new().put(key("k"), "v", None)).await.expect("a commit");
    let read = |path: &str| std::fs::read(path).expect("readable");
    let built = config(&url_for(&server, "app")).root_certificate(read(&authority.ca()));
    let built = built.client_certificate(read(&cert), read(&client_key));
    PostgresCoordination::connect(built).await.expect("the same from memory").driver();

    let none = refused(config(&with("app"))).await;
    assert_eq!(none.kind(), ErrorKind::Unauthorized, "{none}");
    assert!(none.to_string().contains("certificate"), "{none}");
    // It is for app.
    let wrong = refused(config(&format!("{}{shown}", with("other")))).await;
    assert_eq!(wrong.kind(), ErrorKind::Unauthorized, "{wrong}");
    // Signed by an authority that the server does not know.
    let [cert, client_key] = Authority::new().sign_elsewhere(&authority, "app");
    let unknown = refused(config(&format!("{}&tls_cert={cert}&tls_key={client_key}", with("app")))).await;
    assert!(matches!(unknown.kind(), ErrorKind::Unavailable | ErrorKind::Unauthorized), "{unknown}");
    assert!(unknown.to_string().contains("certificate"), "{unknown}");
}

impl Authority {
    /// Signs as ever, and leaves the files in the folder of another, which lives longer.
    fn sign_elsewhere(&self, other: &Self, name: &str) -> [String; 2] {
        let paths = self.sign(name, |_| {});
        let moved = [other.path("strangers"), other.path("strangers-key")];
        for (from, to) in paths.iter().zip(&moved) {
            std::fs::copy(from, to).expect("copied");
        }
        moved
    }
}
