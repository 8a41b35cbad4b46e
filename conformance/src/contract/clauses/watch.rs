//! Watching keys.

chapter! { WATCHES "Watches";
    PRESENT_THEN_SYNCED_THEN_CHANGES "A watch tells first the entries present, then `Synced`, then changes.";
    PRESENT_ENTRIES_COME_IN_THE_ORDER_OF_THEIR_CREATION
        "The entries present are told in the order in which their keys came to be.";
    SYNCED_TELLS_ITS_REVISION "`Synced` has the revision up to which everything has been told.";
    WATCH_IS_LIVE_WHEN_IT_IS_RETURNED "A watch is live when it is returned: whatever is written from then on is told.";
    CHANGE_IS_TOLD_AS_IT_IS_READ "A write is told as the entry that a read returns, whichever mutation made it.";
    DELETES_ARE_TOLD "Deletes are told, those by `clear` too, at a revision greater than any version seen of the key.";
    EXPIRIES_ARE_TOLD_IN_TIME "Expiries are told, within the declared slack.";
    WHAT_CHANGES_NOTHING_IS_NOT_TOLD "What makes no new version is not told.";
    VERSIONS_INCREASE_UNDER_LOAD "Per key, the versions told strictly increase.";
    SLOW_WATCHER_GETS_THE_LAST_VERSIONS
        "A watcher that lags may miss intermediate versions of a key, and never the last one.";
    KEYS_COME_IN_THE_ORDER_OF_THEIR_CREATION
        "Keys are told in the order in which they came to be: who is told of a key was told of every older one that \
         is still there.";
    SLOW_WATCHER_LEARNS_WHAT_IS_GONE
        "A watcher that lags learns of every key that is gone, once, at a revision greater than any told before, and \
         is not synced again.";
    LOST_DATA_ARE_TOLD_THOUGH_NOBODY_WRITES
        "A watch tells what the server has lost within 10 seconds, though nobody writes.";
    OLDER_DATA_THAT_COME_BACK_ARE_TOLD
        "After a server came back with older data a watch tells what a read says, older or not, and a key that is \
         gone again at a revision greater than any told of it.";
    IDLE_WATCHER_BLOCKS_NOBODY "A watcher that is not read holds nobody up.";
    PREFIX_IS_WATCHED_AND_NOTHING_ELSE "A watch tells the keys of its range, one or all with a prefix, and no other.";
    EVERY_WATCHER_IS_TOLD "Every watch of a key is told of it, whichever handle wrote.";
    WATCH_OUTLIVES_ITS_HANDLE "A watch goes on though its handle is dropped; closing the handle ends it.";
    DROPPED_WATCH_LEAVES_THE_OTHERS "Dropping a watch ends it, and no other.";
    WATCH_LEARNS_WHAT_WENT_MEANWHILE
        "A watch that was cut off reconnects by itself: it tells the last version of every key and every key that is \
         gone, and is not synced again.";
}
