//! What broke elsewhere.

use super::Clause;

pub(super) const REGRESSIONS: &[Clause] = &[
    Clause {
        text: "A watchdog renews after unlock, or after an attempt that was interrupted (redisson #7272, #2714, \
               #1626).",
        cases: &["lock.a_released_lock_is_renewed_no_more", "lock.a_cancelled_attempt_leaves_nothing"],
    },
    Clause {
        text: "A watchdog stops in silence, and there are two holders (redisson #5697, #5698).",
        cases: &[
            "lock.a_held_lock_outlives_its_ttl",
            "lock.the_holder_knows_before_the_next_one_holds",
            "lock.callbacks_tell_of_failure_and_loss",
            "lock.a_callback_that_panics_harms_nobody_else",
        ],
    },
    Clause {
        text: "After a reconnect, the watchdog does not renew a lock that was lost and taken again (redisson #3194).",
        cases: &["lock.a_lost_lock_can_be_taken_again"],
    },
    Clause {
        text: "A fair lock deadlocks when a waiter dies (redisson #1104, #2883, #3730).",
        cases: &[
            "lock.a_dead_waiter_never_blocks_the_queue",
            "lock.a_waiter_that_gives_up_is_skipped",
            "election.a_dead_candidate_never_blocks_the_others",
            "lock.many_dead_waiters_cost_one_ttl",
        ],
    },
    Clause {
        text: "Waits that time out push the deadlines of a fair lock's queue ever further away (redisson #1104, \
               #2099).",
        cases: &["lock.many_dead_waiters_cost_one_ttl"],
    },
    Clause {
        text: "A wake-up is lost after an unlock or a resubscription, and a waiter hangs (redisson #5761, #6026).",
        cases: &[
            "lock.one_holder_at_a_time",
            "lock.first_come_first_served",
            "watch.a_watch_is_live_when_it_is_returned",
            "faults.a_waiter_is_served_after_a_cut",
        ],
    },
    Clause {
        text: "A candidate wins though its own key is gone (etcd `election.go`; cagriekin/charts #326).",
        cases: &["election.nobody_leads_by_a_place_that_has_gone"],
    },
    Clause {
        text: "A waiter whose session has ended waits on, and learns of it only when its turn comes (etcd #19597).",
        cases: &["election.nobody_leads_by_a_place_that_has_gone", "lock.a_waiter_that_lost_its_place_queues_up_again"],
    },
    Clause {
        text: "A holder does not learn that it lost the lock (etcd #10811, #6127; curator #727; DistributedLock #133).",
        cases: &[
            "lock.the_holder_knows_before_the_next_one_holds",
            "lock.a_removed_lock_is_lost",
            "lock.with_lock_ends_the_body_when_it_is_lost",
        ],
    },
    Clause {
        text: "There are two leaders after a reconnect (curator #1121, #1169).",
        cases: &[
            "election.the_leader_knows_before_the_next_leads",
            "election.a_lost_leader_proclaims_nothing",
            "port.a_term_ends",
            "faults.one_leader_after_a_cut",
        ],
    },
    Clause {
        text: "After a release that failed, the lock can never be taken again (curator #1193).",
        cases: &["faults.a_failed_release_passes_on_in_time"],
    },
    Clause {
        text: "A subscription stays at the server after its user is gone (redisson #4064).",
        cases: &["messages.dropping_ends_a_subscription", "port.stats_count_subscriptions"],
    },
    Clause {
        text: "Watches stay behind (curator #1170; DistributedLock #14).",
        cases: &["watch.a_dropped_watch_leaves_the_others", "messages.dropping_ends_a_subscription"],
    },
    Clause {
        text: "Two names are one lock (tooz, whose Postgres driver hashes them to 16 bits; spring-integration #11157).",
        cases: &["lock.other_names_are_other_locks", "names.any_text_is_a_key"],
    },
    Clause {
        text: "A waiter polls for the lock (spring-integration #3690; rslock; tooz).",
        cases: &["lock.one_release_wakes_one_waiter", "election.a_change_of_leader_is_constant_work"],
    },
    Clause {
        text: "A record that was to be tried again is lost (dapr/components-contrib #4174, #3849).",
        cases: &[
            "streams.an_abandoned_record_comes_again",
            "streams.a_retry_comes_again_at_once",
            "streams.what_is_not_settled_is_kept",
        ],
    },
    Clause {
        text: "Two consumers process one record at the same time (dapr/components-contrib #4577).",
        cases: &[
            "streams.a_claim_is_exclusive",
            "streams.concurrent_claims_are_disjoint",
            "streams.one_record_wakes_one_of_many",
            "streams.delivered_again_is_stale",
        ],
    },
    Clause {
        text: "After an outage of the broker every call fails until the client is restarted (dapr/components-contrib \
               #4563).",
        cases: &["faults.every_call_recovers_after_an_outage"],
    },
    Clause {
        text: "A consumer whose group is gone never recovers (dapr/dapr #4302, Redis `NOGROUP`).",
        cases: &["streams.clear_removes_streams_and_groups", "streams.a_waiting_claim_outlives_a_clear"],
    },
    Clause {
        text: "The time to acknowledge counts from when the record was appended, so it is delivered twice \
               (omniqueue-rs #102).",
        cases: &["streams.every_redelivery_counts", "streams.visibility_counts_from_the_claim"],
    },
    Clause {
        text: "A backend that lacks delays ignores them in silence (omniqueue-rs #182).",
        cases: &[
            "streams.a_delay_is_honoured",
            "streams.a_retry_after_is_honoured",
            "capabilities.what_is_not_declared_is_refused",
        ],
    },
    Clause {
        text: "A record that is given back comes again in a hot loop (watermill #414).",
        cases: &["streams.a_retry_after_is_honoured", "streams.an_exhausted_record_is_a_dead_letter_once"],
    },
    Clause {
        text: "A TTL of less than a second is rounded in silence, or a renewal writes none or another (valkeyrie).",
        cases: &[
            "ttl.fractions_of_a_second_count",
            "ttl.granted_is_asked_rounded_up",
            "ttl.less_than_the_minimum_is_refused",
            "ttl.an_extend_grants_the_same",
            "ttl.a_lease_can_be_kept_for_long",
        ],
    },
    Clause {
        text: "A version is a fraction of the clock: it repeats and goes backwards (valkeyrie on Redis).",
        cases: &[
            "state.versions_grow_and_created_stays",
            "transactions.a_version_never_comes_back",
            "state.concurrent_commits_have_revisions_of_their_own",
        ],
    },
    Clause {
        text: "The result of a renewal is ignored (tooz on etcd).",
        cases: &["lock.a_removed_lock_is_lost", "transactions.extend_of_another_version_does_nothing"],
    },
    Clause { text: "Every retry grants a new lease (tooz on etcd).", cases: &["lock.renewals_go_in_batches"] },
];
