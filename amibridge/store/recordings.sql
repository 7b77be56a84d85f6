-- recordings_of_call --
-- Where the recordings of one call are, and where its host keeps them now. No row: the call is not known, or not over.
SELECT calls.recordings, calls.ended_at, hosts.recordings AS folder
  FROM calls
  LEFT JOIN hosts ON hosts.enterprise_id = calls.enterprise_id AND hosts.host = calls.host
 WHERE calls.enterprise_id = $1 AND calls.call_id = $2
