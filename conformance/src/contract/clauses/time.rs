//! Time to live.

chapter! { TIME "Time to live";
    GRANTED_IS_ASKED_ROUNDED_UP
        "The TTL granted is the one asked for, rounded up to the declared granularity; `Put` and `Extend` return it.";
    ZERO_IS_REFUSED "A TTL of zero, or below the declared minimum, is refused with `InvalidArgument`.";
    HUNDRED_YEARS_ARE_GRANTED "The longest TTL is 100 years, and a longer one is refused with `InvalidArgument`.";
    FRACTIONS_OF_A_SECOND_COUNT "A key is never gone before its TTL has passed.";
    KEY_LIVES_ITS_TTL_AND_NO_LONGER "A key is never seen once its TTL and the declared slack have passed.";
    EXPIRED_KEY_IS_NOT_IN_ITS_RANGE "To scans, guards and mutations an expired key does not exist.";
    WHAT_ENDED_STAYS_GONE "An expired key does not come back by itself.";
    REMAINING_TIME_IS_REPORTED "The server's clock decides: by it an entry says how long it has left to live.";
    TTL_IS_TOLD_ALIKE_BY_EVERY_READ
        "How long an entry has left to live is told alike by `get`, `scan`, a refusal and a watch.";
    CLOCK_THAT_STEPS_BACK_REVIVES_NOTHING
        "A server's clock that steps back revives nothing that was seen to be gone, and stops no time: what lives \
         ends later by a second at most, and by the time for which nobody had asked the server anything, whether \
         what was asked were reads, renewals or writes.";
    CLOCK_THAT_STEPS_FORWARD_TAKES_NO_MORE_THAN_IT_WENT
        "A server's clock that steps forward may end what lives earlier, by no more than it went; then time goes on.";
    KEY_OUTLIVES_THE_HANDLE_THAT_WROTE_IT "Its TTL alone ends a key: closing the handle that wrote it does not.";
    KEY_WITHOUT_TTL_LIVES_FOR_EVER "A key without a TTL lives for ever.";
    PUT_WITH_TTL_REPLACES_IT "A `Put` sets the TTL of its key, or takes it away, whatever it was before.";
    ADD_KEEPS_IT "An `Add` leaves the TTL of a counter that exists as it is.";
    EXTEND_LENGTHENS_IT
        "An `Extend` lets a key live for its TTL from now on at least: a lease extended in time never ends.";
    EXTEND_NEVER_SHORTENS_IT "An `Extend` never shortens a TTL.";
    STALE_EXTEND_LEAVES_IT "What is refused or does nothing leaves the TTL as it is.";
}
