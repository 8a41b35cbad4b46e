//! How things fail and end.

chapter! { ERRORS "Errors";
    OVERSIZE_VALUE_IS_TOLD_BY_ITS_KEY
        "An error has its kind, the operation that failed, and the key, channel or stream that it was about.";
    DISPLAY_IS_ONE_LINE "An error shows as one line in lower case, without values and payloads.";
    WHAT_IS_REFUSED_WAS_NOT_APPLIED
        "What is refused was surely not applied, and its error says that repeating will not help.";
    WHAT_IS_SAFE_WAS_NOT_APPLIED "A write whose error says `Safe` was surely not applied.";
    TIMED_OUT_WRITE_IS_UNKNOWN "A write that timed out says that it may have been applied.";
}

chapter! { CLOSING "Closing";
    CLOSED_HANDLE_ANSWERS_CLOSED "After `close` every call fails with `Closed`.";
    CLOSED_HANDLE_WATCHES_NOTHING "`close` ends the watches and subscriptions of its handle.";
    CLOSING_ENDS_A_WAITING_CLAIM
        "`close` ends every wait of its handle within a second: those for a record, an event and a message.";
    CLAIM_THAT_WAS_CLOSED_HOLDS_NOTHING
        "A claim that ended because its handle was closed takes nothing that is appended after the close, if the \
         server answers within a second.";
    CLOSED_LEAVES_NO_DOUBT
        "What fails with `Closed` was surely not applied if it was called after the close; if it was under way, its \
         error says whether it may have been.";
    HANDLE_THAT_OUTLIVES_ITS_RUNTIME_WORKS_OR_SAYS_SO
        "A handle lives in the runtime in which it was opened. Once that has ended the handle works in another one, \
         or every call, watch and subscription fails with `Closed` and says why; never silence.";
    CLOSING_TWICE_DOES_NOTHING "A second `close` does nothing.";
    CLOSING_ONE_HANDLE_LEAVES_THE_OTHERS "Closing a handle leaves all others as they are.";
}
