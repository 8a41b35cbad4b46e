//! The only way in which state changes.

chapter! { TRANSACTIONS "Transactions";
    ABSENT_HOLDS_WHERE_THERE_IS_NO_KEY "The guard `Absent` holds if the key does not exist.";
    PRESENT_HOLDS_WHERE_THERE_IS_ONE "The guard `Present` holds if the key exists.";
    VERSION_HOLDS_AT_THAT_WRITE_ONLY
        "The guard `VersionIs` holds if the key exists and was last written at that revision.";
    PREFIX_ABSENT_HOLDS_WHERE_NO_KEY_STARTS_SO
        "The guard `PrefixAbsent`, where it is declared, holds if no key exists that starts with its key.";
    GUARDS_SEE_WHAT_WAS_BEFORE "Guards look at what there was before the transaction's own mutations.";
    ALL_OR_NOTHING "All mutations are applied if every guard holds, and none otherwise.";
    FAILED_ADD_UNDOES_THE_REST "If one mutation fails, none is applied.";
    ONE_OF_MANY_CREATORS_WINS
        "Transactions are linearizable: they take place one after the other, in an order that agrees with real time.";
    TRANSFERS_KEEP_THE_SUM "No reader sees a part of a transaction.";
    ALL_WRITES_HAVE_THE_SAME_REVISION "All writes of a transaction have its revision, which the outcome carries.";
    ONE_RESULT_PER_MUTATION_IN_ORDER "The outcome has one result per mutation, in their order.";
    FIRST_FAILING_GUARD_IS_TOLD
        "A refusal says which guard was the first that did not hold, and what stood at its key.";
    CHECK_CHANGES_NOTHING "A transaction without mutations checks its guards and changes nothing.";
    FENCED_WRITE_IS_REFUSED "A write guarded by the fencing token of a lock that has passed on is refused.";
    KEY_IS_CHANGED_ONCE "A transaction mutates each key once at most, and guards it any number of times.";
    AS_MANY_OPERATIONS_AS_DECLARED "A transaction may have as many guards and mutations as declared, 128 at least.";
    AS_MANY_BYTES_AS_DECLARED
        "The values of a transaction may have as many bytes together as declared, 1 MiB at least.";
    TOO_MANY_OPERATIONS_ARE_REFUSED
        "A transaction over either limit is refused with `InvalidArgument`, and nothing is applied.";
}

chapter! { COUNTERS "Counters and leases";
    COUNTER_IS_DECIMAL_TEXT
        "`Add` adds to a signed counter of 64 bits, which the key holds as decimal text, exact over its whole range.";
    ABSENT_COUNTER_COUNTS_AS_ZERO "To `Add`, an absent key counts as 0.";
    ANOTHER_WAY_TO_WRITE_A_NUMBER_IS_NO_COUNTER
        "A counter's text is exactly as `Add` writes it: no plus, no leading zero, no `-0`, no space, no digit but 0 \
         to 9. Any other text is no counter.";
    OVERFLOW_IS_A_CONFLICT
        "An `Add` that overflows, or meets a value that is no counter, fails with `Conflict` and changes nothing.";
    CONCURRENT_ADDS_ALL_COUNT "Every `Add` counts, and each returns a result of its own, however many add at once.";
    ADD_IS_A_WRITE "An `Add` is a write: the key has a new version.";
    EXTEND_IS_NO_NEW_VERSION "An `Extend` is no write: the key keeps its version.";
    EXTEND_OF_ANOTHER_VERSION_DOES_NOTHING
        "An `Extend` of a key that is gone or has another version does nothing, and says so.";
    FAILED_EXTEND_DOES_NOT_FAIL_THE_REST "An `Extend` that does nothing does not fail its transaction.";
    MANY_LEASES_ARE_EXTENDED_AT_ONCE
        "One transaction extends as many leases as it may have operations, so a few renew thousands.";
}

chapter! { IDS "Transaction ids";
    CONCURRENT_REPEATS_APPLY_ONCE
        "A transaction with an id is applied once within the declared window, however often and by whichever handle \
         it is sent.";
    REPEAT_GETS_THE_FIRST_OUTCOME
        "A transaction that is sent again under its id gets the first outcome, whatever has happened since.";
    REPEAT_RENEWS_NOTHING "A repeat does nothing: it neither writes nor extends.";
    REFUSAL_IS_KEPT_TOO "A refusal is remembered as well: an attempt that arrives late cannot apply what was refused.";
    REFUSED_REPEAT_TELLS_WHAT_STILL_STANDS
        "A refusal that is repeated tells what stood there if that very version still does, and nothing of it \
         otherwise: the value is not kept.";
    OTHER_IDS_ARE_OTHER_TRANSACTIONS "The same changes under another id are another transaction.";
    CONFLICT_IS_KEPT_TOO
        "A conflict is an outcome too: what failed once is not applied by an attempt that arrives late.";
    REUSED_ID_IS_A_CONFLICT
        "Another transaction under an id that was used before fails with `Conflict`, and changes nothing.";
    TRANSACTION_IDS_SURVIVE_A_RESTART
        "Where data survives a restart of the server, the outcomes of transactions with an id survive it too.";
}
