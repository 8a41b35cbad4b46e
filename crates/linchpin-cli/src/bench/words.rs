//! How what is done by hand is described, by the kind of server.

use super::report::Backend;

pub(crate) struct Words {
    /// What the same work by hand is.
    pub(crate) same_work: &'static str,
    /// The raw client's own calls.
    pub(crate) plain: &'static str,
    /// The token queue.
    pub(crate) queue: &'static str,
    /// What is read to know a round trip.
    pub(crate) round_trip: &'static str,
    /// What is changed to know one that is made durable, where a release is.
    pub(crate) commit: &'static str,
    /// What is counted as a request.
    pub(crate) request: &'static str,
}

impl Words {
    pub(crate) const fn of(backend: Backend) -> Self {
        match backend {
            Backend::Redis => Self {
                same_work: "lean scripts that give the same guarantees on the raw client",
                plain: "plain commands (GET, SET, PUBLISH, SET NX)",
                queue: "a token in a list that waiters take with BLPOP, which is the shortest way to hand something \
                    over on Redis",
                round_trip: "GET of a small value on an idle connection",
                commit: "not measured",
                request: "Requests are commands that clients send.",
            },
            Backend::Nats => Self {
                same_work: "a message in a stream for each call, acknowledged and read back in the stream's order, and \
                    messages of which is known whether anybody listens, all of the raw client",
                plain: "plain calls (STREAM.MSG.GET, a conditional publish, a publish and a flush to the server, a key \
                    that is created and purged)",
                queue: "a token in a stream in memory that waiters pull, which is the shortest way to hand \
                    something over on NATS",
                round_trip: "direct get of a small value on an idle connection",
                commit: "a message that is stored and read back on an idle connection; a release is one, so a hand-over is \
                    counted in these",
                request: "Requests are messages that clients send, to JetStream and to a stream; what they send to \
                    themselves is not counted.",
            },
            Backend::Postgres => Self {
                same_work: "functions that lock the namespace's row, give the write a revision and remember its id, each a \
                    commit of its own, through sqlx's pool",
                plain: "plain statements through sqlx's pool (SELECT, an upsert, pg_notify, an advisory lock)",
                queue: "a token in an unlogged table that is handed to who has waited longest, who hears of it by \
                    LISTEN, with nothing made durable, which is the shortest way to hand something over on Postgres",
                round_trip: "SELECT 1 on an owned connection that is idle",
                commit: "an UPDATE of one row, committed, on an owned connection that is idle; a release is durable, so a \
                    hand-over is counted in these",
                request: "Requests are statements that clients send, counted by pg_stat_statements where the server has \
                    loaded it.",
            },
        }
    }
}
