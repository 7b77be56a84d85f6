-- record_audit --
-- What was done, for any enterprise_id, in the order in which it was done.
INSERT INTO audit (enterprise_id, at, who, address, action, target, outcome, request)
SELECT enterprise_id, at, who, address, action, target, outcome, request
  FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
       WITH ORDINALITY AS a (enterprise_id, at, who, address, action, target, outcome, request, ordinal)
 ORDER BY ordinal
