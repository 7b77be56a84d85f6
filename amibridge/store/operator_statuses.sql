-- keep --
-- How an operator stands from now on. No row: there is no such enterprise.
INSERT INTO operator_statuses (enterprise_id, crm_user, extension, status, told_at)
SELECT enterprise_id, $2::bigint, $3::text, $4::text, $5::timestamptz
  FROM enterprises
 WHERE enterprise_id = $1
    ON CONFLICT (enterprise_id, crm_user) DO UPDATE
   SET extension = excluded.extension, status = excluded.status, told_at = excluded.told_at
RETURNING enterprise_id

-- since --
-- What was told of operators of every enterprise lately.
SELECT enterprise_id, crm_user, extension, status, told_at
  FROM operator_statuses
 WHERE told_at > $1
