//! What holds while a server is away.

chapter! { OUTAGES "Outages";
    SILENT_SERVER_IS_A_TIMEOUT
        "A server that does not answer is an error within the time that an attempt has: nothing hangs.";
    ALL_GOES_ON_AFTER_A_PAUSE
        "After a pause or a restart of the server everything goes on by itself: calls, subscriptions, watches and \
         claims.";
    EVERY_CALL_RECOVERS_AFTER_AN_OUTAGE
        "After an outage, however long, every kind of call works again without a new handle.";
    HALF_OPEN_CONNECTION_IS_NOTICED
        "Watches and subscriptions on a connection that is half open come back by themselves.";
    SLOW_NETWORK_IS_NO_FAULT "On a slow network everything works, only slower.";
    LARGE_RECORDS_COME_OVER_A_SLOW_LINE "What is large comes over a slow line, however long all of it is on its way.";
    HISTORIES_HOLD_WHILE_CONNECTIONS_BREAK
        "While connections break what clients are told is linearizable: a write of unknown outcome is applied once \
         or never.";
    CLAIM_OF_WHO_IS_CUT_OFF_IS_EXCLUSIVE_STILL
        "A claim stays its member's while that is cut off, and can be settled after.";
    LOCK_OUTLIVES_A_SHORT_OUTAGE "A lock is held through an outage that is shorter than its TTL, with the same token.";
    LOCK_IS_LOST_IN_A_LONG_PAUSE
        "A lock whose server stood still for longer than its TTL is reported lost, and its token writes nothing.";
    HOLDER_THAT_IS_CUT_OFF_KNOWS_BEFORE_THE_NEXT_HOLDS
        "Who is cut off knows that its lock or leadership is lost before another can have it.";
    WAITER_IS_SERVED_AFTER_A_CUT "A waiter that was cut off when the lock was released gets it: no wake-up is lost.";
    LOCK_THAT_IS_DROPPED_IN_AN_OUTAGE_PASSES_ON_AFTER_IT
        "What is given up while the server is away is given back soon after it is there again.";
    MEMBER_THAT_WAS_CUT_OFF_IS_BACK
        "A member that was cut off for longer than its TTL is gone, and joins again by itself.";
}
