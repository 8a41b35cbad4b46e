//! The election recipe.

chapter! { CAMPAIGNING "Elections: campaigning";
    ONE_OF_MANY_LEADS "An election has one leader at a time.";
    OTHER_NAMES_ARE_OTHER_ELECTIONS "Two names are two elections, whatever characters they are made of.";
    NOBODY_LEADS_UNTIL_ONE_IS_ELECTED
        "`campaign` waits until this node leads, and candidates lead in the order in which they came.";
    TRY_CAMPAIGN_DOES_NOT_WAIT "`try_campaign` leads if nobody does, and says at once if it cannot.";
    ANY_WAIT_TO_LEAD_WILL_DO
        "Who finds neither a leader nor a candidate leads however short its wait may be, and a wait may be as long as can be \
         written.";
    CAMPAIGN_ENDS_IN_TIME_AND_LEAVES_NOTHING
        "A campaign whose wait ends in vain fails with `Timeout`, and leaves no candidate behind.";
    TERMS_GROW_WITH_EVERY_LEADER
        "The term is a fencing token: it is greater than that of every leader before, also after a `clear`.";
    CHANGE_OF_LEADER_IS_CONSTANT_WORK "A change of leader makes as many requests with many candidates as with few.";
    CANDIDATE_THAT_GIVES_UP_IS_SKIPPED "A candidate that gives up or dies is skipped.";
    NOBODY_LEADS_BY_A_PLACE_THAT_HAS_GONE
        "A candidate whose place is lost does not lead by it: it notices, and stands again behind the others.";
    BAD_ELECTIONS_ARE_REFUSED
        "A name that is not allowed, a TTL that is too short or too long, or a value over the limit is refused.";
}

chapter! { LEADING "Elections: leading";
    LEADERSHIP_OUTLIVES_ITS_TTL
        "A leadership is renewed at a third of its TTL: it lasts for as long as its holder lives and reaches the \
         backend.";
    LEADER_KNOWS_BEFORE_THE_NEXT_LEADS "A leader that cannot renew counts itself out before another can lead.";
    REMOVED_LEADER_IS_LOST "A leadership that was removed at the backend is reported lost with the next renewal.";
    LOST_LEADER_PROCLAIMS_NOTHING
        "Who has lost the leadership can neither proclaim nor resign what is the next leader's.";
    STALE_TERM_WRITES_NOTHING
        "A guarded write is applied only while the term is its writer's, whatever the leadership believes.";
    PROCLAIMING_KEEPS_THE_TERM "`proclaim` tells something new in the same term.";
    BODY_RUNS_WHILE_IT_LEADS
        "`run_while_leader` runs its body while this node leads, and drops it if the leadership is lost.";
    TRY_RUN_WHILE_LEADER_DOES_NOT_WAIT
        "`try_run_while_leader` runs its body if nobody leads, and says at once if it does not run it.";
    RESIGNING_FREES_THE_SEAT "`resign` frees the leadership before it returns, whoever asks for it meanwhile.";
    ELECTION_TELLS_WHAT_HAPPENS
        "Callbacks tell of the election with its term, of every renewal that fails, and once of the loss.";
    DROPPED_LEADERSHIP_RESIGNS "Dropping a leadership resigns in the background.";
    SHUTDOWN_SPARES_OTHERS_OF_ITS_NAME "`shutdown` resigns every leadership, and ends every campaign with `Closed`.";
}

chapter! { OBSERVING "Elections: observing";
    OBSERVER_IS_TOLD_WHO_LEADS_NOW
        "`observe` tells first who leads now, and then every leader, in the order of terms, and what it proclaims.";
    LAST_LEADER_IS_NEVER_MISSED "An observer that lags may miss leaders in between, and never the last one.";
    EXPIRED_LEADER_IS_TOLD
        "An observer is told that a leader has died, once its TTL and the declared slack have passed.";
    LEADER_OF_THE_PORT_IS_SEEN "The election called `default` and the leadership of the port are one.";
    PORT_DOES_NOT_CUT_A_LEADER_SHORT
        "Asking for the leadership through the port again does not cut an elected leader short.";
    PORT_CAN_END_A_LEADERSHIP
        "Stepping down through the port ends the leadership of an elected leader, which is reported lost.";
}
