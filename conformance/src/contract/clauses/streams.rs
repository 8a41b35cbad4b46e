//! Streams: durable, acknowledged.

chapter! { RECORDS "Streams: records";
    POSITIONS_GROW_BY_ONE "A stream counts its records: the first has position 1, each further one the next.";
    BATCH_STANDS_TOGETHER "Records appended together stand next to each other, in their order.";
    RECORDS_COME_AS_APPENDED "A record is delivered with the payload, id and headers it was appended with.";
    RECORDS_OUTLIVE_THE_HANDLE "Appended records outlive the handle that appended them.";
    STREAMS_SURVIVE_A_RESTART
        "Where the backend declares it, appended records, claims and settlements survive a restart of the server.";
    RECORD_ID_IS_APPENDED_ONCE
        "A record with an id is appended once per dedupe window, whoever appends it; a repeat gets the first one's \
         position.";
    CLEARED_STREAM_KNOWS_NO_IDS
        "`clear` forgets the ids of records with their streams: a record appended after it is a new one.";
    RECORD_ID_BELONGS_TO_ITS_STREAM "The id of a record is known in its own stream, and in no other.";
    RECORD_AT_THE_LIMIT "A record may have as many bytes as declared, payload and headers together, 512 KiB at least.";
    BATCH_AT_THE_LIMIT "One call may have as many records or settlements as declared, 128 at least.";
    RECORD_OVER_THE_LIMIT_IS_REFUSED
        "What is over either limit is refused with `InvalidArgument`, and nothing is appended or settled.";
}

chapter! { CLAIMS "Streams: claims";
    EVERY_GROUP_SEES_EVERY_RECORD "A group sees every record of its stream, those from before its first claim too.";
    MEMBERS_SHARE_THE_RECORDS "Each record goes to one member of the group at a time, however many claim at once.";
    CLAIM_IS_EXCLUSIVE "A claim is exclusive until it is settled or its visibility time has passed.";
    ABANDONED_RECORD_COMES_AGAIN
        "A record whose visibility time has passed is delivered again, within the declared slack.";
    EVERY_REDELIVERY_COUNTS "A delivery has the number of times that the record has been delivered to the group.";
    FIRST_DELIVERIES_ARE_IN_ORDER "Records are delivered for the first time in the order in which they stand.";
    CLAIM_BRINGS_NO_MORE_THAN_ASKED
        "A claim brings no more records than it asks for. It may bring fewer than there are, of large ones above \
         all: the next claim brings more.";
    WAITING_CLAIM_WAKES_FOR_A_RECORD
        "A claim waits for the first record as long as it says, and no longer than until there is one.";
    CLAIM_BESIDE_ONE_THAT_WAITS_IS_TOLD_OF_AN_OUTAGE
        "A claim says that there is nothing only if the server said so since it was called, also while another waits \
         in its group.";
    WAITING_CLAIM_WAKES_FOR_A_RETRY
        "A claim that waits is woken by a record that was given back, abandoned, delayed, held for less than before \
         or buried, when its time has come.";
    DELAYED_RECORDS_HOLD_NOTHING_UP
        "What is not due, and what was delivered as often as the claim allows, holds nothing up: a claim brings what \
         is due behind it, however many they are.";
    WAITING_CLAIM_OUTLIVES_A_CLEAR
        "A claim that waits outlives a `clear` of its stream: it or the next one brings what is appended after it.";
    SENSELESS_CLAIMS_ARE_REFUSED
        "A claim for no records, no deliveries, no time or more than 100 years is refused with `InvalidArgument`.";
}

chapter! { SETTLEMENTS "Streams: settlements";
    ACKNOWLEDGED_IS_NEVER_SEEN_AGAIN "A group never sees again what it has acknowledged.";
    RETRY_COMES_AGAIN_AT_ONCE "A record that is given back is delivered again, at once unless a delay is asked for.";
    EXTENDED_RECORD_IS_KEPT "Extending a claim keeps its record for the time given from now on, and no longer.";
    SETTLED_IS_STALE
        "Settling what was settled, was delivered again or never was delivered is answered `Stale`, and changes \
         nothing.";
    LATE_ACKNOWLEDGEMENT_COUNTS_UNTIL_REDELIVERY
        "A settlement that comes after the visibility time counts until the record is delivered again.";
    RECEIPT_IS_OF_ITS_GROUP "A settlement is for one group, and changes nothing for another.";
    ANOTHER_HANDLE_MAY_SETTLE "A delivery may be settled through any handle.";
    EACH_SETTLEMENT_IS_ON_ITS_OWN "The settlements of one call are each on their own, and are answered in their order.";
    SENSELESS_SETTLEMENTS_ARE_REFUSED
        "Extending a claim for no time, or for more than 100 years, is refused with `InvalidArgument`.";
}

