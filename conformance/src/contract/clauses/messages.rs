//! Messages: now or never, and acknowledged.

chapter! { MESSAGES "Messages";
    MESSAGE_ARRIVES
        "A message goes to every subscriber that is subscribed when it is sent, with its channel and payload.";
    NOTHING_ARRIVES_FROM_BEFORE "A message goes to nobody who subscribes after it was sent.";
    SUBSCRIPTION_IS_LIVE_WHEN_IT_IS_RETURNED "A subscription is live at the server when `subscribe` returns.";
    EACH_MESSAGE_ARRIVES_ONCE "A message arrives at most once at each subscription, also where patterns overlap.";
    MANY_PATTERNS_ON_ONE_HANDLE
        "A subscription yields what matches its pattern, whatever else its handle is subscribed to.";
    MESSAGES_KEEP_THEIR_ORDER "Messages are ordered per publisher and channel.";
    ANY_BYTES_ARE_A_PAYLOAD "A payload is any bytes, or none, as many as declared.";
    PAYLOAD_OVER_THE_LIMIT_IS_REFUSED
        "A payload over the limit is refused with `InvalidArgument`, and nothing is sent.";
    SLOW_SUBSCRIBER_IS_TOLD_WHAT_IT_MISSED
        "A subscriber that lags past its bound gets an explicit `Lagged`, never silence, and goes on.";
    LARGE_MESSAGES_ARE_BOUNDED_AS_WELL "What is kept for a subscriber that lags is bounded, in bytes too.";
    SLOW_SUBSCRIBER_HOLDS_NOBODY_UP "A subscriber that is not read holds up neither other subscribers nor publishers.";
    DROPPING_ENDS_A_SUBSCRIPTION "Dropping a subscription ends it, at the server too, and no other.";
    SUBSCRIPTION_OUTLIVES_ITS_HANDLE
        "A subscription goes on though its handle is dropped; closing the handle ends it.";
    NOBODY_IS_TOLD_APART
        "Publishing says that nobody is subscribed where the backend can know, and never where somebody is.";
    SUBSCRIPTION_GOES_ON_AND_MARKS_THE_GAP
        "A subscription that was cut off comes back by itself, and marks with `Lagged` what it may have missed, \
         before the first message after that.";
}

chapter! { ACKNOWLEDGED "Acknowledged messages";
    ACKNOWLEDGED_MESSAGE_RETURNS
        "A subscriber acknowledges a message by taking it out of its stream; `publish_with_ack` returns how many have.";
    FIRST_ACKNOWLEDGEMENT_IS_ENOUGH "`publish_with_ack` returns as soon as one subscriber has taken the message.";
    NOBODY_TAKING_IT_IS_A_TIMEOUT "`publish_with_ack` fails with `Timeout` if no subscriber took the message in time.";
    CLOSING_ENDS_A_WAIT_FOR_ACKNOWLEDGEMENTS
        "`publish_with_ack` fails with `Closed` if its handle is closed meanwhile, within a second, and says that \
         the message may have been sent.";
    NOBODY_SUBSCRIBED_IS_TOLD
        "`publish_with_ack` fails with `NoSubscribers` at once where the backend can know that nobody is subscribed.";
    ACKNOWLEDGEMENTS_ARE_NOT_MIXED_UP
        "`publish_with_ack` counts the acknowledgements of its own message, and of no other.";
    MESSAGE_ARRIVES_AS_ANY_OTHER "A message that awaits acknowledgement arrives as any other.";
}
