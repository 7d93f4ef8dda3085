-- Transactions of Snowplow's atomic.events, as `orders`; see visits.sql.
--
-- tr_* is filled by the tracker's trackTransaction. With the ecommerce plugin, take the fields of the transaction
-- entity from its own table (Redshift) or column (other warehouses).
SELECT
    tr_orderid AS order_id,
    derived_tstamp AS occurred_at,
    tr_total AS value,
    tr_currency AS currency,
    page_url AS event_source_url,
    user_ipaddress AS client_ip_address,
    useragent AS client_user_agent,
    tr_city AS city,
    tr_state AS state,
    tr_country AS country,
    coalesce(user_id, domain_userid) AS external_id
FROM atomic.events
WHERE
    event = 'transaction'
    AND derived_tstamp >= $hour_start AT TIME ZONE 'UTC'
    AND derived_tstamp < $hour_end AT TIME ZONE 'UTC'
