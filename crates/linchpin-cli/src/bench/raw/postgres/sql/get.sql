-- An entry with its version, its creation and what is left of its time, and the revision that it was read at.
SELECT n.revision, e.value, e.version, e.created, e.deadline - t.now
FROM linchpin_bench.namespaces n
CROSS JOIN LATERAL (
    SELECT greatest(n.revision, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
) t
LEFT JOIN linchpin_bench.entries e ON e.key = $1 AND e.deadline > t.now
WHERE n.id = 1
