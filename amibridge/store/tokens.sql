-- load_tokens --
-- The tokens that are good, of every enterprise or of the one that is named.
SELECT enterprise_id, id, digest, scopes, expires_at
  FROM api_tokens
 WHERE revoked_at IS NULL AND ($1::text IS NULL OR enterprise_id = $1)
 ORDER BY enterprise_id, id

-- add_token --
-- One more token of an enterprise; no row if there is no such enterprise.
INSERT INTO api_tokens (enterprise_id, digest, scopes, created_at, expires_at)
SELECT enterprise_id, $2::bytea, $3::text[], $4::timestamptz, $5::timestamptz
  FROM enterprises
 WHERE enterprise_id = $1
RETURNING id

-- list_tokens --
-- Every token of an enterprise, also those that are good no more.
SELECT id, scopes, created_at, expires_at, revoked_at
  FROM api_tokens
 WHERE enterprise_id = $1
 ORDER BY id

-- revoke_token --
-- A token opens nothing from now on; no row if there is none, or if it did not already.
UPDATE api_tokens
   SET revoked_at = $3
 WHERE enterprise_id = $1 AND id = $2 AND revoked_at IS NULL
RETURNING enterprise_id, id

-- tell_change --
-- Wake whoever follows the directory: what opens an enterprise has changed.
SELECT pg_notify('amibridge_directory', enterprise_id)
  FROM enterprises
 WHERE enterprise_id = $1