chapter! { DELAYS "Streams: delays";
    DELAY_IS_HONOURED
        "A delayed record is delivered when its delay has passed since it was appended, within the declared slack.";
    DELAY_IS_THE_SAME_FOR_EVERY_GROUP "A delay means the same to every group, however late it comes.";
    RETRY_AFTER_IS_HONOURED
        "A record given back with a delay is delivered again when that has passed, within the declared slack.";
    DELAYED_RECORD_BLOCKS_NO_OTHER "A delay holds back its own record, and no other.";
    HUNDRED_YEARS_OF_DELAY_ARE_HELD_BACK
        "The longest delay is 100 years, and a longer one is refused with `InvalidArgument`.";
}

chapter! { DEAD_LETTERS "Streams: dead letters";
    REJECTED_RECORD_IS_A_DEAD_LETTER_ONCE
        "A record that is rejected goes to the group's dead letters, once, and is never delivered again.";
    EXHAUSTED_RECORD_IS_A_DEAD_LETTER_ONCE
        "A record delivered as often as a claim allows goes to the dead letters, once, instead of being delivered \
         again.";
    WITHOUT_A_LIMIT_NOTHING_IS_GIVEN_UP "Without a limit on its deliveries no record is given up.";
    DEAD_LETTER_KEEPS_WHAT_IT_WAS
        "A dead letter has its payload and headers, and besides them the reason, the delivery count and the position.";
    DEAD_LETTERS_ARE_THE_GROUPS_OWN "Dead letters are the group's own: other groups still get the record.";
    DEAD_LETTERS_ARE_A_STREAM "Dead letters are read, claimed, settled and trimmed as any other stream.";
    DEAD_LETTER_HAS_NO_DEAD_LETTERS
        "There are no dead letters of dead letters: one that any group rejects, or was given too often, is dropped \
         for that group, as if acknowledged.";
    LONG_REASON_IS_REFUSED "A reason of more than 512 bytes is refused with `InvalidArgument`.";
}

chapter! { KEEPING "Streams: what is kept";
    NEWEST_ARE_KEPT
        "`trim` keeps the newest so many records, or those from a position on, and returns how many it dropped.";
    WHAT_IS_NOT_SETTLED_IS_KEPT "`trim` drops nothing that a group has not settled.";
    WHAT_SOME_GROUP_HAS_NOT_SETTLED_IS_KEPT
        "`trim` of what is settled drops what every group has settled, and nothing where there is no group.";
    POSITIONS_GO_ON_AFTER_TRIMMING
        "Positions go on after a `trim`, and for a day after a `clear`: an old receipt fits nothing new.";
    CLEAR_REMOVES_STREAMS_BY_PREFIX
        "`clear` removes the streams that start with a prefix and no other, with their groups and dead letters.";
    INSPECT_OF_NOTHING_IS_ZERO "`inspect` says how many records a stream holds; all zero if nobody appended to it.";
    CLEARED_STREAM_SAYS_NO_LAST_POSITION
        "`inspect` says the position of the newest record ever appended, also if it was dropped since, and none \
         where none was appended since the stream was cleared.";
    INSPECT_COUNTS "`inspect` says what each group has pending, before it and dead, the groups ascending by name.";
    REMOVED_GROUP_IS_GONE
        "`remove_group` removes a group with what it has pending and its dead letters, and returns whether there was \
         one. Records, other groups and their dead letters stay.";
    REMOVED_GROUP_BEGINS_ANEW
        "A claim under the name of a removed group, one that waits too, makes a new group, which sees every record \
         that is still there.";
    MEMBERS_LEAVE_NOTHING "Members leave nothing behind once what they claimed is settled.";
}
