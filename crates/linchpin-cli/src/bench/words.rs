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
                request: "Requests are commands that clients send.",
            },
            Backend::Nats => Self {
                same_work: "direct reads with their revision, conditional writes with a TTL and an id, and messages \
                    of which is known whether anybody listens, all of the raw client on a stream like linchpin's",
                plain: "plain calls (STREAM.MSG.GET, a conditional publish, a publish and a flush to the server, a key \
                    that is created and purged)",
                queue: "a token in a stream in memory that waiters pull, which is the shortest way to hand \
                    something over on NATS",
                round_trip: "direct get of a small value on an idle connection",
                request: "Requests are messages that clients send, to JetStream and to a stream; what they send to \
                    themselves is not counted.",
            },
        }
    }
}
