-- tell --
-- Keep what the CRM said of our module, and wake whoever follows the directory. No row: there is no such enterprise.
-- $5, $6: NULL leaves what was said before, an empty text ends it.
WITH said AS (
    INSERT INTO crm_modules AS known (enterprise_id, active, frozen, told_at, moved_to, unheeded)
    SELECT enterprise_id, $2, $3, $4, NULLIF($5::text, ''), NULLIF($6::text, '')
      FROM enterprises
     WHERE enterprise_id = $1
        ON CONFLICT (enterprise_id) DO UPDATE
       SET active = excluded.active, frozen = excluded.frozen, told_at = excluded.told_at,
           moved_to = NULLIF(COALESCE($5, known.moved_to), ''), unheeded = NULLIF(COALESCE($6, known.unheeded), '')
    RETURNING enterprise_id
)
SELECT pg_notify('amibridge_directory', enterprise_id) FROM said
