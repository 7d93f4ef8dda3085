-- Page views of Snowplow's atomic.events, as `visits`. Set CAPI_VISITS_URL to the warehouse.
--
-- derived_tstamp is UTC without a zone, hence AT TIME ZONE: a database compares it with a time that has one in
-- the zone of its session. In Snowflake and BigQuery compare with $hour_start itself.
SELECT
    event_id AS visit_id,
    derived_tstamp AS occurred_at,
    page_url,
    page_referrer AS referrer_url,
    user_ipaddress AS client_ip_address,
    useragent AS client_user_agent,
    coalesce(user_id, domain_userid) AS external_id
FROM atomic.events
WHERE
    event = 'page_view'
    AND derived_tstamp >= $hour_start AT TIME ZONE 'UTC'
    AND derived_tstamp < $hour_end AT TIME ZONE 'UTC'
