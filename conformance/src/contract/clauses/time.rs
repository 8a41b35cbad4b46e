//! Time to live.

use super::{Chapter, Clause};

pub(super) const TIME: Chapter = Chapter {
    title: "Time to live",
    clauses: &[
        Clause {
            text: "The TTL granted is the one asked for, rounded up to the declared granularity; `Put` and `Extend` \
                   return it.",
            cases: &["ttl.granted_is_asked_rounded_up", "ttl.an_add_grants_the_same", "ttl.an_extend_grants_the_same"],
        },
        Clause {
            text: "A TTL of zero, or below the declared minimum, is refused with `InvalidArgument`.",
            cases: &["ttl.zero_is_refused", "ttl.less_than_the_minimum_is_refused"],
        },
        Clause {
            text: "The longest TTL is 100 years, and a longer one is refused with `InvalidArgument`.",
            cases: &["ttl.a_hundred_years_are_granted", "ttl.more_than_the_maximum_is_refused"],
        },
        Clause {
            text: "A key is never gone before its TTL has passed.",
            cases: &["ttl.fractions_of_a_second_count", "ttl.many_keys_end_each_at_its_time"],
        },
        Clause {
            text: "A key is never seen once its TTL and the declared slack have passed.",
            cases: &["ttl.a_key_lives_its_ttl_and_no_longer"],
        },
        Clause {
            text: "To scans, guards and mutations an expired key does not exist.",
            cases: &[
                "ttl.an_expired_key_is_not_in_its_range",
                "ttl.an_expired_key_is_absent_for_guards",
                "ttl.an_expired_key_is_not_deleted",
                "ttl.an_expired_counter_starts_again",
            ],
        },
        Clause { text: "An expired key does not come back by itself.", cases: &["ttl.what_ended_stays_gone"] },
        Clause {
            text: "The server's clock decides: by it an entry says how long it has left to live.",
            cases: &["ttl.remaining_time_is_reported"],
        },
        Clause {
            text: "How long an entry has left to live is told alike by `get`, `scan`, a refusal and a watch.",
            cases: &["state.a_ttl_is_told_alike_by_every_read", "state.a_watcher_is_told_the_ttl"],
        },
        Clause {
            text: "A server's clock that steps back revives nothing that was seen to be gone, and stops no time: what lives \
                   ends later by a second at most, and by the time for which nobody had asked the server anything, \
                   whether what was asked were reads, renewals or writes.",
            cases: &[
                "faults.a_clock_that_steps_back_revives_nothing",
                "faults.a_clock_that_steps_back_under_reads_stops_no_time",
                "faults.a_clock_that_steps_back_under_renewals_stops_no_time",
                "faults.a_clock_that_steps_back_under_writes_stops_no_time",
                "faults.a_clock_that_steps_back_keeps_no_dead_holder",
                "faults.a_clock_that_steps_back_keeps_no_dead_member",
                "faults.a_clock_that_is_put_right_stops_no_time",
            ],
        },
        Clause {
            text: "A server's clock that steps forward may end what lives earlier, by no more than it went; then time goes \
                   on.",
            cases: &["faults.a_clock_that_steps_forward_takes_no_more_than_it_went"],
        },
        Clause {
            text: "Its TTL alone ends a key: closing the handle that wrote it does not.",
            cases: &["ttl.a_key_outlives_the_handle_that_wrote_it"],
        },
        Clause { text: "A key without a TTL lives for ever.", cases: &["state.a_key_without_ttl_lives_for_ever"] },
        Clause {
            text: "A `Put` sets the TTL of its key, or takes it away, whatever it was before.",
            cases: &["ttl.a_put_with_ttl_replaces_it", "ttl.a_put_without_ttl_clears_it"],
        },
        Clause {
            text: "An `Add` leaves the TTL of a counter that exists as it is.",
            cases: &["ttl.an_add_keeps_it", "ttl.an_add_gives_none_to_what_lives_for_ever"],
        },
        Clause {
            text: "An `Extend` lets a key live for its TTL from now on at least: a lease extended in time \
                   never ends.",
            cases: &["ttl.an_extend_lengthens_it", "ttl.a_lease_can_be_kept_for_long"],
        },
        Clause {
            text: "An `Extend` never shortens a TTL.",
            cases: &["ttl.an_extend_never_shortens_it", "ttl.an_extend_leaves_what_lives_for_ever"],
        },
        Clause {
            text: "What is refused or does nothing leaves the TTL as it is.",
            cases: &[
                "ttl.a_stale_extend_leaves_it",
                "ttl.a_refused_put_leaves_it",
                "transactions.a_refusal_changes_no_ttl",
                "transactions.a_conflict_undoes_ttls",
            ],
        },
    ],
};
