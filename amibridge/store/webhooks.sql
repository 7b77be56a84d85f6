-- load_webhooks --
-- Whom every enterprise, or the one that is named, wants told of its calls.
SELECT enterprise_id, name, url, secret, previous_secret, events
  FROM webhooks
 WHERE $1::text IS NULL OR enterprise_id = $1
 ORDER BY enterprise_id, name

-- put_webhook --
-- Write one webhook of an enterprise.
INSERT INTO webhooks (enterprise_id, name, url, secret, previous_secret, events)
VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (enterprise_id, name) DO UPDATE
   SET url = excluded.url, secret = excluded.secret, previous_secret = excluded.previous_secret,
       events = excluded.events

-- drop_other_webhooks --
-- Forget the webhooks that the file no longer names.
DELETE FROM webhooks WHERE enterprise_id = $1 AND name <> ALL ($2::text[])

-- drop_ownerless --
-- Some of the deliveries to webhooks that are no more: nobody will ever take them.
UPDATE deliveries
   SET status = 'dropped', settled_at = $1, last_answer = $2
 WHERE (enterprise_id, id) IN (
           SELECT enterprise_id, id
             FROM deliveries AS waiting
            WHERE status IN ('due', 'parked') AND webhook <> ''
              AND NOT EXISTS (SELECT FROM webhooks
                               WHERE webhooks.enterprise_id = waiting.enterprise_id
                                 AND webhooks.name = waiting.webhook)
            LIMIT $3
              FOR UPDATE SKIP LOCKED)
   AND status IN ('due', 'parked')
RETURNING enterprise_id, webhook
