//! What broke elsewhere.

chapter! { REGRESSIONS "What broke elsewhere";
    REDISSON_7272
        "A watchdog renews after unlock, or after an attempt that was interrupted (redisson #7272, #2714, #1626).";
    REDISSON_5697 "A watchdog stops in silence, and there are two holders (redisson #5697, #5698).";
    REDISSON_3194
        "After a reconnect, the watchdog does not renew a lock that was lost and taken again (redisson #3194).";
    REDISSON_1104 "A fair lock deadlocks when a waiter dies (redisson #1104, #2883, #3730).";
    REDISSON_2099
        "Waits that time out push the deadlines of a fair lock's queue ever further away (redisson #1104, #2099).";
    REDISSON_5761 "A wake-up is lost after an unlock or a resubscription, and a waiter hangs (redisson #5761, #6026).";
    CHARTS_326 "A candidate wins though its own key is gone (etcd `election.go`; cagriekin/charts #326).";
    ETCD_19597 "A waiter whose session has ended waits on, and learns of it only when its turn comes (etcd #19597).";
    ETCD_10811
        "A holder does not learn that it lost the lock (etcd #10811, #6127; curator #727; DistributedLock #133).";
    CURATOR_1121 "There are two leaders after a reconnect (curator #1121, #1169).";
    CURATOR_1193 "After a release that failed, the lock can never be taken again (curator #1193).";
    REDISSON_4064 "A subscription stays at the server after its user is gone (redisson #4064).";
    CURATOR_1170 "Watches stay behind (curator #1170; DistributedLock #14).";
    SPRING_INTEGRATION_11157
        "Two names are one lock (tooz, whose Postgres driver hashes them to 16 bits; spring-integration #11157).";
    SPRING_INTEGRATION_3690 "A waiter polls for the lock (spring-integration #3690; rslock; tooz).";
    COMPONENTS_CONTRIB_4174 "A record that was to be tried again is lost (dapr/components-contrib #4174, #3849).";
    COMPONENTS_CONTRIB_4577 "Two consumers process one record at the same time (dapr/components-contrib #4577).";
    COMPONENTS_CONTRIB_4563
        "After an outage of the broker every call fails until the client is restarted (dapr/components-contrib #4563).";
    DAPR_4302 "A consumer whose group is gone never recovers (dapr/dapr #4302, Redis `NOGROUP`).";
    OMNIQUEUE_RS_102
        "The time to acknowledge counts from when the record was appended, so it is delivered twice (omniqueue-rs \
         #102).";
    OMNIQUEUE_RS_182 "A backend that lacks delays ignores them in silence (omniqueue-rs #182).";
    WATERMILL_414 "A record that is given back comes again in a hot loop (watermill #414).";
    ELSEWHERE_FRACTIONS_OF_A_SECOND_COUNT
        "A TTL of less than a second is rounded in silence, or a renewal writes none or another (valkeyrie).";
    ELSEWHERE_VERSIONS_GROW_AND_CREATED_STAYS
        "A version is a fraction of the clock: it repeats and goes backwards (valkeyrie on Redis).";
    ELSEWHERE_REMOVED_LOCK_IS_LOST "The result of a renewal is ignored (tooz on etcd).";
    ELSEWHERE_RENEWALS_GO_IN_BATCHES "Every retry grants a new lease (tooz on etcd).";
}
