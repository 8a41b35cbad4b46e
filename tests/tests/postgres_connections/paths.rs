//! What a role's `search_path` and settings may not change.

use super::{ask, connect, pool, server, url_for};
use linchpin::Coordinator;
use linchpin_postgres::{PRIVILEGES, SCHEMA};
use linchpin_tests::everything;
use linchpin_tests::servers::PostgresServer;

/// What somebody might plant: each is called like one of the server's own, and fits at least as well.
const PLANTED: [&str; 16] = [
    "cardinality(bytea[]) RETURNS integer",
    "cardinality(text[]) RETURNS integer",
    "cardinality(integer[]) RETURNS integer",
    "cardinality(bigint[]) RETURNS integer",
    "length(bytea) RETURNS integer",
    "unnest(bytea[]) RETURNS SETOF bytea",
    "unnest(integer[]) RETURNS SETOF integer",
    "encode(bytea, text) RETURNS text",
    "decode(text, text) RETURNS bytea",
    "convert_to(text, name) RETURNS bytea",
    "sha256(bytea) RETURNS bytea",
    "substr(bytea, integer, integer) RETURNS bytea",
    "array_position(bytea[], bytea) RETURNS integer",
    "array_to_string(text[], text) RETURNS text",
    "sum(bigint) RETURNS numeric",
    "pg_notify(text, text) RETURNS void",
];

/// A role that may use linchpin, and whose path finds what is planted before what the server has.
async fn planted(server: &PostgresServer) -> String {
    ask(server, "CREATE ROLE app LOGIN; CREATE TABLE public.stolen (what text); GRANT ALL ON public.stolen TO app")
        .await;
    ask(server, &SCHEMA).await;
    ask(server, &PRIVILEGES.replace("application", "app")).await;
    for signature in PLANTED {
        let body = format!("BEGIN INSERT INTO public.stolen VALUES ('{signature}'); RETURN; END");
        let body = if signature.contains("SETOF") || signature.contains("void") {
            body
        } else {
            body.replace("RETURN;", "RETURN NULL;")
        };
        ask(server, &format!("CREATE FUNCTION public.{signature} LANGUAGE plpgsql AS $${body}$$")).await;
    }
    for (operator, answer) in [("=", "boolean"), ("||", "bytea")] {
        let function = format!("public.of_{answer}(bytea, bytea)");
        let planted = format!(
            "CREATE FUNCTION {function} RETURNS {answer} LANGUAGE plpgsql AS \
             $$BEGIN INSERT INTO public.stolen VALUES ('{operator}'); RETURN NULL; END$$; \
             CREATE OPERATOR public.{operator} (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = public.of_{answer})"
        );
        ask(server, &planted).await;
    }
    ask(server, "ALTER ROLE app SET search_path = public, pg_catalog").await;
    url_for(server, "app")
}

#[tokio::test]
async fn what_is_planted_in_a_path_is_not_called() {
    let server = server().await;
    let url = planted(&server).await;
    let postgres = connect(&url).await;
    everything(postgres.clone()).await.expect("everything works");
    let coordinator = Coordinator::over(postgres.clone()).connect().await.expect("connects");
    let guard = coordinator.lock("l").acquire().await.expect("a lock");
    let token = guard.token();

    // In an application's transaction: the path is its own.
    let pool = pool(&url, 1).await;
    let calls = format!(
        "SELECT linchpin.put_if_absent('default', 'user/a', '1', '1 hour'); \
         SELECT linchpin.put('default', 'user/a', '2'); SELECT linchpin.get('default', 'user/a'); \
         SELECT linchpin.put_if_version('default', 'user/a', '3', 7); SELECT linchpin.add('default', 'user/n', 1); \
         SELECT linchpin.delete('default', 'user/a'); SELECT linchpin.fence_lock('default', 'l', {token}); \
         SELECT linchpin.publish('default', 'user/c', 'm'); \
         SELECT linchpin.append('default', 's', 'r', 'id', 'name', 'value'); \
         SELECT linchpin.append_later('default', 's', 'r', '1 hour'); \
         SELECT linchpin.clock(), linchpin.channel('s', 'm'), linchpin.seal('s', 'm')"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(calls)).execute(&pool).await.expect("they work");
    guard.release().await.expect("released");
    assert_eq!(ask(&server, "SELECT string_agg(DISTINCT what, ', ') FROM public.stolen").await, "");
    // Each function that is added is fixed as well, but those that say in full what they use.
    let open = "SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc AS p WHERE p.pronamespace = 'linchpin'::regnamespace \
                AND NOT coalesce(p.proconfig::text, '') LIKE '%search_path=pg_catalog%'";
    assert_eq!(ask(&server, open).await, "channel clock seal");
}

#[tokio::test]
async fn strings_may_be_read_in_the_old_way() {
    let server = server().await;
    ask(&server, "ALTER ROLE postgres SET standard_conforming_strings = off").await;
    let postgres = connect(&server.url()).await;
    everything(postgres.clone()).await.expect("everything works");
    let calls = "SET standard_conforming_strings = off; SELECT linchpin.put('default', 'user/a', '1', '1 hour'); \
                 SELECT linchpin.add('default', 'user/n', 1); SELECT linchpin.publish('default', 'user/c', 'm'); \
                 SELECT linchpin.append('default', 's', 'r', 'id', 'name', 'value')";
    ask(&server, calls).await;
    let dead = "SET standard_conforming_strings = off; SELECT dead FROM linchpin.inspect_stream('default', 's')";
    ask(&server, dead).await;
}

#[tokio::test]
async fn answers_are_read_whatever_a_role_has_set() {
    let written = ["bytea_output=escape", "DateStyle=SQL,DMY", "IntervalStyle=iso_8601", "extra_float_digits=-15"];
    let others = ["array_nulls=off", "quote_all_identifiers=on", "default_transaction_isolation=serializable"];
    for settings in [&written[..], &others, &["default_transaction_read_only=on"]] {
        let arguments: Vec<_> = settings.iter().flat_map(|setting| ["-c", setting]).collect();
        let server = PostgresServer::start_local(&arguments).await.expect("a server");
        let postgres = connect(&server.url()).await;
        everything(postgres.clone()).await.unwrap_or_else(|error| panic!("{settings:?}: {error}"));
    }
}
