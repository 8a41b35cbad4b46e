//! The lock recipe.

use super::{Chapter, Clause};

pub(super) const HOLDING: Chapter = Chapter {
    title: "Locks: holding",
    clauses: &[
        Clause {
            text: "A lock has one holder at a time.",
            cases: &["lock.one_holder_at_a_time", "history.locks_never_overlap"],
        },
        Clause {
            text: "Two names are two locks, whatever characters they are made of.",
            cases: &["lock.other_names_are_other_locks"],
        },
        Clause {
            text: "The fencing token of a holder is greater than that of every holder before, also after \
                   a `clear`.",
            cases: &["lock.tokens_grow_with_every_holder"],
        },
        Clause {
            text: "A guarded write is applied only while the lock is its writer's, whatever the guard believes.",
            cases: &["lock.a_stale_token_writes_nothing"],
        },
        Clause {
            text: "A guarded write writes a key of the port's, in one transaction with the check of the token.",
            cases: &["lock.a_guarded_write_is_read_by_the_port"],
        },
        Clause {
            text: "A lock is renewed at a third of its TTL: it is held for as long as its holder lives and reaches \
                   the backend.",
            cases: &["lock.a_held_lock_outlives_its_ttl", "lock.a_lease_is_renewed_at_a_third_of_its_ttl"],
        },
        Clause {
            text: "All leases of a coordinator are renewed together, in batches.",
            cases: &["lock.renewals_go_in_batches"],
        },
        Clause {
            text: "A lock without renewal passes on after its TTL, and can be extended by hand.",
            cases: &["lock.without_renewal_it_runs_out"],
        },
        Clause {
            text: "Dropping a guard releases its lock in the background.",
            cases: &["lock.a_dropped_guard_releases"],
        },
        Clause {
            text: "What was released or cancelled is renewed no more.",
            cases: &[
                "lock.a_released_lock_is_renewed_no_more",
                "lock.a_cancelled_attempt_leaves_nothing",
                "lock.an_attempt_cut_off_at_the_backend_leaves_nothing",
            ],
        },
        Clause {
            text: "After a release that failed, the lock passes on with its TTL at the latest.",
            cases: &["faults.a_failed_release_passes_on_in_time"],
        },
        Clause {
            text: "`with_lock` releases the lock after its body, and returns what the body did, whatever becomes of \
                   the release.",
            cases: &["lock.with_lock_releases_after_the_body", "lock.what_a_body_finished_is_never_an_error"],
        },
        Clause {
            text: "`shutdown` releases every lock, and later calls fail with `Closed`.",
            cases: &["lock.shutdown_releases_everything"],
        },
        Clause {
            text: "A shutdown that is given up renews nothing any more: what it did not release passes with its TTL.",
            cases: &["faults.a_shutdown_that_is_given_up_renews_nothing"],
        },
        Clause {
            text: "A name that is not allowed, or a TTL that is too short or too long, is refused before anything is \
                   sent.",
            cases: &["lock.bad_input_is_refused"],
        },
    ],
};

pub(super) const WAITING: Chapter = Chapter {
    title: "Locks: waiting",
    clauses: &[
        Clause {
            text: "Those who wait hold the lock in the order in which they came.",
            cases: &["lock.first_come_first_served"],
        },
        Clause {
            text: "Where prefix guards are declared, a free lock is taken with one request and released with one.",
            cases: &["lock.a_free_lock_costs_two_requests"],
        },
        Clause {
            text: "Waiting does not poll: a release is one request that wakes one waiter, however many there are.",
            cases: &["lock.one_release_wakes_one_waiter"],
        },
        Clause {
            text: "`try_acquire` takes a lock that nobody holds or waits for, and says at once if it cannot.",
            cases: &["lock.try_acquire_does_not_wait"],
        },
        Clause {
            text: "A free lock is taken however short the wait may be, and a wait may be as long as can \
                   be written.",
            cases: &["lock.any_wait_will_do"],
        },
        Clause {
            text: "A wait that ends in vain fails with `Timeout`, and leaves no place in the queue behind.",
            cases: &["lock.a_wait_ends_in_time_and_leaves_nothing"],
        },
        Clause {
            text: "A waiter that gives up or dies is skipped.",
            cases: &[
                "lock.a_waiter_that_gives_up_is_skipped",
                "lock.a_dead_waiter_never_blocks_the_queue",
                "lock.many_dead_waiters_cost_one_ttl",
            ],
        },
        Clause {
            text: "A waiter whose place is lost does not win by it: it notices, and queues up again at the end.",
            cases: &["lock.a_waiter_that_lost_its_place_queues_up_again"],
        },
        Clause { text: "`shutdown` ends every wait with `Closed`.", cases: &["lock.shutdown_ends_every_wait"] },
    ],
};

pub(super) const LOSING: Chapter = Chapter {
    title: "Locks: losing",
    clauses: &[
        Clause {
            text: "A holder that cannot renew its lock reports it lost before another can hold it.",
            cases: &["lock.the_holder_knows_before_the_next_one_holds"],
        },
        Clause {
            text: "A holder counts itself out before its TTL has passed since it last asked: 1 % earlier, \
                   and 50 ms at least.",
            cases: &["lock.a_holder_counts_itself_out_before_its_ttl"],
        },
        Clause {
            text: "A holder knows until when it holds its lock if no renewal succeeds any more: `held_until` moves on \
                   with every renewal, and passes before another can hold the lock.",
            cases: &["lock.the_deadline_moves_with_every_renewal"],
        },
        Clause {
            text: "A lock that was removed at the backend is reported lost with the next renewal.",
            cases: &["lock.a_removed_lock_is_lost"],
        },
        Clause {
            text: "A lock that was lost stays lost: nothing can be extended, released or written under it.",
            cases: &["lock.once_lost_it_stays_lost"],
        },
        Clause {
            text: "A lock that was lost can be taken again, by the same node too, and is renewed as any other.",
            cases: &["lock.a_lost_lock_can_be_taken_again"],
        },
        Clause {
            text: "Every renewal that fails is told, and the loss once; a callback that panics ends no \
                   other lease.",
            cases: &["lock.callbacks_tell_of_failure_and_loss", "lock.a_callback_that_panics_harms_nobody_else"],
        },
        Clause {
            text: "If its lock is lost, the body of `with_lock` is dropped and the error is `Lost`.",
            cases: &["lock.with_lock_ends_the_body_when_it_is_lost"],
        },
    ],
};
