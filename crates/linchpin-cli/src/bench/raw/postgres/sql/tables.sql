-- What the tables of the adapter take, each with its indexes and what was moved out of line.
SELECT c.relname::text,
    coalesce(s.n_dead_tup, 0),
    coalesce(s.autovacuum_count, 0),
    pg_total_relation_size(c.oid),
    pg_indexes_size(c.oid)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE n.nspname = 'linchpin' AND c.relkind = 'r'
ORDER BY c.relname
