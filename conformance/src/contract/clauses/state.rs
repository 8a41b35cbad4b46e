//! Versioned keys.

chapter! { STATE "State";
    PUT_THEN_GET
        "Reads are linearizable: they see every write that was answered before they began, through whichever handle. \
         A server that another has taken over from, and that still runs, may answer reads for 2 seconds after it \
         could have learnt that; no suite can have that done, so each adapter has tests of its own.";
    ENTRIES_COME_IN_THE_ORDER_ASKED
        "`get` answers with one entry per key asked for, in their order, however many there are.";
    ABSENT_IS_NOTHING "A key that does not exist has no entry.";
    SNAPSHOT_IS_OF_ONE_REVISION "All entries of one `get` are as of one revision: half of a transaction is never seen.";
    ANY_BYTES_ARE_A_VALUE "A value is any bytes, or none.";
    VALUE_AT_THE_LIMIT "A value may have as many bytes as declared, 512 KiB at least.";
    VALUE_OVER_THE_LIMIT_IS_REFUSED "A value over the limit is refused with `InvalidArgument`, and nothing is written.";
    REWRITE_REPLACES_THE_WHOLE_VALUE "A `Put` replaces the whole value.";
    DELETE_REMOVES_AND_REPORTS "A `Delete` removes the key, and says whether there was something to remove.";
}

chapter! { REVISIONS "Revisions";
    VERSIONS_GROW_AND_CREATED_STAYS
        "An entry has `created`, the revision at which its key came to be, and `version`, that of its last write.";
    RECREATING_IS_A_NEW_KEY
        "`created` is the fencing token of whoever created the key: who creates it again has a greater one.";
    REVISIONS_GROW_ACROSS_KEYS_AND_HANDLES "The revisions of a namespace only grow, whichever key and handle writes.";
    REVISIONS_GROW_ACROSS_DELETES "Revisions grow across deletes, expiry and `clear`.";
    REVISIONS_GROW_ACROSS_A_RESTART "Revisions grow across a restart of the server.";
    REVISIONS_GROW_ACROSS_LOST_DATA "Revisions grow across lost data, as far as the backend can know.";
    VERSION_NEVER_COMES_BACK "A version of a key never comes back, even with the same value.";
    CONCURRENT_COMMITS_HAVE_REVISIONS_OF_THEIR_OWN "No two transactions write at the same revision.";
    READS_ARE_AT_OR_AFTER_WHAT_THEY_SHOW "A read is of a revision, which is at least that of everything it shows.";
    EQUAL_REVISIONS_SAY_EQUAL_THINGS
        "Reads of one revision say the same of a key, whoever reads and how: what changes it has a revision of its \
         own, an expiry too.";
    REVISIONS_FIT_INTO_EVERY_LANGUAGE "Revisions stay below 2^53, so that every language holds them exactly.";
}

chapter! { RANGES "Ranges and clearing";
    RANGE_OF_ONE_KEY_IS_THAT_KEY
        "A range is one key, or all keys that start with a prefix, in which no character is a wildcard.";
    SCAN_ASCENDS_BY_BYTES "`scan` reads a range in the order of the keys' bytes.";
    SCAN_PAGES_ARE_COMPLETE "Pages read one after the other hold every key of the range once.";
    LARGE_RANGE_IS_READ_IN_PAGES
        "A page has no more entries than asked for, and says whether there may be more: then it holds one at least, \
         after which the next page starts.";
    BAD_PAGES_ARE_REFUSED "A page of no entries, or of more than 1,000, is refused with `InvalidArgument`.";
    PAGE_IS_OF_ONE_REVISION "All entries of a page are as of one revision.";
    KEYS_ARE_READ_WITHOUT_VALUES "A page read without values holds the same keys and versions.";
    CLEAR_REMOVES_WHAT_STARTS_WITH_THE_PREFIX
        "`clear` removes every key that starts with a prefix and no other, however many there are; all with the \
         empty one.";
}
