-- standing --
-- The server and we on it: what a person would ask first.
SELECT current_setting('server_version') AS version, current_user AS "user", clock_timestamp() AS now,
       pg_database_size(current_database()) AS bytes,
       pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean AS read_only

-- missing_rights --
-- What we must do to tables of ours and may not.
SELECT pg_class.relname AS "table", string_agg(rights.name, ', ' ORDER BY rights.name) AS rights
  FROM pg_class
  JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace AND pg_namespace.nspname = 'amibridge'
 CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS rights (name)
 WHERE pg_class.relkind = 'r' AND NOT has_table_privilege(pg_class.oid, rights.name)
 GROUP BY pg_class.relname
 ORDER BY pg_class.relname

-- not_ours --
-- Tables that the next upgrade could not alter, for they are somebody else's, and whose they are.
SELECT pg_class.relname AS "table", pg_get_userbyid(pg_class.relowner) AS owner
  FROM pg_class
  JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace AND pg_namespace.nspname = 'amibridge'
 WHERE pg_class.relkind = 'r' AND NOT pg_has_role(pg_class.relowner, 'USAGE')
 ORDER BY pg_class.relname

-- sizes --
-- The largest of our tables with their indexes, and about how many rows they have.
SELECT pg_class.relname AS "table", pg_total_relation_size(pg_class.oid) AS bytes,
       CASE WHEN pg_class.reltuples >= 0 THEN pg_class.reltuples::bigint END AS rows
  FROM pg_class
  JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace AND pg_namespace.nspname = 'amibridge'
 WHERE pg_class.relkind = 'r'
 ORDER BY bytes DESC
 LIMIT $1
