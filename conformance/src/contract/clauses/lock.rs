//! The lock recipe.

chapter! { HOLDING "Locks: holding";
    ONE_HOLDER_AT_A_TIME "A lock has one holder at a time.";
    OTHER_NAMES_ARE_OTHER_LOCKS "Two names are two locks, whatever characters they are made of.";
    TOKENS_GROW_WITH_EVERY_HOLDER
        "The fencing token of a holder is greater than that of every holder before, also after a `clear`.";
    STALE_TOKEN_WRITES_NOTHING
        "A guarded write is applied only while the lock is its writer's, whatever the guard believes.";
    GUARDED_WRITE_IS_READ_BY_THE_PORT
        "A guarded write writes a key of the port's, in one transaction with the check of the token.";
    HELD_LOCK_OUTLIVES_ITS_TTL
        "A lock is renewed at a third of its TTL: it is held for as long as its holder lives and reaches the backend.";
    RENEWALS_GO_IN_BATCHES "All leases of a coordinator are renewed together, in batches.";
    WITHOUT_RENEWAL_IT_RUNS_OUT "A lock without renewal passes on after its TTL, and can be extended by hand.";
    DROPPED_GUARD_RELEASES "Dropping a guard releases its lock in the background.";
    RELEASED_LOCK_IS_RENEWED_NO_MORE "What was released or cancelled is renewed no more.";
    FAILED_RELEASE_PASSES_ON_IN_TIME "After a release that failed, the lock passes on with its TTL at the latest.";
    WITH_LOCK_RELEASES_AFTER_THE_BODY
        "`with_lock` releases the lock after its body, and returns what the body did, whatever becomes of the release.";
    SHUTDOWN_RELEASES_EVERYTHING "`shutdown` releases every lock, and later calls fail with `Closed`.";
    SHUTDOWN_THAT_IS_GIVEN_UP_RENEWS_NOTHING
        "A shutdown that is given up renews nothing any more: what it did not release passes with its TTL.";
    BAD_INPUT_IS_REFUSED
        "A name that is not allowed, or a TTL that is too short or too long, is refused before anything is sent.";
}

chapter! { WAITING "Locks: waiting";
    FIRST_COME_FIRST_SERVED "Those who wait hold the lock in the order in which they came.";
    FREE_LOCK_COSTS_TWO_REQUESTS
        "Where prefix guards are declared, a free lock is taken with one request and released with one.";
    ONE_RELEASE_WAKES_ONE_WAITER
        "Waiting does not poll: a release is one request that wakes one waiter, however many there are.";
    TRY_ACQUIRE_DOES_NOT_WAIT
        "`try_acquire` takes a lock that nobody holds or waits for, and says at once if it cannot.";
    TRY_WITH_LOCK_DOES_NOT_WAIT
        "`try_with_lock` runs its body if nobody holds the lock or waits for it, and says at once if it does not run it.";
    ANY_WAIT_WILL_DO "A free lock is taken however short the wait may be, and a wait may be as long as can be written.";
    WAIT_ENDS_IN_TIME_AND_LEAVES_NOTHING
        "A wait that ends in vain fails with `Timeout`, and leaves no place in the queue behind.";
    WAITER_THAT_GIVES_UP_IS_SKIPPED "A waiter that gives up or dies is skipped.";
    WAITER_THAT_LOST_ITS_PLACE_QUEUES_UP_AGAIN
        "A waiter whose place is lost does not win by it: it notices, and queues up again at the end.";
    SHUTDOWN_ENDS_EVERY_WAIT "`shutdown` ends every wait with `Closed`.";
}

chapter! { LOSING "Locks: losing";
    HOLDER_KNOWS_BEFORE_THE_NEXT_ONE_HOLDS
        "A holder that cannot renew its lock reports it lost before another can hold it.";
    HOLDER_COUNTS_ITSELF_OUT_BEFORE_ITS_TTL
        "A holder counts itself out before its TTL has passed since it last asked: 1 % earlier, and 50 ms at least.";
    DEADLINE_MOVES_WITH_EVERY_RENEWAL
        "A holder knows until when it holds its lock if no renewal succeeds any more: `held_until` moves on with \
         every renewal, and passes before another can hold the lock.";
    REMOVED_LOCK_IS_LOST "A lock that was removed at the backend is reported lost with the next renewal.";
    ONCE_LOST_IT_STAYS_LOST "A lock that was lost stays lost: nothing can be extended, released or written under it.";
    LOST_LOCK_CAN_BE_TAKEN_AGAIN
        "A lock that was lost can be taken again, by the same node too, and is renewed as any other.";
    CALLBACKS_TELL_OF_FAILURE_AND_LOSS
        "Every renewal that fails is told, and the loss once; a callback that panics ends no other lease.";
    WITH_LOCK_ENDS_THE_BODY_WHEN_IT_IS_LOST
        "If its lock is lost, the body of `with_lock` is dropped and the error is `Lost`.";
}
