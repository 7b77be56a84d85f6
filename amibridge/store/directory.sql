-- lock_enterprise --
-- One change of an enterprise at a time: two commands must not mix their files.
SELECT pg_advisory_xact_lock(hashtextextended('enterprise_id ' || $1::text, 0))

-- load_enterprises --
-- Every enterprise, or the one that is named, with what its CRM said of our module.
SELECT enterprises.enterprise_id, name, time_zone, region, client_id, webhook_secret, crm_url, crm_api_key, crm_site,
       credit, create_customers, create_orders, module_code, responsible_mode, responsible_dialplan,
       responsible_fallback, responsible_name, create_tasks, missed_wait, missed_never_for, task_performer, missed_text,
       task_within, order_method, order_type, order_status, order_status_reached, recordings_keep, links_valid,
       supervisors, active, frozen, told_at, moved_to, unheeded
  FROM enterprises
  LEFT JOIN crm_modules ON crm_modules.enterprise_id = enterprises.enterprise_id
 WHERE $1::text IS NULL OR enterprises.enterprise_id = $1
 ORDER BY enterprises.enterprise_id

-- load_hosts --
-- The Asterisk hosts of every enterprise, or of the one that is named.
SELECT enterprise_id, host, address, port, username, secret, internal, trunks, originate_channel, originate_context,
       originate_number, recordings, recordings_password
  FROM hosts
 WHERE $1::text IS NULL OR enterprise_id = $1
 ORDER BY enterprise_id, host

-- load_operators --
-- Who is who, in every enterprise or in the one that is named.
SELECT enterprise_id, extension, crm_user, name
  FROM operators
 WHERE $1::text IS NULL OR enterprise_id = $1
 ORDER BY enterprise_id, extension

-- load_lines --
-- Our public numbers, of every enterprise or of the one that is named.
SELECT enterprise_id, number, site, name
  FROM lines
 WHERE $1::text IS NULL OR enterprise_id = $1
 ORDER BY enterprise_id, number

-- put_enterprise --
-- Write an enterprise as its file says it.
INSERT INTO enterprises (enterprise_id, name, time_zone, region, client_id, webhook_secret, crm_url, crm_api_key,
                         crm_site, credit, create_customers, create_orders, module_code, responsible_mode,
                         responsible_dialplan, responsible_fallback, responsible_name, create_tasks, missed_wait,
                         missed_never_for, task_performer, missed_text, task_within, order_method, order_type,
                         order_status, order_status_reached, recordings_keep, links_valid, supervisors)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
        $25, $26, $27, $28, $29, $30)
    ON CONFLICT (enterprise_id) DO UPDATE
   SET name = excluded.name, time_zone = excluded.time_zone, region = excluded.region,
       client_id = excluded.client_id, webhook_secret = excluded.webhook_secret, crm_url = excluded.crm_url,
       crm_api_key = excluded.crm_api_key, crm_site = excluded.crm_site, credit = excluded.credit,
       create_customers = excluded.create_customers, create_orders = excluded.create_orders,
       module_code = excluded.module_code, responsible_mode = excluded.responsible_mode,
       responsible_dialplan = excluded.responsible_dialplan, responsible_fallback = excluded.responsible_fallback,
       responsible_name = excluded.responsible_name,
       create_tasks = excluded.create_tasks, missed_wait = excluded.missed_wait,
       missed_never_for = excluded.missed_never_for, task_performer = excluded.task_performer,
       missed_text = excluded.missed_text, task_within = excluded.task_within, order_method = excluded.order_method,
       order_type = excluded.order_type, order_status = excluded.order_status,
       order_status_reached = excluded.order_status_reached,
       recordings_keep = excluded.recordings_keep, links_valid = excluded.links_valid,
       supervisors = excluded.supervisors, updated_at = now()

-- put_host --
-- Write one Asterisk host of an enterprise.
INSERT INTO hosts (enterprise_id, host, address, port, username, secret, internal, trunks, originate_channel,
                   originate_context, recordings, originate_number, recordings_password)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT (enterprise_id, host) DO UPDATE
   SET address = excluded.address, port = excluded.port, username = excluded.username, secret = excluded.secret,
       internal = excluded.internal, trunks = excluded.trunks, originate_channel = excluded.originate_channel,
       originate_context = excluded.originate_context, recordings = excluded.recordings,
       originate_number = excluded.originate_number, recordings_password = excluded.recordings_password

-- put_operator --
-- Write one operator of an enterprise.
INSERT INTO operators (enterprise_id, extension, crm_user, name)
VALUES ($1, $2, $3, $4)
    ON CONFLICT (enterprise_id, extension) DO UPDATE SET crm_user = excluded.crm_user, name = excluded.name

-- put_line --
-- Write one public number of an enterprise.
INSERT INTO lines (enterprise_id, number, site, name)
VALUES ($1, $2, $3, $4)
    ON CONFLICT (enterprise_id, number) DO UPDATE SET site = excluded.site, name = excluded.name

-- drop_other_hosts --
-- Forget the hosts that the file no longer names.
DELETE FROM hosts WHERE enterprise_id = $1 AND host <> ALL ($2::text[])

-- drop_other_operators --
-- Forget the operators that the file no longer names.
DELETE FROM operators WHERE enterprise_id = $1 AND extension <> ALL ($2::text[])

-- drop_other_lines --
-- Forget the public numbers that the file no longer names.
DELETE FROM lines WHERE enterprise_id = $1 AND number <> ALL ($2::text[])

-- account_moved --
-- The file names where the account has moved to: how far its histories were read holds, and what is open there.
WITH moved AS (
    SELECT enterprise_id FROM crm_modules WHERE enterprise_id = $1 AND moved_to = $2
), cursors AS (
    UPDATE crm_cursors SET account = $2
      FROM moved
     WHERE crm_cursors.enterprise_id = moved.enterprise_id
)
UPDATE follow_ups SET account = $2
  FROM moved
 WHERE follow_ups.enterprise_id = moved.enterprise_id AND follow_ups.closed_at IS NULL

-- forget_module --
-- What the CRM said of one account says nothing of another, unless the file now names where the account moved to.
DELETE FROM crm_modules WHERE enterprise_id = $1 AND moved_to IS DISTINCT FROM $2

-- settle_move --
-- The file names where the account is: nothing overrules it any more.
UPDATE crm_modules SET moved_to = NULL, unheeded = NULL WHERE enterprise_id = $1

-- remove_enterprise --
-- Stop serving an enterprise. What was said and delivered for it stays.
DELETE FROM enterprises WHERE enterprise_id = $1 RETURNING enterprise_id

-- tell_change --
-- Wake whoever follows the directory, once the change is committed. The payload names the enterprise_id.
SELECT pg_notify('amibridge_directory', $1::text)
