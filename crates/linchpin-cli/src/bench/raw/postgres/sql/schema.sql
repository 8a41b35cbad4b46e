-- What is done by hand lies in a schema of its own, which is dropped in the end.
CREATE SCHEMA linchpin_bench;

-- Whose it is: a run drops no other's.
CREATE TABLE linchpin_bench.run (name text NOT NULL);

-- A row for a namespace: who writes in it locks it first. Times are microseconds since 1970 by the server's clock, and so
-- are revisions, so that they grow over a restart that lost the data. With room for the next versions of the row.
CREATE TABLE linchpin_bench.namespaces (id int PRIMARY KEY, revision bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO linchpin_bench.namespaces VALUES (1, 0);

CREATE TABLE linchpin_bench.entries (
    key bytea PRIMARY KEY,
    value bytea NOT NULL,
    version bigint NOT NULL,
    created bigint NOT NULL,
    deadline bigint NOT NULL
);

-- A row for a write: what its id answers if it comes again, and what whoever watches reads after a doorbell. A timer would
-- remove old ones.
CREATE TABLE linchpin_bench.log (
    revision bigint PRIMARY KEY,
    id bytea NOT NULL UNIQUE,
    key bytea NOT NULL,
    created bigint NOT NULL
);

CREATE TABLE linchpin_bench.locks (
    key bytea PRIMARY KEY,
    who bytea NOT NULL,
    token bigint NOT NULL,
    deadline bigint NOT NULL
);

-- What the plain calls write, and what a committed round trip does.
CREATE TABLE linchpin_bench.plain (key text PRIMARY KEY, value bytea NOT NULL);
CREATE TABLE linchpin_bench.idle (id int PRIMARY KEY, count bigint NOT NULL) WITH (fillfactor = 10);
INSERT INTO linchpin_bench.idle VALUES (1, 0);

-- The token queues. Nobody needs them later: not in the write-ahead log.
CREATE UNLOGGED TABLE linchpin_bench.tokens (queue text PRIMARY KEY, is_free boolean NOT NULL) WITH (fillfactor = 10);
CREATE UNLOGGED TABLE linchpin_bench.waiters (
    queue text NOT NULL,
    turn bigint GENERATED ALWAYS AS IDENTITY,
    who int NOT NULL,
    PRIMARY KEY (queue, turn)
);
