//! Postgres, and `PgBouncer` in front of it.

use super::{
    Asked, Checked, certificate, container_lives_through_faults, elsewhere, environment_chooses, expect_gone,
    expect_kept, keep, lives_through_faults, no_server_outlives_its_killed_test, process_lives_through_faults,
    process_takes_further_arguments, soon,
};
use async_trait::async_trait;
use linchpin_tests::servers::{PgBouncer, Postgres, PostgresServer, Software, sql};
use std::io;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

#[async_trait]
impl Asked for Postgres {
    const INSTALL: &'static str = "apt install postgresql";
    const NO_SERVER: (&'static str, &'static str) = ("LINCHPIN_TEST_POSTGRES_SERVER", "/nonexistent/postgres");
    const URL: &'static str = "postgres://postgres@";

    async fn keep(url: &str, value: &str) -> io::Result<()> {
        let query =
            format!("CREATE TABLE IF NOT EXISTS kept (value text); TRUNCATE kept; INSERT INTO kept VALUES ('{value}')");
        sql(url, &query).await.map(drop)
    }

    async fn kept(url: &str) -> io::Result<String> {
        sql(url, "SELECT value FROM kept").await
    }
}

#[tokio::test]
async fn a_postgres_process_lives_through_faults() -> Checked {
    process_lives_through_faults::<Postgres>().await
}

#[tokio::test]
async fn a_postgres_container_lives_through_faults() -> Checked {
    container_lives_through_faults::<Postgres>().await
}

#[tokio::test]
async fn the_environment_chooses_a_postgres() -> Checked {
    environment_chooses::<Postgres>().await
}

#[tokio::test]
async fn no_postgres_outlives_its_killed_test() -> Checked {
    no_server_outlives_its_killed_test::<Postgres>().await
}

#[tokio::test]
async fn a_postgres_process_takes_further_arguments() -> Checked {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (file, clients) = (folder.path().join("clients"), "host all all all scram-sha-256");
    std::fs::write(&file, clients).map_err(|error| error.to_string())?;
    let password = ["-c", &format!("hba_file={}", file.display())];
    process_takes_further_arguments::<Postgres>(&password, "asks for a password").await
}

#[tokio::test]
async fn a_postgres_process_speaks_tls() -> Checked {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    // Any mode, any owner: the server has copies of its own.
    let (cert, key) = certificate(folder.path()).map_err(|error| error.to_string())?;
    let files = [format!("ssl_cert_file={}", cert.display()), format!("ssl_key_file={}", key.display())];
    let server = PostgresServer::start_local(&["-c", "ssl=on", "-c", &files[0], "-c", &files[1]]).await?;
    assert_eq!(said(&server.url(), "SHOW ssl").await?, "on");
    Ok(())
}

/// What a Postgres or a `PgBouncer` says to a query.
async fn said(url: &str, query: &str) -> Result<String, String> {
    soon(sql(url, query)).await.map_err(|error| format!("{query}: {error}"))
}

/// Asks this of a Postgres in the background, and returns once it works on that.
async fn asked(url: &str, query: &'static str) -> Result<JoinHandle<io::Result<String>>, String> {
    let theirs = url.to_owned();
    let asked = tokio::spawn(async move { sql(&theirs, query).await });
    let working = format!("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = '{query}'");
    let deadline = Instant::now() + Duration::from_secs(10);
    while said(url, &working).await? != "1" {
        if Instant::now() > deadline {
            return Err(format!("it does not work on {query}"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(asked)
}

#[tokio::test]
async fn faults_of_a_postgres_process_are_those_of_its_connections_too() -> Checked {
    let server = PostgresServer::start_local(&[]).await?;
    let mut sleeping = asked(&server.url(), "SELECT pg_sleep(0.5)").await?;
    server.pause().await?;
    let early = timeout(Duration::from_secs(2), &mut sleeping).await;
    assert!(early.is_err(), "{early:?} although it is paused");
    server.resume().await?;
    soon(async { sleeping.await? }).await.map_err(|error| error.to_string())?;

    // One that works does not look whether its server lives.
    let working =
        asked(&server.url(), "SELECT count(*) FROM generate_series(1, 1000000000000) AS i WHERE i = 0").await?;
    server.kill().await?;
    let ended = soon(async { working.await? }).await.expect_err("it was killed");
    assert_ne!(ended.kind(), io::ErrorKind::TimedOut, "its connection outlives it");
    server.restart().await
}

#[tokio::test]
async fn the_newest_postgres_lives_through_faults() -> Checked {
    let server = match PostgresServer::start_18(&[]).await {
        Err(error) if std::env::var("CI").as_deref() != Ok("true") && error.contains("not in target/servers") => {
            println!("SKIPPED: {error}");
            return Ok(());
        }
        started => started?,
    };
    let version = said(&server.url(), "SHOW server_version").await?;
    assert!(version.starts_with("18."), "{version}");
    lives_through_faults(server).await
}

/// In a folder that nobody else may enter, which matters to a root whose servers `nobody` runs.
#[cfg(unix)]
#[tokio::test]
async fn a_postgres_process_may_be_installed_anywhere() -> Checked {
    let failed = |error: io::Error| error.to_string();
    let candidates = Postgres::program().candidates;
    let Some(program) = candidates.iter().find(|program| program.is_absolute() && program.exists()) else {
        println!("SKIPPED: postgres is at most on PATH");
        return Ok(());
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    std::os::unix::fs::symlink(program.parent().ok_or("it is nowhere")?, folder.path().join("bin")).map_err(failed)?;
    let hidden = folder.path().join("bin/postgres").display().to_string();
    let variables = [("LINCHPIN_TEST_SERVERS", "local"), ("LINCHPIN_TEST_POSTGRES_SERVER", &hidden)];
    let (said, _) = elsewhere::<Postgres>(&variables).await?;
    assert!(said.starts_with("process ") && said.ends_with(" None None"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_pgbouncer_pools_as_it_is_told() -> Checked {
    let server = PostgresServer::start().await?;
    for (mode, begun) in [("session", true), ("transaction", true), ("statement", false)] {
        let pooled = PgBouncer::start(&server, mode).await?;
        keep::<Postgres>(&pooled.url(), mode).await?;
        expect_kept::<Postgres>(&server.url(), mode).await?;

        let console = format!("{}pgbouncer", pooled.url().trim_end_matches("postgres"));
        let config = said(&console, "SHOW CONFIG").await?;
        assert!(config.contains(&format!("pool_mode|{mode}|")), "{config}");
        let answer = said(&pooled.url(), "BEGIN").await;
        assert_eq!(answer.is_ok(), begun, "{mode}: {answer:?}");

        let url = pooled.url();
        drop(pooled);
        expect_gone(&url).await?;
    }
    Ok(())
}
