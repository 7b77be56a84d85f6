-- recordings_of_call --
-- Where the recordings of one call are, where its host keeps them now, and for how long. No row: the call is not known,
-- or not over.
SELECT calls.recordings, calls.ended_at, hosts.host, hosts.recordings AS place, hosts.recordings_password,
       enterprises.recordings_keep
  FROM calls
  LEFT JOIN hosts ON hosts.enterprise_id = calls.enterprise_id AND hosts.host = calls.host
  LEFT JOIN enterprises ON enterprises.enterprise_id = calls.enterprise_id
 WHERE calls.enterprise_id = $1 AND calls.call_id = $2
