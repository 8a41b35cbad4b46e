-- All namespaces of a database lie in these tables. Times are microseconds since 1970 by the server's clock.
--
-- Plans are made while the tables are empty. So no index offers a way to all rows of a namespace where few are looked
-- up, or the statement leaves the planner no choice: `OFFSET 0`.

CREATE TABLE linchpin.namespaces (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    -- The last revision, and how many there were: watchers notice by that if they missed one.
    revision bigint NOT NULL,
    changes bigint NOT NULL,
    -- The latest time acted upon, and how far time runs ahead of the clock.
    acted bigint NOT NULL,
    ahead bigint NOT NULL,
    -- Whoever may read it may listen to the namespace, and tell.
    secret bytea NOT NULL DEFAULT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
) WITH (fillfactor = 20);

CREATE TABLE linchpin.keys (
    namespace integer NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    created bigint NOT NULL,
    version bigint NOT NULL,
    ends bigint,
    PRIMARY KEY (namespace, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
CREATE INDEX keys_ends ON linchpin.keys (namespace, ends) WHERE ends IS NOT NULL;

-- What became of transactions that had an id, for as long as somebody may send them again.
CREATE TABLE linchpin.outcomes (
    namespace integer NOT NULL,
    id bytea NOT NULL,
    fingerprint bigint NOT NULL,
    at bigint NOT NULL,
    status integer NOT NULL,
    revision bigint NOT NULL,
    detail integer NOT NULL,
    results text NOT NULL,
    found_key bytea,
    found_value bytea,
    found_created bigint,
    found_version bigint,
    found_ttl bigint,
    PRIMARY KEY (id, namespace)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX outcomes_at ON linchpin.outcomes (at);

-- Messages that are too large for a notification, until everybody has fetched them.
CREATE TABLE linchpin.messages (
    namespace integer NOT NULL,
    id bytea NOT NULL,
    at bigint NOT NULL,
    payload bytea NOT NULL,
    PRIMARY KEY (id, namespace)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
ALTER TABLE linchpin.messages ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX messages_at ON linchpin.messages (at);
