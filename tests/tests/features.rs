//! A program pays for the backends that it asks for and for no other: a feature of `linchpin` brings its own
//! adapter with its client, and nobody else's.

use linchpin_tests::cargo;
use std::collections::BTreeSet;

/// What only adapters bring, by the feature of `linchpin` that asks for it. Those to come have no feature yet;
/// they are looked for in the builds of the others already.
const ADAPTERS: [(&str, &[&str]); 6] = [
    ("memory", &["linchpin-memory", "linchpin-machine"]),
    ("redis", &["linchpin-redis", "redis", "rustls"]),
    ("nats", &["linchpin-nats", "linchpin-log", "linchpin-machine", "async-nats", "rustls"]),
    ("kafka", &["linchpin-kafka", "linchpin-log", "linchpin-machine", "rdkafka"]),
    ("etcd", &["linchpin-etcd", "etcd-client"]),
    ("postgres", &["linchpin-postgres", "sqlx", "rustls"]),
];

/// The adapters that `linchpin` has a feature for.
fn features() -> Vec<&'static str> {
    let manifest = include_str!("../../crates/linchpin/Cargo.toml");
    manifest.lines().filter_map(|line| line.split_once(" = [\"dep:linchpin-")).map(|(feature, _)| feature).collect()
}

/// What adapters bring of a build of `linchpin` with these features.
fn brought(features: &[&str]) -> BTreeSet<&'static str> {
    let output = cargo()
        .args(["tree", "--frozen", "--package", "linchpin", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(features)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("text");
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(["linchpin", "linchpin-core", "tokio"].iter().all(|name| crates.contains(name)), "no tree:\n{tree}");
    ADAPTERS.iter().flat_map(|(_, brings)| *brings).copied().filter(|name| crates.contains(name)).collect()
}

#[test]
fn each_feature_brings_its_own_adapter_and_client_only() {
    for feature in features() {
        let adapter = ADAPTERS.iter().find(|(name, _)| *name == feature);
        let (_, own) = adapter.unwrap_or_else(|| panic!("the feature {feature} has no line in ADAPTERS"));
        let brought = brought(&["--no-default-features", "--features", feature]);
        let own: BTreeSet<_> = own.iter().copied().collect();
        assert_eq!(brought, own, "with the feature {feature} alone");
    }
}

#[test]
fn the_default_is_memory_and_no_feature_is_no_adapter() {
    assert!(features().len() >= 2, "the manifest is not understood: {:?}", features());
    let without = brought(&["--no-default-features"]);
    assert!(without.is_empty(), "{without:?}");
    assert_eq!(brought(&[]), brought(&["--no-default-features", "--features", "memory"]));
}
