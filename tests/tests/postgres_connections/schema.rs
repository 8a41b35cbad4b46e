//! The schema: who sets it up, who may use it, and which version fits.

use super::{ask, config, connect, refused, server, url_for, url_of};
use linchpin::{ErrorKind, Retry, Transaction};
use linchpin_postgres::{PRIVILEGES, PostgresCoordination, SCHEMA};
use linchpin_tests::everything;

#[tokio::test]
async fn concurrent_starters_set_it_up_once() {
    let server = server().await;
    for round in 0..3 {
        ask(&server, &format!("CREATE DATABASE d{round}")).await;
        let url = url_of(&server, &format!("d{round}"));
        // All need a connection of their own to find out, and they share two cores.
        let patient = || config(&url).connect_timeout(super::SOON).response_timeout(super::SOON);
        let starting: Vec<_> = (0..20).map(|_| tokio::spawn(PostgresCoordination::connect(patient()))).collect();
        let mut handles = Vec::new();
        for starting in starting {
            handles.push(starting.await.expect("no panic").expect("connects").driver());
        }
        for postgres in &handles {
            postgres.commit(&Transaction::new().add(super::key("n"), 1, None)).await.expect("a commit");
        }
        let snapshot = handles[0].get(&[super::key("n")]).await.expect("a read");
        assert_eq!(snapshot.entries[0].as_ref().expect("written").value, "20");
    }
}

#[tokio::test]
async fn a_role_needs_no_more_than_documented() {
    let server = server().await;
    ask(&server, "REVOKE ALL ON DATABASE postgres FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC").await;
    ask(&server, "CREATE ROLE app LOGIN; GRANT CONNECT ON DATABASE postgres TO app").await;
    let url = url_for(&server, "app");
    let error = refused(config(&url)).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthorized, Retry::Never), "{error}");
    assert!(error.to_string().contains("CREATE") && error.to_string().contains("SCHEMA"), "{error}");

    // The administrator's part, as the documentation has it.
    ask(&server, &SCHEMA).await;
    let error = refused(config(&url)).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthorized, Retry::Never), "{error}");
    assert!(error.to_string().contains("PRIVILEGES"), "{error}");
    ask(&server, &PRIVILEGES.replace("application", "app")).await;
    let postgres = connect(&url).await;
    everything(postgres.clone()).await.expect("every method is allowed");
    let owns = "SELECT count(*) FROM pg_class JOIN pg_roles ON relowner = pg_roles.oid WHERE rolname = 'app'";
    assert_eq!(ask(&server, owns).await, "0");

    // What it was allowed may be taken from it while it runs.
    let postgres = connect(&url).await;
    ask(&server, "REVOKE ALL ON ALL TABLES IN SCHEMA linchpin FROM app").await;
    let error = postgres.commit(&Transaction::new().put(super::key("k"), "v", None)).await.expect_err("not allowed");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unauthorized, Retry::Never), "{error}");
}

#[tokio::test]
async fn one_of_a_newer_version_is_refused() {
    let server = server().await;
    connect(&server.url()).await.close().await.expect("closed");
    let number: u32 = ask(&server, "SELECT number FROM linchpin.version").await.parse().expect("a number");
    let newer = number + 1;
    ask(&server, "UPDATE linchpin.version SET number = number + 1").await;
    let error = refused(config(&server.url())).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unsupported, Retry::Never), "{error}");
    let told = [format!("version {newer}"), format!("needs {number}")];
    assert!(told.iter().all(|word| error.to_string().contains(word)), "{error}");
    let page = include_str!("../../../docs/postgres.md");
    assert!(page.contains(&format!("this build needs {number}, ")), "the page names another");
    // It was left as it is.
    assert_eq!(ask(&server, "SELECT number FROM linchpin.version").await, newer.to_string());
    ask(&server, "UPDATE linchpin.version SET number = number - 1").await;
    connect(&server.url()).await;
}

#[tokio::test]
async fn it_keeps_to_itself() {
    let server = server().await;
    let outside = "SELECT count(*) FROM pg_class WHERE relnamespace NOT IN \
                   (SELECT oid FROM pg_namespace WHERE nspname LIKE 'pg\\_%' OR nspname IN ('linchpin', 'information_schema'))";
    ask(&server, "CREATE TABLE keys (a int); CREATE TABLE namespaces (a int); CREATE TABLE version (a int)").await;
    let before = ask(&server, outside).await;
    // A path that finds the user's tables first, and functions that hide the system's.
    ask(&server, "ALTER ROLE postgres SET search_path = public, linchpin").await;
    let hidden = "CREATE FUNCTION public.clock() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'";
    ask(&server, hidden).await;
    everything(connect(&server.url()).await).await.expect("everything works");
    assert_eq!(ask(&server, outside).await, before);
    assert_eq!(ask(&server, "SELECT count(*) FROM public.keys").await, "0");
}

#[tokio::test]
async fn an_empty_one_of_an_administrator_is_filled() {
    let server = server().await;
    ask(&server, "CREATE ROLE app LOGIN; REVOKE CREATE ON DATABASE postgres FROM PUBLIC").await;
    ask(&server, "CREATE SCHEMA linchpin AUTHORIZATION app").await;
    everything(connect(&url_for(&server, "app")).await).await.expect("everything works");
    // The administrator may fill it as well.
    ask(&server, "DROP SCHEMA linchpin CASCADE; CREATE SCHEMA linchpin").await;
    ask(&server, &SCHEMA).await;
    ask(&server, &PRIVILEGES.replace("application", "app")).await;
    everything(connect(&url_for(&server, "app")).await).await.expect("everything works");
}

#[tokio::test]
async fn a_guard_of_a_prefix_sees_what_came_before_it_in_a_batch() {
    let server = server().await;
    let postgres = connect(&server.url()).await;
    let put = Transaction::new().put(super::key("a/1"), "v", Some(super::SOON));
    let linchpin::Outcome::Committed { revision, .. } = postgres.commit(&put).await.expect("a commit") else {
        panic!()
    };
    // One transaction extends a key, and the next one is refused by it.
    let batch = format!(
        "SELECT found_numbers[3] > 1000000 * 100::bigint FROM linchpin.commit('default', ARRAY[NULL, NULL]::bytea[], \
            ARRAY[0, 0]::bigint[], ARRAY[1, 2], ARRAY[13, 4], ARRAY[1, 2], ARRAY[{revision}, 0]::bigint[], \
            ARRAY[1000000 * 500::bigint, 0], ARRAY['a/1', 'a/']::bytea[], ARRAY[]::bytea[], 0, 0)"
    );
    assert_eq!(ask(&server, &batch).await, "t");
}
