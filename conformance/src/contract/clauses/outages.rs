//! What holds while a server is away.

use super::{Chapter, Clause};

pub(super) const OUTAGES: Chapter = Chapter {
    title: "Outages",
    clauses: &[
        Clause {
            text: "A server that does not answer is an error within the time that an attempt has: nothing hangs.",
            cases: &["faults.a_silent_server_is_a_timeout", "faults.requests_that_never_arrive_end_in_time"],
        },
        Clause {
            text: "After a pause or a restart of the server everything goes on by itself: calls, subscriptions, watches \
                   and claims.",
            cases: &["faults.all_goes_on_after_a_pause", "faults.all_goes_on_after_a_restart"],
        },
        Clause {
            text: "After an outage, however long, every kind of call works again without a new handle.",
            cases: &["faults.every_call_recovers_after_an_outage"],
        },
        Clause {
            text: "Watches and subscriptions on a connection that is half open come back by themselves.",
            cases: &["faults.a_half_open_connection_is_noticed"],
        },
        Clause {
            text: "On a slow network everything works, only slower.",
            cases: &["faults.a_slow_network_is_no_fault"],
        },
        Clause {
            text: "What is large comes over a slow line, however long all of it is on its way.",
            cases: &["faults.large_records_come_over_a_slow_line", "faults.a_large_range_is_watched_over_a_slow_line"],
        },
        Clause {
            text: "While connections break what clients are told is linearizable: a write of unknown outcome is applied \
                   once or never.",
            cases: &["faults.histories_hold_while_connections_break"],
        },
        Clause {
            text: "A claim stays its member's while that is cut off, and can be settled after.",
            cases: &["faults.a_claim_of_who_is_cut_off_is_exclusive_still"],
        },
        Clause {
            text: "A lock is held through an outage that is shorter than its TTL, with the same token.",
            cases: &["faults.a_lock_outlives_a_short_outage"],
        },
        Clause {
            text: "A lock whose server stood still for longer than its TTL is reported lost, and its token writes nothing.",
            cases: &["faults.a_lock_is_lost_in_a_long_pause"],
        },
        Clause {
            text: "Who is cut off knows that its lock or leadership is lost before another can have it.",
            cases: &[
                "faults.a_holder_that_is_cut_off_knows_before_the_next_holds",
                "faults.a_lock_that_is_granted_too_late_is_not_held",
                "faults.one_leader_after_a_cut",
            ],
        },
        Clause {
            text: "A waiter that was cut off when the lock was released gets it: no wake-up is lost.",
            cases: &["faults.a_waiter_is_served_after_a_cut"],
        },
        Clause {
            text: "What is given up while the server is away is given back soon after it is there again.",
            cases: &["faults.a_lock_that_is_dropped_in_an_outage_passes_on_after_it"],
        },
        Clause {
            text: "A member that was cut off for longer than its TTL is gone, and joins again by itself.",
            cases: &["faults.a_member_that_was_cut_off_is_back"],
        },
    ],
};
